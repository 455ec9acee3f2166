"""`kedro mlflow doctor`: each thing that it looks at is broken for real, and it says so."""

from __future__ import annotations

import datetime
import json
import re
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
import trustme
from alembic import command
from mlflow.store.db import utils

from tests.support import tables
from tests.support.disguise import disguise_of
from tests.support.guarded import GuardedServer
from tests.support.machine import free_port
from tests.support.project import PACKAGE, Project, copy_of

Findings = dict[str, tuple[str, str]]


def examine(project: Project, env: Mapping[str, str] | None = None, *, code: int = 0) -> Findings:
    """What the doctor finds: by check, its status and its words."""
    result = project.kedro("mlflow", "doctor", "--json", code=code, env=env)
    assert "CANARY" not in result.stdout + result.stderr
    report = json.loads(result.stdout)
    assert report["ok"] == (code == 0)
    return {
        check["name"]: (check["status"], f"{check['message']} -> {check['remedy']}")
        for check in report["checks"]
    }


def statuses(findings: Findings) -> dict[str, str]:
    """The checks that are not well."""
    return {name: status for name, (status, _) in findings.items() if status != "ok"}


def named(project: Project, name: str) -> str:
    """Give a project's experiment and model a name of the test's own."""
    project.edit("conf/base/mlflow.yml", f"    name: {PACKAGE}\n", f"    name: {name}\n")
    project.edit("conf/base/mlflow.yml", f"\n  name: {PACKAGE}\n", f"\n  name: {name}\n")
    return name


def name_in(project: Project) -> str:
    """The name that the test's experiment and model have."""
    text = (project.folder / "conf/base/mlflow.yml").read_text(encoding="utf-8")
    (name,) = re.findall(r"^    name: (.+)$", text, re.MULTILINE)[:1]
    return str(name)


def files(project: Project) -> list[Path]:
    """What lies in a project's folder, what Python compiles aside."""
    return sorted(path for path in project.folder.rglob("*") if "__pycache__" not in path.parts)


@pytest.fixture
def shared(project: Project, guarded: GuardedServer, request: pytest.FixtureRequest) -> Project:
    """A project whose experiment and model are on the server, and belong to the admin."""
    name = named(project, request.node.name.replace("[", " ").replace("]", ""))
    guarded.create_experiment(name)
    guarded.create_model(name)
    return project


@pytest.fixture(scope="module")
def tracked(rendered: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a database in which there are an experiment and a model."""
    project = copy_of(rendered, tmp_path_factory.mktemp("tracked"))
    tables.give(project.folder)
    (project.folder / "mlartifacts").mkdir()
    project.client.create_experiment(PACKAGE, str(project.folder / "mlartifacts"))
    project.client.create_registered_model(PACKAGE)
    return project


@pytest.fixture
def local(tracked: Project, project: Project) -> Project:
    """A copy of it for a test to break."""
    shutil.copy(tracked.folder / "mlflow.db", project.folder)
    return project


def test_a_project_without_a_run_hears_that_nothing_is_wrong(project: Project) -> None:
    before = files(project)
    screen = project.kedro("mlflow", "doctor", env={"COLUMNS": "80"}).stdout
    assert "mlflow.db comes with the first run" in screen
    assert "Nothing is wrong. `uv run kedro run` makes the first run." in screen
    assert "failed" not in screen
    assert max(map(len, screen.splitlines())) <= 80
    assert files(project) == before


def test_a_database_is_left_as_it_was(tracked: Project) -> None:
    before = contents(tracked)
    assert statuses(examine(tracked)) == {}
    assert contents(tracked) == before
    assert list((tracked.folder / "mlartifacts").iterdir()) == []


def contents(project: Project) -> dict[str, list[Any]]:
    """What is in a project's database, the time of the last change aside."""
    columns = {
        "experiments": "name, lifecycle_stage",
        "experiment_tags": "*",
        "runs": "*",
        "registered_models": "name",
        "registered_model_tags": "*",
    }
    engine = sqlalchemy.create_engine(f"sqlite:///{project.folder}/mlflow.db")
    with engine.connect() as connection:
        found = {
            table: list(connection.execute(sqlalchemy.text(f"select {names} from {table}")))
            for table, names in columns.items()
        }
    engine.dispose()
    return found


def test_a_server_is_left_as_it_was(guarded: GuardedServer, shared: Project) -> None:
    before = guarded.contents()
    findings = examine(shared, guarded.login())
    assert statuses(findings) == {}
    assert "an administrator" in findings["sign-in"][1]
    after = guarded.contents()
    assert after == before, [(k, after[k], before[k]) for k in after if after[k] != before[k]]


def test_before_the_first_run_a_deleted_experiment_is_all_that_stays(
    project: Project, guarded: GuardedServer
) -> None:
    name = named(project, "yet to come")
    before = guarded.contents()
    assert statuses(examine(project, guarded.login("newcomer"))) == {}
    after = guarded.contents()
    (made,) = after["experiments"].keys() - before["experiments"].keys()
    assert made.startswith(f"{name}-kedro-mlflow-doctor-")
    assert after["experiments"].pop(made)[0] == "deleted"
    assert after == before


def test_a_silent_server_is_named_and_what_needs_it_is_skipped(project: Project) -> None:
    port = free_port()
    findings = examine(project, {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}, code=1)
    status, words = findings["address"]
    assert status == "failed"
    assert f"no server listens at 127.0.0.1:{port}" in words
    assert "MLFLOW_TRACKING_URI" in words
    skipped = [name for name, (status, _) in findings.items() if status == "skipped"]
    assert skipped == [
        *("encryption", "clock", "sign-in", "version", "experiment", "artifacts", "registry")
    ]
    assert {findings[name][1] for name in skipped} == {"needs address -> "}


def test_a_server_that_never_answers_is_not_waited_for(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        findings = examine(project, {"MLFLOW_TRACKING_URI": url}, code=1)
    assert "does not answer within seconds" in findings["address"][1]


def test_a_wrong_password_is_told_from_none(guarded: GuardedServer, project: Project) -> None:
    wrong = examine(project, guarded.login(password="CANARY-wrong"), code=1)
    assert wrong["sign-in"][0] == "failed"
    assert "does not accept MLFLOW_TRACKING_USERNAME" in wrong["sign-in"][1]
    none = examine(project, {"MLFLOW_TRACKING_URI": guarded.url}, code=1)
    assert "asks who we are -> Put MLFLOW_TRACKING_USERNAME" in none["sign-in"][1]


def test_who_may_only_read_hears_which_permission_to_ask_for(
    guarded: GuardedServer, shared: Project
) -> None:
    before = guarded.contents()
    findings = examine(shared, guarded.login("reader"), code=1)
    assert statuses(findings) == {
        "experiment": "failed",
        "artifacts": "skipped",
        "registry": "failed",
    }
    for check in ("experiment", "registry"):
        assert "permission EDIT" in findings[check][1]
    after = guarded.contents()
    assert after == before, [(k, after[k], before[k]) for k in after if after[k] != before[k]]


def test_who_may_write_and_not_delete_hears_what_stays(
    guarded: GuardedServer, shared: Project
) -> None:
    name = name_in(shared)
    found = guarded.call("GET", f"2.0/mlflow/experiments/get-by-name?experiment_name={name}")
    experiment_id = found["experiment"]["experiment_id"]
    guarded.grant("editor", "EDIT", "experiment", experiment_id)
    guarded.grant("editor", "EDIT", "registered_model", name)
    for _ in range(2):
        findings = examine(shared, guarded.login("editor"))
        assert statuses(findings) == {"left behind": "warning"}
        files = [path for path in (guarded.files / experiment_id).rglob("*") if path.is_file()]
        assert len(files) == 1  # One, however often it is written.
        assert files[0].parents[1].name in findings["left behind"][1]


def test_a_certificate_must_be_signed_for_this_name_and_valid(
    guarded: GuardedServer, shared: Project, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    trusting = {"MLFLOW_TRACKING_SERVER_CERT_PATH": str(tmp_path / "authority.pem")}
    with disguise_of(guarded.url, authority.issue_cert("127.0.0.1")) as server:
        url = {"MLFLOW_TRACKING_URI": server.url.replace("http:", "https:")}
        unknown = examine(shared, guarded.login() | url, code=1)
        assert unknown["address"][0] == "ok"
        assert "authority is unknown here" in unknown["encryption"][1]
        assert unknown["sign-in"] == ("skipped", "needs encryption -> ")
        known = examine(shared, guarded.login() | url | trusting)
        assert statuses(known) == {}
    yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    for certificate, words in (
        (authority.issue_cert("mlflow.example.com"), "for another name"),
        (authority.issue_cert("127.0.0.1", not_after=yesterday), "has expired"),
    ):
        with disguise_of(guarded.url, certificate) as server:
            url = {"MLFLOW_TRACKING_URI": server.url.replace("http:", "https:")}
            findings = examine(shared, guarded.login() | url | trusting, code=1)
        assert findings["encryption"][0] == "failed"
        assert words in findings["encryption"][1], findings["encryption"]


def test_a_server_without_tls_behind_https_is_told(
    guarded: GuardedServer, project: Project
) -> None:
    url = {"MLFLOW_TRACKING_URI": guarded.url.replace("http:", "https:")}
    findings = examine(project, guarded.login() | url, code=1)
    assert "speaks no TLS -> Use an http:// address." in findings["encryption"][1]


def test_clock_and_version_of_a_server_must_agree(guarded: GuardedServer, shared: Project) -> None:
    with disguise_of(guarded.url) as server:
        variables = guarded.login() | {"MLFLOW_TRACKING_URI": server.url}
        server.seconds_off, server.version = 3600 * 3, "2.22.2"
        findings = examine(shared, variables, code=1)
        assert statuses(findings) == {"clock": "failed", "version": "failed"}
        assert "3 hours behind the server" in findings["clock"][1]
        assert "MLflow 2.22.2, which takes no models" in findings["version"][1]
        server.seconds_off, server.version = -120, "3.0.1"
        findings = examine(shared, variables)
        assert statuses(findings) == {"clock": "warning", "version": "warning"}


def test_something_else_than_mlflow_is_told_from_it(project: Project) -> None:
    port = free_port()
    other = project.start("python", "-m", "http.server", str(port), "--bind", "127.0.0.1")
    try:
        url = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}
        while socket.socket().connect_ex(("127.0.0.1", port)):
            pass
        findings = examine(project, url, code=1)
    finally:
        other.terminate()
        other.communicate()
    assert findings["sign-in"][0] == "failed"
    assert "not MLflow's" in findings["sign-in"][1]


def test_a_missing_variable_is_named(guarded: GuardedServer, project: Project) -> None:
    half = guarded.login()
    del half["MLFLOW_TRACKING_PASSWORD"]
    findings = examine(project, half, code=1)
    assert findings["variables"] == (
        "failed",
        "MLFLOW_TRACKING_PASSWORD not set -> "
        "Put what is missing into .env: .env.example explains each variable.",
    )
    assert findings["sign-in"] == ("skipped", "needs variables -> ")
    project.edit("conf/base/mlflow.yml", ',"sqlite:///mlflow.db"}', "}")
    findings = examine(project, code=1)
    assert findings["settings"][0] == "failed"
    assert "MLFLOW_TRACKING_URI" in findings["settings"][1]
    assert list(findings) == ["settings", "journal", "refused"]


def test_an_unknown_key_is_a_finding(project: Project) -> None:
    project.edit("conf/base/mlflow.yml", "  experiment:", "  experimnt:")
    findings = examine(project, code=1)
    assert "unknown key 'tracking.experimnt'" in findings["settings"][1]


# Files' modes count for root as well, once it has no capability.
UNPRIVILEGED = """\
import ctypes, sys
from kedro.framework.cli.cli import main

version = (ctypes.c_uint32 * 2)(0x20080522)
assert ctypes.CDLL(None).capset(version, (ctypes.c_uint32 * 6)()) == 0
sys.dont_write_bytecode = True
sys.argv = ["kedro", "mlflow", "doctor", "--json"]
main()
"""


@pytest.mark.parametrize("broken", ["mlartifacts", "mlflow.db"])
def test_what_cannot_be_written_is_named(local: Project, tracked: Project, broken: str) -> None:
    path = (tracked if broken == "mlartifacts" else local).folder / broken
    folder = path if broken == "mlartifacts" else path.parent
    modes = [(each, each.stat().st_mode) for each in (path, folder)]
    local.write("script.py", UNPRIVILEGED)
    path.chmod(0o555 if path.is_dir() else 0o444)
    folder.chmod(0o555)
    try:
        result = local.forked("python", "script.py", code=1)
    finally:
        for each, mode in modes:
            each.chmod(mode)
    found = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    check = found["artifacts" if broken == "mlartifacts" else "experiment"]
    assert check["status"] == "failed"
    assert "ermission denied" in check["message"] or "readonly" in check["message"]
    assert check["remedy"]


def test_tables_of_an_older_mlflow_lead_to_the_command_that_migrates_them(local: Project) -> None:
    uri = f"sqlite:///{local.folder}/mlflow.db"
    engine = sqlalchemy.create_engine(uri)
    config = utils._get_alembic_config(uri)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "-1")
    engine.dispose()
    findings = examine(local, code=1)
    status, words = findings["tables"]
    assert status == "failed"
    assert "1 migrations behind" in words
    assert findings["experiment"] == ("skipped", "needs tables -> ")
    remedy = words.partition("then run: uv run ")[2]
    assert remedy == "mlflow db upgrade sqlite:///mlflow.db"
    local.forked(*remedy.split())
    assert statuses(examine(local)) == {}


def test_tables_of_a_newer_mlflow_are_not_touched(local: Project) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{local.folder}/mlflow.db")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("update alembic_version set version_num = 'of 2030'"))
    engine.dispose()
    findings = examine(local, code=1)
    assert "a newer MLflow" in findings["tables"][1]


def test_runs_that_wait_are_counted(project: Project) -> None:
    away = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}"}
    project.edit("conf/base/mlflow.yml", "deadline: 60 ", "deadline: 0.1 ")
    project.kedro("run", "--nodes", "split", env=away)
    refused = project.folder / ".kedro_mlflow" / "refused"
    refused.mkdir()
    (refused / "2026-01-01T00.00.00.000Z-server.jsonl").write_text("{}\n")
    findings = examine(project)
    assert statuses(findings)["journal"] == statuses(findings)["refused"] == "warning"
    assert "1 run waits for delivery, from 2" in findings["journal"][1]
    assert "uv run kedro mlflow sync" in findings["journal"][1]
    assert ".kedro_mlflow/refused/ says what" in findings["refused"][1]


def test_a_mirror_that_is_away_is_found(guarded: GuardedServer, shared: Project) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    there = f"[{{mlflow_tracking_uri: {guarded.url}}}, {{mlflow_tracking_uri: {away}}}]"
    shared.edit("conf/base/mlflow.yml", "\nmirrors: []", f"\nmirrors: {there}")
    findings = examine(shared, guarded.login(), code=1)
    assert statuses(findings) == {"mirror 2": "failed"}


def test_the_environment_decides_which_place_is_looked_at(project: Project) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    (project.folder / "conf/staging").mkdir(exist_ok=True)
    project.write("conf/staging/mlflow.yml", f"server:\n  mlflow_tracking_uri: {away}\n")
    assert project.kedro("mlflow", "doctor").stdout.splitlines()[0].endswith("mlflow.db")
    screen = project.kedro("mlflow", "doctor", "--env", "staging", code=1).stdout
    assert f"environment staging, tracking at {away}" in screen
    assert screen.endswith("1 check has failed.\n")
