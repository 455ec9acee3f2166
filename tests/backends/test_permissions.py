"""On the team's server a user reads what is another's, and changes nothing of it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.support.proxy import basic
from tests.support.servers import TrackingServer

pytestmark = pytest.mark.usefixtures("as_admin")

PASSWORD = "CANARY-of-a-person"


class User:
    """Somebody who calls the server as a program does that is not MLflow's own."""

    def __init__(self, server: TrackingServer, name: str) -> None:
        self.name, self.url = name, server.url
        server.users.create_user(name, PASSWORD)
        self._headers = {"Authorization": basic(name, PASSWORD)}

    def call(self, method: str, path: str, content: Any = None) -> tuple[int, Any]:
        """The status and the content of an answer; JSON goes out for anything but bytes."""
        is_bytes = isinstance(content, bytes)
        data = content if is_bytes or content is None else json.dumps(content).encode()
        kind = "application/octet-stream" if is_bytes else "application/json"
        headers = self._headers | {"Content-Type": kind}
        request = urllib.request.Request(f"{self.url}/{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                body = response.read()
                return response.status, json.loads(body) if body[:1] == b"{" else body
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def does(self, path: str, method: str = "POST", **content: Any) -> Any:
        """Do what is this user's to do; what the server answers."""
        status, answer = self.call(method, f"api/2.0/mlflow/{path}", content)
        assert status == 200, answer
        return answer


def experiment_of(user: User, name: str) -> tuple[str, str]:
    """Create an experiment and a run in it: their ids."""
    experiment = user.does("experiments/create", name=name)["experiment_id"]
    run = user.does("runs/create", experiment_id=experiment, start_time=1)["run"]
    return experiment, run["info"]["run_id"]


def model_of(user: User, name: str, experiment: str, run: str) -> None:
    """Register a version with a file and the alias of a champion."""
    path = f"api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/model/MLmodel"
    assert user.call("PUT", path, b"ada's")[0] == 200
    user.does("registered-models/create", name=name)
    source = f"mlflow-artifacts:/{experiment}/{run}/artifacts/model"
    user.does("model-versions/create", name=name, source=source, run_id=run)
    user.does("registered-models/alias", name=name, alias="champion", version="1")


def state(user: User, experiment: str, run: str, model: str) -> list[Any]:
    files = f"api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/model/MLmodel"
    asked = [
        f"api/2.0/mlflow/registered-models/get?name={model}",
        f"api/2.0/mlflow/runs/get?run_id={run}",
        f"api/2.0/mlflow/experiments/get?experiment_id={experiment}",
        f"api/2.0/mlflow-artifacts/artifacts?path={experiment}/{run}/artifacts",
        files,
    ]
    answers = [user.call("GET", path) for path in asked]
    assert {status for status, _ in answers} == {200}
    return answers


def test_another_user_reads_a_model_and_changes_nothing_of_it(
    team_server: TrackingServer,
) -> None:
    ada, eve = User(team_server, "ada-of-permissions"), User(team_server, "eve")
    experiment, run = experiment_of(ada, "ada's experiment")
    model_of(ada, "ada-model", experiment, run)
    before = state(ada, experiment, run, "ada-model")
    assert state(eve, experiment, run, "ada-model") == before
    own, own_run = experiment_of(eve, "eve's experiment")
    model_of(eve, "eve-model", own, own_run)

    api, files = "api/2.0/mlflow", "api/2.0/mlflow-artifacts"
    target, mine = f"{experiment}/{run}/artifacts", f"{own}/{own_run}/artifacts"
    source = f"mlflow-artifacts:/{mine}/model"
    model, version = {"name": "ada-model"}, {"name": "ada-model", "version": "1"}
    refused: list[tuple[str, str, Any]] = [
        # The alias.
        ("POST", f"{api}/registered-models/alias", {**version, "alias": "champion"}),
        ("POST", f"{api}/registered-models/alias", {**version, "alias": "mine"}),
        ("DELETE", f"{api}/registered-models/alias", {**model, "alias": "champion"}),
        # The model and its versions.
        ("POST", f"{api}/model-versions/create", {**model, "source": source, "run_id": own_run}),
        ("POST", f"{api}/model-versions/create", {**model, "source": "models:/eve-model/1"}),
        ("POST", f"{api}/model-versions/set-tag", {**version, "key": "a", "value": "b"}),
        ("POST", f"{api}/registered-models/set-tag", {**model, "key": "a", "value": "b"}),
        ("PATCH", f"{api}/model-versions/update", {**version, "description": "x"}),
        ("POST", f"{api}/registered-models/rename", {**model, "new_name": "x"}),
        ("DELETE", f"{api}/model-versions/delete", version),
        ("DELETE", f"{api}/registered-models/delete", model),
        # The run and the experiment.
        ("POST", f"{api}/runs/create", {"experiment_id": experiment, "start_time": 1}),
        ("POST", f"{api}/runs/log-batch", {"run_id": run, "tags": [{"key": "a", "value": "b"}]}),
        ("POST", f"{api}/runs/set-tag", {"run_id": run, "key": "a", "value": "b"}),
        ("POST", f"{api}/runs/update", {"run_id": run, "status": "FAILED"}),
        ("POST", f"{api}/runs/delete", {"run_id": run}),
        ("POST", f"{api}/experiments/delete", {"experiment_id": experiment}),
        ("POST", f"{api}/experiments/update", {"experiment_id": experiment, "new_name": "x"}),
        # The files: under their own path, and by way of another one.
        ("PUT", f"{files}/artifacts/{target}/model/MLmodel", b"eve's"),
        ("DELETE", f"{files}/artifacts/{target}/model/MLmodel", None),
        ("PUT", f"{files}/artifacts/%25{ord(experiment[0]):x}{experiment[1:]}/x", b"eve's"),
        ("PUT", f"{files}/artifacts/{mine}/../../../{target}/model/MLmodel", b"eve's"),
        ("PUT", f"{files}/artifacts/{mine}/%2e%2e/%2e%2e/%2e%2e/{target}/x", b"eve's"),
        ("PUT", f"{files}/artifacts/{mine}%2f..%2f..%2f..%2f{target}%2fx", b"eve's"),
        ("POST", f"{files}/mpu/create/{target}", {"path": "x", "num_parts": 1}),
        ("POST", f"ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=x", b"eve's"),
        # A place of her choice, where the server would write for her.
        *(
            ("POST", f"{api}/experiments/create", {"name": place, "artifact_location": place})
            for place in (f"mlflow-artifacts:/{experiment}", "file:///tmp/x", "s3://bucket/x")
        ),
        # Permissions, which are the admin's and the owner's to give.
        ("PATCH", f"{api}/users/update-admin", {"username": "eve", "is_admin": True}),
        ("PATCH", f"{api}/users/update-password", {"username": ada.name, "password": PASSWORD}),
    ]
    allowed = [
        (method, path, content, status)
        for method, path, content in refused
        for status in [eve.call(method, path, content)[0]]
        if not 400 <= status < 500
    ]
    assert allowed == []
    assert state(ada, experiment, run, "ada-model") == before
    # The same are the owner's to do, and to let others do.
    assert ada.call(*refused[1])[0] == 200
    assert ada.call("PUT", f"{files}/artifacts/{target}/model/MLmodel", b"new")[0] == 200
    grant = {"username": "eve", "permission": "EDIT", "resource_type": "registered_model"}
    grant |= {"resource_id": "ada-model", "resource_pattern": "ada-model"}
    assert ada.call("POST", "api/3.0/mlflow/users/permissions/grant", grant)[0] == 200
    assert eve.call(*refused[1])[0] == 200
