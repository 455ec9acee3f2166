"""`kedro mlflow deploy` to Databricks: MLflow's own client, against a stand-in of the workspace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.deploying import SECRET, Deploying, deploying
from tests.support.fronts import Door, bearer
from tests.support.project import PACKAGE, Project
from tests.support.proxy import Request, proxy_of
from tests.support.serving_endpoints import ServingEndpoints
from tests.support.unity_catalog import UnityCatalog

TOKEN = f"dapi-{SECRET}"
MODEL = f"main.default.{PACKAGE}"


@dataclass(frozen=True)
class Workspace(Deploying):
    """A project, and the workspace that it deploys to."""

    serving: ServingEndpoints
    catalog: UnityCatalog


@pytest.fixture(scope="module")
def original(
    template: Path, installed: Project, tmp_path_factory: pytest.TempPathFactory
) -> Deploying:
    """The project, rendered once."""
    given = {"tracking_preset": "databricks", "serving_target": "databricks"}
    folder = tmp_path_factory.mktemp("databricks") / "project"
    return deploying(template, folder, given, installed)


@pytest.fixture
def workspace(original: Deploying, tmp_path: Path) -> Iterator[Workspace]:
    """A workspace whose Unity Catalog has three versions; the first is the champion."""
    catalog, serving = UnityCatalog(tmp_path / "catalog"), ServingEndpoints()
    catalog.models[MODEL] = [
        {"name": MODEL, "version": number, "run_id": f"run-{number}", "status": "READY"}
        for number in ("1", "2", "3")
    ]
    catalog.aliases[MODEL, "champion"] = "1"

    def answer(request: Request) -> tuple[int, bytes]:
        return serving.answer(request) or catalog.answer(request) or (404, b"{}")

    with proxy_of("http://127.0.0.1:9", Door(bearer(TOKEN))) as front:
        front.instead = answer
        variables = {"DATABRICKS_HOST": front.url, "DATABRICKS_TOKEN": TOKEN}
        copy = original.copied(tmp_path, variables)
        yield Workspace(copy.project, copy.variables, serving, catalog)


def test_a_dry_run_says_the_calls_and_the_champion_is_served_once(workspace: Workspace) -> None:
    screen = workspace.deploy("--dry-run")
    assert f"Create the endpoint '{PACKAGE}' on '{MODEL}': version 1 with 100 %" in screen
    assert "get_deploy_client('databricks').create_endpoint(config={" in screen
    assert "'entity_version': '1'" in screen
    assert workspace.serving.changes == []

    workspace.serving.looks = 1
    assert "IN_PROGRESS" in workspace.deploy()
    ((method, path, body),) = workspace.serving.changes
    assert (method, path) == ("POST", "/api/2.0/serving-endpoints/")
    assert body["config"]["served_entities"] == [
        {
            "name": f"{PACKAGE}-1",
            "entity_name": MODEL,
            "entity_version": "1",
            "workload_type": "CPU",
            "workload_size": "Small",
            "scale_to_zero_enabled": True,
        }
    ]
    assert workspace.serving.shares(PACKAGE) == {"1": 100}
    (tag,) = workspace.catalog.models[MODEL][0]["tags"]
    assert tag["key"] == "deployed_at"
    assert "nothing to do" in workspace.deploy()
    assert len(workspace.serving.changes) == 1


def test_a_version_gets_a_share_then_all_and_goes_back(workspace: Workspace) -> None:
    shares = workspace.serving.shares
    workspace.deploy()
    workspace.option("canary_percent: null", "canary_percent: 10")
    workspace.deploy("--version", "2")
    assert shares(PACKAGE) == {"1": 90, "2": 10}
    assert "'traffic_percentage': 100" in workspace.deploy("--rollback", "--dry-run")
    workspace.deploy("--rollback")
    assert shares(PACKAGE) == {"1": 100}
    workspace.option("canary_percent: 10", "canary_percent: null")
    workspace.deploy("--version", "2")
    assert shares(PACKAGE) == {"2": 100}
    workspace.deploy("--version", "3")
    workspace.deploy("--rollback")
    assert shares(PACKAGE) == {"2": 100}
    workspace.deploy("--rollback")
    assert shares(PACKAGE) == {"1": 100}
    assert "nothing to go back to" in workspace.deploy("--rollback", code=1)


def test_a_secret_goes_by_reference_and_never_by_value(workspace: Workspace) -> None:
    workspace.option("  secrets: {}", "  secrets: {API_TOKEN: team/api}")
    assert "{'API_TOKEN': '{{secrets/team/api}}'}" in workspace.deploy()
    entity = workspace.serving.endpoints[PACKAGE]["config"]["served_entities"][0]
    assert entity["environment_vars"] == {"API_TOKEN": "{{secrets/team/api}}"}
    workspace.option("  environment: {}", "  environment: {API_TOKEN: '${oc.env:TOKEN}'}")
    refused = workspace.deploy(code=1, env={"TOKEN": TOKEN})
    assert "deployment.environment.API_TOKEN looks like a secret" in refused
    assert "deployment.secrets" in refused


def test_an_endpoint_that_fails_serves_on_and_says_why(workspace: Workspace) -> None:
    # One that never came up is deployed again.
    workspace.serving.failure = "Out of memory."
    assert "Out of memory" in workspace.deploy(code=1)
    workspace.deploy()
    assert workspace.serving.shares(PACKAGE) == {"1": 100}
    workspace.serving.failure = "Container creation failed: no module named 'sklearn'."
    screen = workspace.deploy("--version", "2", code=1)
    assert "could not be changed (Container creation failed: no module named 'sklearn')" in screen
    assert workspace.serving.shares(PACKAGE) == {"1": 100}
    # What has failed is nothing to go back to.
    workspace.deploy("--version", "3")
    workspace.deploy("--rollback")
    assert workspace.serving.shares(PACKAGE) == {"1": 100}


def test_waiting_ends_and_what_has_begun_goes_on(workspace: Workspace) -> None:
    workspace.serving.looks = 5
    workspace.option("  timeout: 1800", "  timeout: 0.1")
    assert "is still IN_PROGRESS (NOT_READY) after 0.1 seconds" in workspace.deploy(code=1)
    assert "is being changed: wait until that is over" in workspace.deploy(code=1)


def test_what_is_refused_is_said_in_a_sentence(workspace: Workspace) -> None:
    assert f"The model '{MODEL}' has no version 9" in workspace.deploy("--version", "9", code=1)
    assert "no endpoint" in workspace.deploy("--rollback", code=1)
    workspace.serving.refusal = (
        403,
        {"error_code": "PERMISSION_DENIED", "message": "User ada may not manage the endpoint."},
    )
    refused = workspace.deploy(code=1)
    assert refused.endswith(
        "Databricks rejected the request (PERMISSION_DENIED): User ada may not manage the endpoint."
    )


def test_the_endpoint_of_another_model_is_left_alone(workspace: Workspace) -> None:
    workspace.deploy()
    workspace.catalog.models["main.other.model"] = workspace.catalog.models[MODEL]
    entity = workspace.serving.endpoints[PACKAGE]["config"]["served_entities"][0]
    entity["entity_name"] = "main.other.model"
    assert "serves 'main.other.model' and not" in workspace.deploy("--version", "2", code=1)
    assert workspace.serving.shares(PACKAGE) == {"1": 100}
