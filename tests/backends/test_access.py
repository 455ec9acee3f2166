"""A server that asks who you are: what is wrong is said in a line, and the run is kept."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import trustme

from tests.support.fronts import Tokens, tls_of
from tests.support.project import Project
from tests.support.proxy import proxy_of
from tests.support.servers import TrackingServer
from tests.support.tiny import FIGURE, SLOW, journals, refused, runs, said, tiny

pytestmark = pytest.mark.usefixtures("as_admin")

PASSWORD = "CANARY-of-a-person"


def delivers(project: Project, server: TrackingServer, experiment: str, **login: str) -> None:
    """The project's one run is kept, and arrives whole by `sync` with this login."""
    assert len(journals(project)) == 1
    assert not refused(project)
    project.kedro("mlflow", "sync", env=login)
    (run,) = runs(server.client, experiment)
    assert run.info.status == "FINISHED"
    assert run.data.metrics.items() >= {"one/score": 0.5, "two/score": 1.0}.items()
    assert not journals(project)


def test_a_wrong_password_keeps_the_run_and_says_so(
    project: Project, team_server: TrackingServer
) -> None:
    tiny(project, "wrong-password")
    wrong = team_server.login("admin", "CANARY-wrong")
    screen = said(project.kedro("run", env=wrong).stdout)
    assert "did not take the whole run (it does not let you in" in screen
    assert "CANARY" not in screen
    again = project.kedro("mlflow", "sync", env=wrong, code=1)
    assert "it does not let you in" in again.stdout
    delivers(project, team_server, "wrong-password", **team_server.login())


def test_a_missing_permission_keeps_the_run_and_says_so(
    project: Project, team_server: TrackingServer
) -> None:
    tiny(project, "not-yours")
    team_server.users.create_user("reader", PASSWORD)
    experiment = team_server.client.create_experiment("not-yours")
    team_server.users.grant_user_permission("reader", "experiment", experiment, "DENY")
    reader = team_server.login("reader", PASSWORD)
    screen = said(project.kedro("run", env=reader).stdout)
    assert "did not take the whole run (it answers: Permission denied)" in screen
    team_server.users.revoke_user_permission("reader", "experiment", experiment)
    team_server.users.grant_user_permission("reader", "experiment", experiment, "EDIT")
    delivers(project, team_server, "not-yours", **reader)


def test_a_team_logs_into_one_experiment_once_its_creator_lets_them(
    project: Project, team_server: TrackingServer
) -> None:
    tiny(project, "shared", FIGURE)
    team_server.users.create_user("ada", PASSWORD)
    team_server.users.create_user("grace", PASSWORD)
    ada, grace = (team_server.login(name, PASSWORD) for name in ("ada", "grace"))
    project.kedro("run", env=ada)
    screen = said(project.kedro("run", env=grace).stdout)
    assert "did not take the whole run (it answers: Permission denied)" in screen
    experiment = team_server.client.get_experiment_by_name("shared")
    assert experiment
    team_server.users.grant_user_permission("grace", "experiment", experiment.experiment_id, "EDIT")
    project.kedro("mlflow", "sync", env=grace)
    assert len(runs(team_server.client, "shared")) == 2
    assert not journals(project)


def test_a_token_that_has_expired_keeps_the_run_and_says_so(
    project: Project, team_server: TrackingServer
) -> None:
    tiny(project, "expired")
    with proxy_of(team_server.url, Tokens("CANARY-new")) as proxy:
        variables = {"MLFLOW_TRACKING_URI": proxy.url, "MLFLOW_TRACKING_TOKEN": "CANARY-old"}
        screen = said(project.kedro("run", env=variables).stdout)
        assert "it does not let you in" in screen
        assert "CANARY" not in screen
        renewed = variables | {"MLFLOW_TRACKING_TOKEN": "CANARY-new"}
        delivers(project, team_server, "expired", **renewed)


def test_a_token_that_expires_in_a_run_loses_nothing_of_it(
    project: Project, team_server: TrackingServer
) -> None:
    tiny(project, "expires", SLOW)
    tokens = Tokens("CANARY-new")
    with proxy_of(team_server.url, tokens) as proxy:
        variables = {"MLFLOW_TRACKING_URI": proxy.url, "MLFLOW_TRACKING_TOKEN": "CANARY-new"}
        process = project.fork("kedro", "run", env=variables)
        deadline = time.monotonic() + 60
        while not runs(team_server.client, "expires"):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        tokens.accepted = "CANARY-newer"
        (project.folder / "linger").touch()
        (project.folder / "go").touch()
        asked = len(proxy.calls)
        while len(proxy.calls) == asked:  # What the second node has returned is refused.
            assert time.monotonic() < deadline
            time.sleep(0.1)
        (project.folder / "linger").unlink()
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
        assert "it does not let you in" in said(out)
        renewed = variables | {"MLFLOW_TRACKING_TOKEN": "CANARY-newer"}
        delivers(project, team_server, "expires", **renewed)


def test_a_certificate_of_an_own_authority_is_trusted_where_it_is_named(
    project: Project, team_server: TrackingServer, tmp_path: Path
) -> None:
    tiny(project, "private")
    authority, file = trustme.CA(), tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    with tls_of(team_server, authority) as url:
        login = {**team_server.login(), "MLFLOW_TRACKING_URI": url}
        screen = said(project.kedro("run", env=login).stdout)
        assert "did not take the whole run (its certificate is not trusted" in screen
        named = login | {"MLFLOW_TRACKING_SERVER_CERT_PATH": str(file)}
        delivers(project, team_server, "private", **named)
        tiny(project, "bundle", FIGURE)
        bundle = login | {"REQUESTS_CA_BUNDLE": str(file)}
        screen = said(project.kedro("run", env=bundle).stdout)
        assert f"{url}/#/experiments/" in screen
        assert not journals(project)
