"""Runs that are written straight into a database server, whose address is in a variable."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.support import answers
from tests.support.databases import Database, PostgreSQL
from tests.support.machine import free_port
from tests.support.processes import wait_until
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project
from tests.support.stores import Store
from tests.support.tiny import FIGURE, SLOW, journals, refused, runs, said, tiny


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def database(request: pytest.FixtureRequest) -> Database:
    """Each database server, with an empty database `fresh`."""
    found: Database = request.getfixturevalue(request.param)
    found.create("fresh")
    return found


one_each_commit = pytest.mark.parametrize(
    "database", ["postgresql", pytest.param("mariadb", marks=weekly)], indirect=True
)


@pytest.fixture(scope="module")
def direct(postgresql: PostgreSQL, tables: str) -> str:
    """The address of a database that the tests of this file share."""
    return postgresql.create("direct", tables)


def test_the_first_run_makes_the_tables_and_every_value_is_there(
    database: Database, project: Project
) -> None:
    uri = database.uri("fresh")
    tiny(project, "first", FIGURE)
    project.edit(
        f"src/{PACKAGE}/pipelines/small.py",
        "\nnodes = [",
        "\nnodes = [node(lambda alpha: alpha, 'params:Alpha', 'One'), ",
    )
    project.write("conf/base/parameters.yml", "alpha: 0.5\nAlpha: 7\n")
    screen = project.kedro("run", env={"MLFLOW_TRACKING_URI": uri})
    client = MlflowClient(uri)
    (run,) = runs(client, "first")
    assert run.info.status == "FINISHED"
    # Names that differ in nothing but capital letters are two: not every collation sees it.
    assert run.data.params == {"alpha": "0.5", "Alpha": "7"}
    assert run.data.metrics.items() >= {"one/score": 0.5, "One": 7.0}.items()
    assert client.list_artifacts(run.info.run_id, "figures")
    assert "CANARY" not in screen.stdout + screen.stderr
    assert "WARNING" not in screen.stdout + screen.stderr
    assert not journals(project)


@one_each_commit
def test_first_runs_at_once_make_the_tables_once(database: Database, project: Project) -> None:
    uri = database.create("at_once")
    tiny(project, "at_once")
    variables = {"MLFLOW_TRACKING_URI": uri}
    started = [project.fork("kedro", "run", env=variables) for _ in range(3)]
    for process in started:
        out, err = process.communicate()
        assert process.returncode == 0, out + err
        assert "did not take the whole run" not in said(out)
    found = runs(MlflowClient(uri), "at_once")
    assert [run.info.status for run in found] == ["FINISHED"] * 3
    assert not journals(project)


@one_each_commit
def test_a_wrong_password_costs_a_line_and_nothing_else(
    database: Database, project: Project
) -> None:
    wrong = database.uri("fresh", "CANARY-wrong")
    tiny(project, "late")
    result = project.kedro("run", env={"MLFLOW_TRACKING_URI": wrong})
    screen = said(result.stdout + result.stderr)
    assert "the database does not open: " in screen
    assert screen.count("did not take the whole run") == 1
    assert "Traceback" not in screen
    assert "CANARY" not in screen
    assert len(journals(project)) == 1
    right = {"MLFLOW_TRACKING_URI": database.uri("fresh")}
    project.kedro("mlflow", "sync", env=right)
    (run,) = runs(MlflowClient(right["MLFLOW_TRACKING_URI"]), "late")
    assert run.data.metrics.items() >= {"one/score": 0.5, "two/score": 1.0}.items()
    assert not journals(project)


def test_a_run_that_must_be_tracked_stops_at_once_when_the_database_is_away(
    project: Project,
) -> None:
    tiny(project, "away")
    config = (project.folder / "conf/base/mlflow.yml").read_text()
    project.write("conf/base/mlflow.yml", config + "shipping: {on_unreachable: fail}\n")
    away = f"postgresql+psycopg://mlflow:CANARY@127.0.0.1:{free_port()}/mlflow"
    result = project.kedro("run", env={"MLFLOW_TRACKING_URI": away}, code=1)
    assert "cannot be reached (the database does not open" in said(result.stderr)
    assert "CANARY" not in result.stderr
    assert not journals(project)


def test_scoring_says_in_a_line_that_the_database_does_not_open(project: Project) -> None:
    away = f"mysql+pymysql://mlflow:CANARY@127.0.0.1:{free_port()}/mlflow"
    arguments = ["run", "--pipelines", "inference"]
    result = project.kedro(*arguments, env={"MLFLOW_TRACKING_URI": away}, code=1)
    assert f"could not be asked for the alias champion of '{PACKAGE}'" in said(result.stderr)
    assert "Traceback" not in result.stdout + result.stderr
    assert "CANARY" not in result.stdout + result.stderr


def test_a_database_that_goes_and_comes_back_in_a_run_gets_everything(
    project: Project, postgresql: PostgreSQL, direct: str
) -> None:
    tiny(project, "gone", SLOW)
    process = project.fork("kedro", "run", env={"MLFLOW_TRACKING_URI": direct})
    wait_until((project.folder / "waiting").exists)
    postgresql.vanish()
    time.sleep(2)
    postgresql.service.start()
    (project.folder / "go").touch()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    if journals(project):  # It came back too late for the run's end.
        project.kedro("mlflow", "sync", env={"MLFLOW_TRACKING_URI": direct})
    (run,) = runs(MlflowClient(direct), "gone")
    assert run.info.status == "FINISHED"
    assert run.data.metrics.items() >= {"one/score": 0.5, "two/score": 1.0}.items()
    assert not refused(project)


def test_a_bucket_that_refuses_its_keys_gets_the_files_later(
    project: Project, template: Path, tmp_path: Path, direct: str, s3: Store
) -> None:
    choice = {"backend_store": "postgresql", "artifact_store": "s3"}
    folder = answers.render(template, tmp_path / "direct", choice)
    project = tiny(Project(folder, project.environment), "bucket", FIGURE)
    config = (folder / "conf/base/mlflow.yml").read_text()
    location = "    create_experiment_kwargs: {artifact_location: s3://mlflow/direct}\n"
    project.write("conf/base/mlflow.yml", config.rstrip("\n") + f"\n{location}")
    variables = {**s3.variables, "MLFLOW_TRACKING_URI": direct}
    wrong = {**variables, "AWS_SECRET_ACCESS_KEY": "CANARY-wrong"}
    screen = said(project.kedro("run", env=wrong).stdout)
    assert "did not take the whole run" in screen
    assert "CANARY" not in screen
    assert not refused(project)
    project.kedro("mlflow", "sync", env=variables)
    (run,) = runs(MlflowClient(direct), "bucket")
    assert list((s3.folder / "direct" / run.info.run_id).rglob("*.png"))
