"""Where a run goes: what `.env`, the environment and conf/ of a Kedro environment say."""

from __future__ import annotations

import sqlite3

import yaml

from tests.support.project import PACKAGE, Project


def names(project: Project, table: str, database: str) -> set[str]:
    """The names of the runs or experiments in a database of the project."""
    with sqlite3.connect(project.folder / database) as connection:
        return {name for (name,) in connection.execute(f"SELECT name FROM {table}")}


def run(project: Project, *arguments: str, **variables: str) -> None:
    """The shortest run that there is."""
    project.kedro("run", "--nodes", "split", *arguments, env=variables)


def test_dotenv_is_read_and_the_environment_wins(project: Project) -> None:
    project.write(".env", "MLFLOW_TRACKING_URI=sqlite:///dotenv.db\n")
    run(project)
    assert PACKAGE in names(project, "experiments", "dotenv.db")
    assert not (project.folder / "mlflow.db").exists()

    run(project, MLFLOW_TRACKING_URI="sqlite:///environment.db")
    assert PACKAGE in names(project, "experiments", "environment.db")


def test_a_variable_left_empty_counts_as_not_set(project: Project) -> None:
    project.write(".env", "MLFLOW_TRACKING_URI=\n")
    run(project)
    assert PACKAGE in names(project, "experiments", "mlflow.db")


def test_an_environment_of_kedro_changes_the_keys_that_it_names_and_no_others(
    project: Project,
) -> None:
    project.edit("conf/base/mlflow.yml", "name: null   ", "name: of base")
    (project.folder / "conf/staging").mkdir(exist_ok=True)
    staging = {
        "server": {"mlflow_tracking_uri": "sqlite:///staging.db"},
        "tracking": {"experiment": {"name": "staging"}},
    }
    project.write("conf/staging/mlflow.yml", yaml.safe_dump(staging))
    run(project, "--env", "staging")
    assert names(project, "experiments", "staging.db") == {"Default", "staging"}
    assert names(project, "runs", "staging.db") == {"of base"}
    assert not (project.folder / "mlflow.db").exists()
