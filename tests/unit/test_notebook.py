"""A notebook that has loaded a project: its own calls of MLflow go where the project's runs go."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import mlflow
import pytest

from tests.support.rooms import Rooms

Load = Callable[..., None]


@pytest.fixture
def notebook(mlops: Rooms) -> ModuleType:
    return mlops("tracking.notebook")


@pytest.fixture
def load(
    mlops: Rooms, notebook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Load]:
    """Load a project with a database of its own, as `%reload_kedro` does, in another folder."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    config, shell = mlops("config"), SimpleNamespace()

    class Context:
        def __init__(self, server: dict[str, Any]) -> None:
            self.server = server

        @property
        def mlflow(self) -> Any:
            content = {"server": self.server, "tracking": {"experiment": {"name": "study"}}}
            return config.resolve(config.parse_config(content), tmp_path)

    yield lambda **server: notebook.follow(Context(server), shell)
    if hasattr(shell, "kedro_mlflow"):
        shell.kedro_mlflow.changes.close()
    assert not list(Path.cwd().iterdir())


def uri_of(folder: Path, name: str) -> str:
    return f"sqlite:///{(folder / name).as_posix()}"


def runs_of(folder: Path, name: str, experiment: str) -> list[str]:
    client = mlflow.MlflowClient(uri_of(folder, name))
    found = client.get_experiment_by_name(experiment)
    assert found
    return [run.info.run_name for run in client.search_runs([found.experiment_id])]


def test_its_runs_are_in_the_projects_experiment(load: Load, tmp_path: Path) -> None:
    load()
    with mlflow.start_run(run_name="by hand") as run:
        mlflow.log_text("kept", "note.txt")
    assert run.info.artifact_uri.startswith(tmp_path.as_uri())
    assert runs_of(tmp_path, "mlflow.db", "study") == ["by hand"]
    assert os.environ["MLFLOW_TRACKING_URI"] == uri_of(tmp_path, "mlflow.db")


def test_what_it_has_chosen_outlives_loading_the_project_again(load: Load, tmp_path: Path) -> None:
    load()
    mlflow.set_experiment("another")
    load()
    with mlflow.start_run(run_name="chosen"):
        pass
    assert runs_of(tmp_path, "mlflow.db", "another") == ["chosen"]


def test_it_follows_the_environment_that_is_loaded_last(load: Load, tmp_path: Path) -> None:
    for server, name in (
        ({"mlflow_tracking_uri": "sqlite:///staging.db"}, "staging.db"),
        ({}, "mlflow.db"),  # Not where the variable says that the other one has set.
    ):
        load(**server)
        assert mlflow.get_tracking_uri() == uri_of(tmp_path, name)
    load(mlflow_registry_uri="sqlite:///models.db")
    assert mlflow.get_registry_uri() == uri_of(tmp_path, "models.db")
    load()
    assert mlflow.get_registry_uri() == uri_of(tmp_path, "mlflow.db")


def test_a_file_that_cannot_be_read_is_named(
    load: Load, caplog: pytest.LogCaptureFixture, mlops: Rooms, notebook: ModuleType
) -> None:
    shell = SimpleNamespace()

    class Broken:
        @property
        def mlflow(self) -> Any:
            raise mlops("errors").TrackingError("mlflow.yml: sever is no key.")

    notebook.follow(Broken(), shell)
    assert "mlflow.yml: sever is no key. Until then" in caplog.text
    assert not hasattr(shell, "kedro_mlflow")


@pytest.mark.parametrize(
    ("module", "found"),
    [
        (None, None),
        (SimpleNamespace(get_ipython=lambda: None), None),  # Imported by a program.
        (SimpleNamespace(get_ipython=lambda: "a shell"), "a shell"),
    ],
)
def test_a_program_is_no_notebook(
    notebook: ModuleType, monkeypatch: pytest.MonkeyPatch, module: Any, found: Any
) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    if module:
        monkeypatch.setitem(sys.modules, "IPython", module)
    assert notebook.shell() == found
