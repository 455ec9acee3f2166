"""A rendered project that tracks on a server, by the preset or by a variable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.support.project import PACKAGE, Project, tracking_server


@pytest.fixture(scope="module")
def server(rendered: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real tracking server with a database of its own."""
    with tracking_server(rendered, tmp_path_factory.mktemp("server")) as url:
        yield url


def test_runs_models_and_figures_go_to_the_server(project: Project, server: str) -> None:
    variables = {"MLFLOW_TRACKING_URI": server}
    screen = project.kedro("run", env=variables).stdout
    client = MlflowClient(server)
    (run,) = project.runs(client)
    assert f"{server}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}?" in screen
    assert len(client.list_artifacts(run.info.run_id, "figures")) == 2
    assert client.get_model_version_by_alias(PACKAGE, "champion").run_id == run.info.run_id
    project.kedro("run", "--pipelines", "inference", env=variables)
    assert (project.folder / "data/07_model_output/predictions.csv").exists()
    assert not (project.folder / "mlflow.db").exists()
    assert not (project.folder / "mlartifacts").exists()


def test_a_run_whose_server_refuses_it_keeps_its_result_and_its_journal(
    project: Project, tmp_path: Path
) -> None:
    project.edit(
        "conf/base/mlflow.yml",
        "artifact_location: null",
        f"artifact_location: nowhere://{tmp_path.name}",
    )
    screen = project.kedro("run").stdout
    assert "did not take the whole run" in " ".join(screen.split())
    assert (project.folder / "data/06_models/regressor.skops").exists()
    (journal,) = (project.folder / ".kedro_mlflow" / "journal").iterdir()
    assert "evaluation/rmse" in "".join(path.read_text() for path in journal.glob("*.jsonl"))
