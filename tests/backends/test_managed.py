"""Each managed service's own client library, against a stand-in of the service.

The stand-in is an open MLflow server behind a front that checks what the service's front checks:
Databricks' token, AWS's signature, Azure's token. What is different on the real services is listed
in docs/managed-services.md.
"""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest
import trustme
from mlflow import MlflowClient

from tests.support import answers
from tests.support.canary import leaky, traces
from tests.support.fronts import Door, bearer, identity, sigv4
from tests.support.profiles import IS_WEEKLY, weekly
from tests.support.project import PACKAGE, Project, install, tracking_server
from tests.support.proxy import Proxy, proxy_of
from tests.support.serving_endpoints import ServingEndpoints
from tests.support.stores import Store, s3
from tests.support.training import training_as_answered
from tests.support.unity_catalog import UnityCatalog

REGION, ACCOUNT = "eu-west-1", "123456789012"
ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:mlflow-tracking-server/team"
WORKSPACE = (
    "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/team"
    "/providers/Microsoft.MachineLearningServices/workspaces/ml"
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with s3(tmp_path / "s3") as made:
        yield made


def open_mlflow(project: Project, root: str) -> AbstractContextManager[str]:
    """The open server behind the fronts; its clients store files themselves, in `root`."""
    return tracking_server(project, project.folder.parent, root=root)


Standing: TypeAlias = tuple[dict[str, str], Door, Proxy, str]


@contextmanager
def sagemaker(project: Project, store: Store) -> Iterator[Standing]:
    """A stand-in: what its clients need, who is let in, where, and the server behind."""
    key, secret = (
        store.variables[f"AWS_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")
    )
    door = Door(sigv4(key, secret, REGION, "sagemaker-mlflow"))
    with open_mlflow(project, store.destination) as url, proxy_of(url, door) as front:
        # Where the plugin looks instead of REGION.experiments.sagemaker.aws.
        there = {"SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": front.url}
        yield store.variables | there, door, front, url


@contextmanager
def databricks(project: Project, store: Store, catalog: UnityCatalog) -> Iterator[Standing]:
    """A stand-in: what its clients need, who is let in, where, and the server behind."""
    door = Door(bearer("dapi-CANARYCANARY"))
    with open_mlflow(project, store.destination) as url, proxy_of(url, door) as front:
        front.instead = catalog.answer
        workspace = {"DATABRICKS_HOST": front.url, "DATABRICKS_TOKEN": "dapi-CANARYCANARY"}
        yield store.variables | workspace, door, front, url


def train_and_score(project: Project, variables: Mapping[str, str]) -> str:
    """Run both pipelines, of a little model; no secret may be on the screen, nor in the project."""
    training_as_answered(project)
    screen = ""
    for arguments in [(), ("--pipelines", "inference")]:
        result = project.kedro("run", *arguments, env=variables)
        screen += result.stdout + result.stderr
    assert not leaky(screen)
    assert not [path for path in traces(project.folder) if ".venv" not in path.parts]
    assert not (project.folder / ".kedro_mlflow" / "refused").exists(), screen
    return screen


def move_from_laptop(project: Project, variables: Mapping[str, str]) -> None:
    """Train into a database of the project's own, and move all of it."""
    laptop = project.client
    uri = "sqlite:///mlflow.db"
    on_laptop = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_REGISTRY_URI": uri}
    project.kedro("run", env=on_laptop)
    (registered,) = laptop.search_registered_models()
    laptop.set_model_version_tag(registered.name, "1", "stage", "tried")
    laptop.set_model_version_tag(registered.name, "1", "team/owner", "eve")
    move = partial(project.kedro, "mlflow", "sync", "--from", uri, env=variables)
    screen = move(code=1).stdout
    assert "1 runs, " in screen
    assert "1 traces, 1 versions." in screen
    assert "version 1: the tag team/owner is missing" in screen
    laptop.delete_model_version_tag(registered.name, "1", "stage")
    laptop.delete_model_version_tag(registered.name, "1", "team/owner")
    assert move().stdout.rstrip().endswith("All the same.")


def assert_arrived(client: MlflowClient, experiment_name: str) -> None:
    """Both runs are there, with metrics, models and a timeline."""
    experiment = client.get_experiment_by_name(experiment_name)
    assert experiment is not None
    scoring, training = client.search_runs([experiment.experiment_id])
    assert (training.info.run_name, scoring.info.run_name) == (
        "training",
        "inference version 1",
    )
    assert {training.info.status, scoring.info.status} == {"FINISHED"}
    assert training.data.metrics["evaluation/rmse"] > 0
    assert training.outputs is not None
    assert len(training.outputs.model_outputs) == 2
    timelines = client.search_traces(locations=[experiment.experiment_id], include_spans=False)
    of_runs = {trace.info.trace_metadata["mlflow.sourceRun"] for trace in timelines}
    assert of_runs == {training.info.run_id, scoring.info.run_id}


def assert_closed(url: str, context: ssl.SSLContext | None = None) -> None:
    """Nobody gets in without credentials."""
    with pytest.raises(urllib.error.HTTPError, match=r"401|403"):
        urllib.request.urlopen(f"{url}/api/2.0/mlflow/experiments/search", context=context)


@weekly
def test_sagemaker_takes_calls_that_its_plugin_signs(
    template: Path, installed: Project, tmp_path: Path, store: Store
) -> None:
    given = {"tracking_preset": "sagemaker", "tracking_uri": ARN}
    folder = answers.render(template, tmp_path / "project", given)
    project = Project(folder, installed.environment)
    with sagemaker(project, store) as (variables, door, front, url):
        train_and_score(project, variables)
        assert not door.refused
        posted = [request for request in door.let_in if request.body][-1]
        assert door.guard(replace(posted, body=b"{}")) == 403
        assert_closed(front.url)
        client = MlflowClient(url)
        assert_arrived(client, PACKAGE)
        assert client.get_model_version_by_alias(PACKAGE, "champion").version == "1"


def test_databricks_takes_runs_and_unity_catalog_the_model(
    template: Path, installed: Project, tmp_path: Path, store: Store
) -> None:
    given = {"tracking_preset": "databricks"}
    folder = answers.render(template, tmp_path / "project", given)
    project = Project(folder, installed.environment)
    catalog = UnityCatalog(tmp_path / "catalog")
    with databricks(project, store, catalog) as (workspace, door, front, url):
        screen = train_and_score(project, workspace)
        assert f"registered main.default.{PACKAGE} version 1 (champion)" in " ".join(screen.split())
        assert {request.path for request in door.refused} <= {"/.well-known/databricks-config"}
        assert_closed(front.url)
        assert_arrived(MlflowClient(url), f"/Shared/{PACKAGE}")
        project.kedro("run", env=workspace)
        project.kedro("mlflow", "promote", env=workspace)
        if IS_WEEKLY:  # tests/run/test_migration.py moves each time.
            move_from_laptop(project, workspace)
    name = f"main.default.{PACKAGE}"
    version, promoted, *moved = catalog.models[name]
    assert version["status"] == "READY"
    assert catalog.aliases == {(name, "champion"): "2"}
    assert {"key": "promoted_from", "value": "1"} in promoted["tags"]
    assert [each["status"] for each in moved] == ["READY"] * IS_WEEKLY
    for number in range(1, 3 + IS_WEEKLY):
        assert (tmp_path / f"catalog/Models/main/default/{PACKAGE}/{number}/MLmodel").is_file()


@weekly
@pytest.mark.parametrize("service", ["databricks", "sagemaker"])
def test_what_a_person_runs_on_the_service_runs_here(
    service: str, tmp_path: Path, store: Store
) -> None:
    endpoints, catalog = ServingEndpoints(), UnityCatalog(tmp_path / "catalog")
    project = Project(tmp_path / "try", Path(sys.prefix))
    if service == "databricks":
        there = databricks(project, store, catalog)
    else:
        there = sagemaker(project, store)
    with there as (variables, _, front, _):
        if service == "databricks":
            front.instead = lambda asked: endpoints.answer(asked) or catalog.answer(asked)
        script = answers.REPOSITORY / f"scripts/try/{service}.sh"
        given = {"TRY_FOLDER": str(project.folder), "SAGEMAKER_TRACKING_ARN": ARN}
        command = ["sh", str(script)]
        env = project.variables(variables | given)
        subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=False)
    report = (tmp_path / f"report-{service}.md").read_text("utf-8")
    table = re.findall(r"^\| ([A-Z][^|]+) \| (ok|failed \(\d+\)) \|", report, re.MULTILINE)
    assert len(table) > 8
    assert [step for step, outcome in table if outcome != "ok"] == [], report
    assert not leaky(report)


@weekly
def test_azureml_takes_the_token_of_a_machines_identity(template: Path, tmp_path: Path) -> None:
    uri = f"azureml://westeurope.api.azureml.ms/mlflow/v1.0{WORKSPACE}"
    given = {"tracking_preset": "azureml", "tracking_uri": uri}
    project = install(template, tmp_path, **given)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    trusting = ssl.create_default_context(cafile=tmp_path / "authority.pem")
    door = Door(bearer("aad-CANARYCANARY"))
    with (
        open_mlflow(project, str(tmp_path / "files")) as url,
        proxy_of(url, door) as front,
        proxy_of(url) as machine,
    ):
        # The plugin speaks https alone, to the host that stands in the tracking URI.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        front.socket = context.wrap_socket(front.socket, server_side=True)
        front.moved = lambda path: path.replace(f"/mlflow/v2.0{WORKSPACE}", "")
        machine.instead = identity("aad-CANARYCANARY", "CANARYCANARY-machine")
        host = front.url.removeprefix("http://")
        train_and_score(
            project,
            {
                "MLFLOW_TRACKING_URI": f"azureml://{host}/mlflow/v1.0{WORKSPACE}",
                "REQUESTS_CA_BUNDLE": str(tmp_path / "authority.pem"),
                "IDENTITY_ENDPOINT": f"{machine.url}/token",
                "IDENTITY_HEADER": "CANARYCANARY-machine",
            },
        )
        assert not door.refused
        assert_closed(f"https://{host}", trusting)
        client = MlflowClient(url)
        assert_arrived(client, PACKAGE)
        assert client.get_model_version_by_alias(PACKAGE, "champion").version == "1"
