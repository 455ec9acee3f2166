"""`kedro run`, as its user types it, on the rows of `tests/data/` and with its own database."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kedro.config import OmegaConfigLoader
from mlflow import MlflowClient

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "tests" / "data"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This project's code and configuration, without its runs, and tracked by nobody else."""
    folder = tmp_path_factory.mktemp("project")
    for part in ("conf/base", "src", "data/05_model_input"):
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part)
    for part in ("pyproject.toml", "conf/logging.yml", ".telemetry"):
        shutil.copy(ROOT / part, folder / part)
    if not FIXTURES.is_dir():  # The project began with version 2.
        shutil.copytree(ROOT / "data", folder / "data", dirs_exist_ok=True)
        return folder
    catalog = OmegaConfigLoader(str(ROOT / "conf"), base_env="base", default_run_env="base")
    read = {
        table.stem: {**catalog["catalog"][table.stem], "filepath": str(table)}
        for table in FIXTURES.iterdir()
    }
    (folder / "conf/local").mkdir()
    (folder / "conf/local/catalog.yml").write_text(yaml.safe_dump(read), encoding="utf-8")
    return folder


def kedro(folder: Path, *arguments: str) -> None:
    """Run Kedro in a folder."""
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


def test_a_trained_model_is_tracked_registered_and_scores(copy: Path) -> None:
    kedro(copy, "run")
    client = MlflowClient(f"sqlite:///{copy.as_posix()}/mlflow.db")
    (model,) = client.search_registered_models()
    champion = client.get_model_version_by_alias(model.name, "champion")
    run = client.get_run(str(champion.run_id))
    assert run.info.status == "FINISHED"

    kedro(copy, "run", "--pipelines", "inference")
    (scoring,) = client.search_runs([run.info.experiment_id], "tags.kedro.pipelines = 'inference'")
    assert scoring.data.tags["model.version"] == str(champion.version)
