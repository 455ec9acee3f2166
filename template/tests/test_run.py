"""`kedro run`, as its user types it, in a copy of this project with a database of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This project's code, configuration and data, without its runs, and tracked by nobody else."""
    folder = tmp_path_factory.mktemp("project")
    for part in ("conf/base", "conf/local", "data", "src"):
        shutil.copytree(ROOT / part, folder / part)
    for part in ("pyproject.toml", "conf/logging.yml", ".telemetry"):
        shutil.copy(ROOT / part, folder / part)
    return folder


def kedro(folder: Path, *arguments: str) -> str:
    """Run Kedro in a folder and return what it prints."""
    database = f"sqlite:///{folder.as_posix()}/mlflow.db"
    nowhere_else = {
        "MLFLOW_TRACKING_URI": database,
        "MLFLOW_REGISTRY_URI": database,
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": "mlartifacts",
    }
    result = subprocess.run(
        [sys.executable, "-m", "kedro", *arguments],
        cwd=folder,
        env=os.environ | nowhere_else,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_a_trained_model_is_tracked_registered_and_scores(copy: Path) -> None:
    kedro(copy, "run")
    client = MlflowClient(f"sqlite:///{copy.as_posix()}/mlflow.db")
    (model,) = client.search_registered_models()
    champion = client.get_model_version_by_alias(model.name, "champion")
    run = client.get_run(str(champion.run_id))
    assert run.info.status == "FINISHED"
    assert run.data.params
    assert run.data.metrics
    assert client.list_artifacts(run.info.run_id, "figures")

    kedro(copy, "run", "--pipelines", "inference")
    (scoring,) = client.search_runs([run.info.experiment_id], "tags.kedro.pipelines = 'inference'")
    assert scoring.data.tags["model.version"] == str(champion.version)
