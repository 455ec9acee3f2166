"""What a rendered project refuses: before anything is computed, in a sentence, with the remedy."""

from __future__ import annotations

import pytest

from tests.support.answers import Render
from tests.support.little import little
from tests.support.profiles import weekly
from tests.support.project import Project


def refused(project: Project, *arguments: str) -> str:
    """Run Kedro, which must fail, and return the message; a traceback is no message."""
    result = project.kedro("run", *arguments, code=1)
    assert "Traceback" not in result.stdout + result.stderr
    return result.stderr


@pytest.mark.parametrize(
    ("parameter", "named"),
    [
        ("model.alpha=-1", ["model", "alpha", "greater than"]),
        ("split.test_fraction=1.5", ["split", "test_fraction"]),
        ("split.sed=3", ["split", "sed"]),
        ("model.alpha=much", ["model", "alpha"]),
    ],
)
def test_a_wrong_parameter_is_named(project: Project, parameter: str, named: list[str]) -> None:
    message = refused(project, "--params", parameter)
    for word in named:
        assert word in message
    assert not (project.folder / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("age,", "years,", ["age", "years"]),
        pytest.param("59,2,32.1", "59,2,much", ["bmi", "much", "row 1"], marks=weekly),
        ("59,2,32.1", "59,2,999", ["bmi", "999", "row 1"]),
    ],
)
def test_wrong_data_are_named(project: Project, old: str, new: str, named: list[str]) -> None:
    path = project.folder / "data/01_raw/diabetes.csv"
    content = path.read_text(encoding="utf-8")
    assert old in content
    path.write_text(content.replace(old, new, 1), encoding="utf-8")
    message = refused(project)
    for word in named:
        assert word in message
    (run,) = project.runs()
    assert run.info.status == "FAILED"
    assert not run.data.metrics


def test_an_empty_file_is_refused(project: Project) -> None:
    project.write("data/01_raw/diabetes.csv", "")
    assert "diabetes.csv" in refused(project)
    (run,) = project.runs()
    assert run.info.status == "FAILED"


def test_an_unknown_key_in_mlflow_yml_is_refused_with_the_nearest_one(project: Project) -> None:
    project.edit("conf/base/mlflow.yml", "  experiment:", "  experimnt:")
    message = refused(project)
    assert "unknown key 'tracking.experimnt'" in message
    assert "'experiment'" in message


def test_a_wrong_value_in_mlflow_yml_is_refused_with_its_key(project: Project) -> None:
    project.edit("conf/base/mlflow.yml", "deadline: 60", "deadline: soon")
    assert "shipping.deadline" in refused(project)


def test_a_model_pipeline_that_is_not_registered_is_refused(project: Project) -> None:
    project.edit("conf/base/mlflow.yml", "pipeline: inference ", "pipeline: infernce ")
    message = refused(project)
    assert "model.pipeline names the pipeline 'infernce'" in message
    assert "inference" in message


def test_scoring_without_a_champion_says_what_to_run(project: Project) -> None:
    message = refused(project, "--pipelines", "inference")
    assert "champion yet" in message
    assert "kedro run" in message
    assert not project.runs()


def test_a_project_that_was_moved_says_so_and_brings_no_old_folder_back(project: Project) -> None:
    little(project).kedro("run", "--pipelines", "training")
    old = project.folder
    moved = Project(old.rename(old.with_name("moved")), project.environment)
    message = refused(moved, "--pipelines", "inference")
    assert "Was the project moved?" in message
    screen = " ".join(moved.kedro("run", "--pipelines", "training").stdout.split())
    assert "a folder that is gone: move the project back" in screen
    assert not old.exists()


@pytest.mark.parametrize("dotenv", ["", "MLFLOW_TRACKING_URI=\n"], ids=["nowhere", "left empty"])
def test_a_variable_without_a_value_is_named(dotenv: str, project: Project, render: Render) -> None:
    database = render(backend_store="postgresql")
    project.write("conf/base/mlflow.yml", (database / "conf/base/mlflow.yml").read_text())
    project.write(".env", dotenv)
    message = " ".join(refused(project).split())
    assert (
        "server.mlflow_tracking_uri reads the environment variable MLFLOW_TRACKING_URI" in message
    )
    assert ".env.example" in message


def test_a_store_without_its_library_is_refused(project: Project) -> None:
    project.write(".env", "MLFLOW_TRACKING_URI=postgresql+psycopg://ada:s3cret@127.0.0.1/runs\n")
    message = " ".join(refused(project).split())
    assert 'run `uv add "psycopg[binary]"`' in message
    assert "s3cret" not in message
    project.write(".env", "")
    project.edit("conf/base/mlflow.yml", "artifact_location: null", "artifact_location: s3://b/f")
    assert "`uv add boto3`" in refused(project)
