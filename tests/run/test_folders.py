"""A project works in a folder of any name, and nothing appears beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.support import rooms
from tests.support.little import CONFIG, INFERENCE, little, predicted
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project, copy_of
from tests.support.serving import serving

EXPECTED = ["12.0", "22.0"]
# One of a length and a quote, and one that has what all others have.
LONG_QUOTES = f'"{"x" * 199}'
NEARLY_ALL = "it's  Übung 😀 50%20off a#%25?b&c=d "
NAMES = {
    "nearly all": NEARLY_ALL,
    "spaces": "my  project ",
    "URI": "50%20off a#%25?b&c=d",
    "apostrophe": "it's Übung 😀",
    "quotes": 'say "x"',
    "long": "x" * 200,
}
SCORE = ("run", "--pipelines", "inference")


@contextmanager
def project_in(rendered: Project, tmp_path: Path, name: str) -> Iterator[Project]:
    """A trained project in a folder of this name, beside which nothing may appear."""
    above = tmp_path / name
    above.mkdir()
    project = little(copy_of(rendered, above))
    project.kedro("run", "--pipelines", "training")
    yield project
    assert [path.name for path in above.iterdir()] == ["project"]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def client_of(project: Project, link: Path) -> MlflowClient:
    """MLflow, asked at an address without anything strange in it."""
    link.symlink_to(project.folder)
    return MlflowClient(f"sqlite:///{link}/mlflow.db")


def scores(project: Project) -> list[str]:
    return [row.partition(",")[0] for row in predicted(project)]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(LONG_QUOTES, id="long quotes"),
        *(pytest.param(name, id=kind, marks=weekly) for kind, name in NAMES.items()),
    ],
)
def test_a_project_trains_and_scores_in_a_folder_of_any_name(
    rendered: Project, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    with project_in(rendered, tmp_path, name) as project:
        project.kedro(*SCORE, cwd="data")
        assert scores(project) == EXPECTED
        client = client_of(project, tmp_path_factory.mktemp("plain") / "project")
        scoring, training = project.runs(client)
        assert {scoring.info.status, training.info.status} == {"FINISHED"}
        assert client.get_model_version_by_alias(PACKAGE, "champion").run_id == training.info.run_id


@pytest.mark.strays("what is migrated was tracked where mlflow.yml says no longer")
def test_whatever_else_one_does_with_it_works_there_too(
    rendered: Project, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("plain")
    with project_in(rendered, tmp_path, NEARLY_ALL) as project:
        project.kedro("run", "--pipelines", "training")
        rules = {"holdout": "patients", "predictions": None, "thresholds": {"rmse": {"max": 9}}}
        project.write("conf/base/promotion.yml", json.dumps(rules))
        project.kedro("mlflow", "promote", "--version", "2")
        other = INFERENCE.replace('+ state["mean"]', '- state["mean"]')
        project.write(f"src/{PACKAGE}/pipelines/inference/pipeline.py", other)
        project.kedro(*SCORE)  # In a process of its own.
        assert scores(project) == EXPECTED
        runs = project.runs(client_of(project, elsewhere / "project"))
        assert [run.info.status for run in runs] == ["FINISHED"] * 3
        with serving(project, elsewhere) as served:
            answer = served.ask("/invocations", {"inputs": {"x": [10.0, 20.0]}}).body
            assert [str(each["prediction"]) for each in answer["predictions"]] == EXPECTED
        assert "All is well" in project.kedro("mlflow", "doctor").stdout
        package = Path("src", PACKAGE, "mlops", "migration")
        shutil.copytree(rooms.SOURCE / rooms.PACKAGE / "mlops/migration", project.folder / package)
        target = {"MLFLOW_TRACKING_URI": f"sqlite:///{elsewhere}/target.db"}
        project.write("conf/base/mlflow.yml", CONFIG.replace("sqlite:///mlflow.db", "null"))
        project.kedro("mlflow", "sync", "--from", "sqlite:///mlflow.db", env=target)
        client = MlflowClient(target["MLFLOW_TRACKING_URI"])
        assert str(client.get_model_version_by_alias(PACKAGE, "champion").version) == "2"


def test_what_mlflow_cannot_take_is_said_before_the_first_node(
    rendered: Project, tmp_path: Path
) -> None:
    above = tmp_path / 'it\'s "x"'
    above.mkdir()
    project = little(copy_of(rendered, above))
    result = project.kedro("run", "--pipelines", "training", code=1)
    assert "both kinds of quotes: rename the folder" in " ".join(result.stderr.split())
    assert "Running node" not in result.stdout
    assert not (project.folder / "mlflow.db").exists()
