"""A team's tracking server, on real databases and stores, with users and passwords."""

from __future__ import annotations

import time
from stat import S_IMODE

import pytest

from tests.support.databases import PostgreSQL
from tests.support.little import predicted
from tests.support.old_databases import RUNS_REVISION, USERS_REVISION, revisions
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project
from tests.support.servers import ADMIN_PASSWORD, TrackingServer, arguments_of
from tests.support.stores import Store
from tests.support.tiny import SLOW, journals, refused, runs, tiny
from tests.support.training import training

pytestmark = pytest.mark.usefixtures("as_admin")

SERVERS = ["team_server", "other_server"]


# test_environments.py trains on the other one each time, and takes its model to the team's.
@pytest.mark.parametrize("name", ["team_server", pytest.param("other_server", marks=weekly)])
def test_a_run_with_its_model_lands_on_the_server_and_no_client_holds_a_cloud_key(
    name: str, project: Project, request: pytest.FixtureRequest
) -> None:
    server: TrackingServer = request.getfixturevalue(name)
    login = server.login()
    training(project).kedro("run", env=login)
    (run,) = runs(server.client, PACKAGE)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["evaluation/rmse"]
    assert server.client.list_artifacts(run.info.run_id, "kedro")
    assert str(run.info.artifact_uri).startswith("mlflow-artifacts:")
    version = server.client.get_model_version_by_alias(PACKAGE, "champion")
    assert version.run_id == run.info.run_id
    project.kedro("run", "--pipelines", "inference", env=login)
    assert len(predicted(project)) == 2


def test_databases_in_files_are_the_servers_alone(other_server: TrackingServer) -> None:
    databases = [*other_server.folder.glob("deploy/tracking-server/data/*.db*")]
    assert {S_IMODE(path.stat().st_mode) for path in databases} == {0o600}


def test_files_are_in_the_bucket(team_server: TrackingServer, s3: Store) -> None:
    assert [*s3.folder.rglob("MLmodel")]


def test_a_database_of_an_older_mlflow_is_brought_up_to_date_when_the_server_starts(
    team_server: TrackingServer, postgresql: PostgreSQL
) -> None:
    runs, users = revisions(postgresql.uri("mlflow"))
    assert runs != RUNS_REVISION
    assert users != USERS_REVISION
    assert team_server.client.get_experiment("700000").name == "from the past"


def test_a_server_whose_database_goes_and_comes_back_gets_everything(
    project: Project, team_server: TrackingServer, postgresql: PostgreSQL
) -> None:
    tiny(project, "gone", SLOW)
    process = project.fork("kedro", "run", env=team_server.login())
    deadline = time.monotonic() + 60
    while not runs(team_server.client, "gone"):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    postgresql.vanish()
    (project.folder / "go").touch()
    time.sleep(2)
    postgresql.service.start()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    if journals(project):  # It came back too late for the run's end.
        project.kedro("mlflow", "sync", env=team_server.login())
    (run,) = runs(team_server.client, "gone")
    assert run.info.status == "FINISHED"
    assert run.data.metrics.items() >= {"one/score": 0.5, "two/score": 1.0}.items()
    assert not refused(project)


@pytest.mark.parametrize("name", SERVERS)
def test_strangers_and_strange_names_are_turned_away(
    name: str, request: pytest.FixtureRequest
) -> None:
    server: TrackingServer = request.getfixturevalue(name)
    right, wrong = ("admin", ADMIN_PASSWORD), ("admin", "wrong")
    assert server.status("/health", Host="a-pod") == 200
    assert server.status() == 401
    assert server.status(login=wrong) == 401
    assert server.status(login=right) == 200
    assert server.status(login=right, Host="elsewhere.example.com") == 403


@pytest.mark.parametrize("name", SERVERS)
def test_no_secret_is_in_the_list_of_processes_or_in_the_servers_log(
    name: str, request: pytest.FixtureRequest
) -> None:
    server: TrackingServer = request.getfixturevalue(name)
    log = server.log.read_text(errors="replace")
    # A fork prints the command by which another process would serve.
    shown = arguments_of(server.group) + log
    assert " -m uvicorn " in shown
    assert "Uvicorn running" in log
    assert "CANARY" not in shown
