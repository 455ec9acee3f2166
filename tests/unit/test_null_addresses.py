"""`null` in mlflow.yml is what it is to MLflow: a variable, a folder with runs, or a database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.rooms import Rooms

VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "MLFLOW_ALLOW_FILE_STORE"):
        monkeypatch.delenv(name, raising=False)


def resolved(mlops: Rooms, project: Path, content: dict[str, Any] | None = None) -> Any:
    config = mlops("config")
    return config.resolve(config.parse_config(content or {}), project)


def runs_in(folder: Path) -> None:
    """What kedro-mlflow and earlier versions of MLflow have left."""
    (folder / "0").mkdir(parents=True)
    (folder / "0" / "meta.yaml").write_text("experiment_id: '0'", "utf-8")


@pytest.mark.parametrize("content", [{}, {"server": {"mlflow_tracking_uri": None}}])
def test_it_is_a_database_of_the_project(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: dict[str, Any]
) -> None:
    project = tmp_path / "project"
    runs_in(tmp_path / "mlruns")  # Of the working directory: nothing to do with the project.
    (project / "mlruns" / "models").mkdir(parents=True)
    (project / "mlruns" / "models" / "meta.yaml").touch()  # Of no experiment.
    monkeypatch.chdir(tmp_path)
    server = resolved(mlops, project, content).server
    assert server.uri == server.registry_uri == f"sqlite:///{project.as_posix()}/mlflow.db"


def test_it_is_the_folder_that_has_runs(mlops: Rooms, tmp_path: Path) -> None:
    runs_in(tmp_path / "mlruns")
    server = resolved(mlops, tmp_path).server
    assert server.uri == server.registry_uri == (tmp_path / "mlruns").as_uri()
    (tmp_path / "mlflow.db").touch()  # They have been moved, or the next ones are there.
    assert resolved(mlops, tmp_path).server.uri == f"sqlite:///{tmp_path.as_posix()}/mlflow.db"


@pytest.mark.parametrize(
    ("tracking", "variables", "registry"),
    [
        ("http://server", {}, "http://server"),
        ("http://server", {"MLFLOW_REGISTRY_URI": "http://registry"}, "http://registry"),
        (None, {"MLFLOW_TRACKING_URI": "http://server"}, "http://server"),
        ("databricks", {}, "databricks-uc"),
        ("databricks://work", {}, "databricks-uc://work"),
        ("arn:aws:sagemaker:eu", {}, "arn:aws:sagemaker:eu"),
    ],
)
def test_the_registry_is_that_of_the_tracking_server(
    mlops: Rooms,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tracking: str | None,
    variables: dict[str, str],
    registry: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    content = {"server": {"mlflow_tracking_uri": tracking, "mlflow_registry_uri": None}}
    assert resolved(mlops, tmp_path, content).server.registry_uri == registry


def test_what_is_written_counts_before_variables(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "http://variable")
    uris = {"mlflow_tracking_uri": "http://written", "mlflow_registry_uri": "sqlite:///r.db"}
    mirror = {"mlflow_tracking_uri": "http://mirror"}
    config = resolved(mlops, tmp_path, {"server": uris, "mirrors": [mirror]})
    assert config.server.uri == "http://written"
    assert config.server.registry_uri == f"sqlite:///{tmp_path.as_posix()}/r.db"
    assert config.mirrors[0].registry_uri == "http://mirror"


@pytest.mark.parametrize(
    ("server", "key"),
    [
        ({}, "server.mlflow_tracking_uri"),
        ({"mlflow_tracking_uri": "mlruns"}, "server.mlflow_tracking_uri"),
        ({"mlflow_tracking_uri": "file:///somewhere"}, "server.mlflow_tracking_uri"),
        (
            {"mlflow_tracking_uri": "http://x", "mlflow_registry_uri": "models"},
            "server.mlflow_registry_uri",
        ),
    ],
)
def test_a_folder_is_refused_in_a_sentence_unless_mlflow_may_use_it(
    mlops: Rooms,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: dict[str, str],
    key: str,
) -> None:
    runs_in(tmp_path / "mlruns")
    require_all = mlops("backend.preflight").require_all
    config = resolved(mlops, tmp_path, {"server": server})
    with pytest.raises(mlops("errors").TrackingError) as refused:
        require_all(config)
    message = str(refused.value.message)
    assert message.startswith(f"mlflow.yml: {key} is the folder file:///")
    assert "mlflow migrate-filestore" in message
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    require_all(config)
