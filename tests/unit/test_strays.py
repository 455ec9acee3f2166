"""The tests' own guard: what is in the wrong place is found, and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.started import Started
from tests.support.strays import strays_of

TABLES = """
CREATE TABLE experiments (experiment_id, name, lifecycle_stage);
CREATE TABLE runs (run_uuid, experiment_id, lifecycle_stage);
CREATE TABLE tags (run_uuid, key, value);
INSERT INTO experiments VALUES (0, 'Default', 'active'), (1, 'study', 'active');
INSERT INTO experiments VALUES (2, 'tried', 'deleted');
INSERT INTO runs VALUES ('ours', 1, 'active'), ('below', 1, 'active'), ('gone', 0, 'deleted');
INSERT INTO tags VALUES ('ours', 'kedro.run_id', 'x'), ('below', 'mlflow.parentRunId', 'ours');
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "conf/base").mkdir(parents=True)
    config = "mlflow_tracking_uri: sqlite:///mlflow.db\nname: study\n"
    (folder / "conf/base/mlflow.yml").write_text(config, "utf-8")
    change(folder, TABLES)
    return folder


def change(folder: Path, script: str, name: str = "mlflow.db") -> None:
    with closing(sqlite3.connect(folder / name)) as database:
        database.executescript(script)


def found(project: Path, cwd: str = "", **env: str) -> list[str]:
    return strays_of(project, [Started(project, project / cwd, env)])


def test_what_mlflow_yml_names_is_no_stray(project: Path) -> None:
    assert not found(project)
    assert not found(project, MLFLOW_TRACKING_URI=f"sqlite:///{project}/mlflow.db")


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda folder: (folder / "mlruns").mkdir(), "mlruns is where"),
        (lambda folder: (folder / "src/mlruns").mkdir(parents=True), "mlruns is where"),
        (lambda folder: (folder.parent / "mlflow.db").touch(), "mlflow.db is where"),
        (
            lambda folder: change(folder, "INSERT INTO experiments VALUES (3, 'other', 'active')"),
            "an experiment 'other'",
        ),
        (
            lambda folder: change(folder, "INSERT INTO runs VALUES ('lost', 0, 'active')"),
            "a run lost in the experiment 'Default'",
        ),
        (
            lambda folder: change(
                folder,
                "INSERT INTO runs VALUES ('lost', 1, 'active');"
                "INSERT INTO tags VALUES ('lost', 'mlflow.parentRunId', 'gone')",
            ),
            "a run lost in the experiment 'study'",
        ),
        (
            lambda folder: change(
                folder, TABLES + "INSERT INTO runs VALUES ('lost', 1, 'active')", "other.db"
            ),
            "other.db: a run lost",
        ),
    ],
)
def test_what_is_in_the_wrong_place_is_named(
    project: Path, make: Callable[[Path], object], named: str
) -> None:
    make(project)
    (stray,) = found(project, cwd="..")
    assert named in stray


def test_a_database_that_only_mlflows_default_explains_is_a_stray(project: Path) -> None:
    (stray,) = found(project, MLFLOW_TRACKING_URI="http://server")
    assert "mlflow.db is where mlflow.yml does not say" in stray
