"""What keeps the tracking server from starting is said in a sentence, and no secret with it."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.engine import make_url

from tests.support.answers import REPOSITORY
from tests.support.project import Project
from tests.support.servers import SECRETS

WHOLE = {
    "MLFLOW_AUTH_ADMIN_PASSWORD": SECRETS["MLFLOW_AUTH_ADMIN_PASSWORD"],
    "MLFLOW_FLASK_SERVER_SECRET_KEY": SECRETS["MLFLOW_FLASK_SERVER_SECRET_KEY"],
    "MLFLOW_BACKEND_STORE_URI": "sqlite:///mlflow.db",
    "MLFLOW_ARTIFACTS_DESTINATION": "artifacts",
}


@pytest.fixture(scope="module")
def start() -> ModuleType:
    """The program that the image and `kedro mlflow server` run."""
    path = REPOSITORY / "template" / "deploy" / "tracking-server" / "start.py"
    spec = importlib.util.spec_from_file_location("start", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nothing_keeps_a_server_with_all_its_variables(start: Any) -> None:
    assert [*start.refusals(WHOLE, auth=True)] == []
    assert [*start.refusals({**WHOLE, "MLFLOW_FLASK_SERVER_SECRET_KEY": ""}, auth=False)] == []


@pytest.mark.parametrize("name", [name for name in WHOLE if "ADMIN" not in name])
def test_a_variable_that_is_missing_is_named_in_a_sentence(name: str, start: Any) -> None:
    (reason,) = start.refusals({**WHOLE, name: ""}, auth=True)
    assert reason.startswith(f"{name} is not set: ")
    assert reason.endswith(".")
    assert "\n" not in reason


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "mlflow.example.com"])
def test_a_server_for_others_needs_authentication_and_its_names(host: str, start: Any) -> None:
    (names,) = start.refusals({**WHOLE, "MLFLOW_HOST": host}, auth=True)
    assert names.startswith("MLFLOW_SERVER_ALLOWED_HOSTS is not set: ")
    named = {**WHOLE, "MLFLOW_HOST": host, "MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow.example.com"}
    assert [*start.refusals(named, auth=True)] == []
    (alone,) = start.refusals(named, auth=False)
    assert f"instead of {host}" in alone


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1", "[::1]"])
def test_this_machine_alone_needs_neither(host: str, start: Any) -> None:
    assert [*start.refusals({**WHOLE, "MLFLOW_HOST": host}, auth=False)] == []


def test_a_proxy_is_believed_by_a_long_password_alone(start: Any) -> None:
    (reason,) = start.refusals({**WHOLE, "MLFLOW_PROXY_PASSWORD": "CANARY"}, auth=True)
    assert reason.startswith("MLFLOW_PROXY_PASSWORD is short: ")
    assert "CANARY" not in reason
    assert [*start.refusals({**WHOLE, "MLFLOW_PROXY_PASSWORD": "x" * 32}, auth=True)] == []


@pytest.mark.parametrize("scheme", ["s3", "gs", "wasbs"])
def test_a_store_without_its_library_is_refused_with_the_library(
    scheme: str, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "is_installed", lambda module: False)
    destination = {"MLFLOW_ARTIFACTS_DESTINATION": f"{scheme}://somewhere"}
    (reason,) = start.refusals(WHOLE | destination, auth=True)
    assert start.LIBRARIES[scheme][1] in reason


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("nonsense with CANARY", "it is no such address"),
        ("oracle://u:CANARY@127.0.0.1/x", "No module named"),
        ("postgresql+psycopg://u:a@CANARY@127.0.0.1:1/x", "has an @ in its password"),
        ("postgresql+psycopg://u:CANARY@127.0.0.1:1/x", "Connection refused"),
        ("mysql+pymysql://u:CANARY@127.0.0.1:1/x", "Connection refused"),
        ("sqlite:////proc/nowhere/mlflow.db", "unable to open"),
    ],
)
def test_a_database_that_does_not_open_is_refused_at_once(
    uri: str, reason: str, start: Any
) -> None:
    with pytest.raises(start.RefusalError) as refusal:
        start.migrate(uri)
    assert reason in str(refusal.value)
    assert "CANARY" not in str(refusal.value)


def test_a_database_of_a_newer_mlflow_is_refused(start: Any, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    engine = sqlalchemy.create_engine(uri)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("create table experiments (id int)"))
        connection.execute(sqlalchemy.text("create table alembic_version (version_num text)"))
        connection.execute(sqlalchemy.text("insert into alembic_version values ('newer')"))
    with pytest.raises(start.RefusalError, match=r"newer than this MLflow \(.*'newer'"):
        start.migrate(uri)


@pytest.mark.parametrize(
    ("uri", "users"),
    [
        (
            "postgresql+psycopg://u:CANARY%40x@h:5433/runs?sslmode=require",
            "postgresql+psycopg://u@h:5433/runs?sslmode=require",
        ),
        ("postgresql+psycopg://u@/runs?host=%2Frun%2Fpg", "postgresql+psycopg://u@/runs?host="),
        ("mysql+pymysql://u:CANARY@h/runs", "sqlite:///basic_auth.db"),
        ("sqlite:///mlflow.db", "sqlite:///basic_auth.db"),
    ],
)
def test_where_users_are_kept_is_told_without_the_password(
    uri: str, users: str, start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.server.auth.config import read_auth_config

    monkeypatch.setenv("PGPASSWORD", "")  # So that it is put back.
    monkeypatch.delenv("PGPASSWORD")
    start.write_auth_config(make_url(uri), tmp_path / "basic_auth.ini")
    assert "CANARY" not in (tmp_path / "basic_auth.ini").read_text()
    monkeypatch.setenv("MLFLOW_AUTH_CONFIG_PATH", str(tmp_path / "basic_auth.ini"))
    config = read_auth_config()
    assert config.database_uri.startswith(users)
    assert config.default_permission == "READ"
    assert os.environ.get("PGPASSWORD") == ("CANARY@x" if "CANARY%40x" in uri else None)


def test_users_are_looked_for_where_mlflow_is_told_to(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.ini").write_text("[mlflow]\ndatabase_uri = sqlite:///people.db\n", "utf-8")
    monkeypatch.setenv("MLFLOW_AUTH_CONFIG_PATH", str(tmp_path / "own.ini"))
    assert start.users_uri(make_url("postgresql+psycopg://u@h/db")) == "sqlite:///people.db"


def test_a_library_that_is_missing_is_named_and_what_is_written_is_this_users(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks: list[int] = []
    monkeypatch.setattr(os, "umask", masks.append)
    monkeypatch.setattr(start, "migrate", make_url)
    monkeypatch.setattr(sys, "argv", ["start.py"])
    monkeypatch.setitem(sys.modules, "mlflow.server", None)
    for name, value in {**WHOLE, "MLFLOW_AUTH_CONFIG_PATH": "basic_auth.ini"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=r"^The Python package mlflow\.server is missing: "):
        start.main()
    assert masks == [0o077]


def test_a_database_that_an_earlier_start_has_left_open_is_closed(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    databases = [tmp_path / "mlflow.db", tmp_path / "basic_auth.db"]
    for path in databases:
        path.touch(0o644)
    start.close_to_others(make_url("sqlite:///mlflow.db"))
    assert {path.stat().st_mode & 0o777 for path in databases} == {0o600}


def test_the_command_says_all_that_is_missing_a_line_each(project: Project) -> None:
    result = project.kedro("mlflow", "server", "--host", "0.0.0.0", code=1)
    lines = result.stderr.strip().splitlines()
    assert [line.partition(" is not set: ")[0] for line in lines] == [
        "MLFLOW_BACKEND_STORE_URI",
        "MLFLOW_ARTIFACTS_DESTINATION",
        "MLFLOW_FLASK_SERVER_SECRET_KEY",
        "MLFLOW_SERVER_ALLOWED_HOSTS",
    ]


def test_the_first_start_needs_the_first_users_password(project: Project) -> None:
    given = WHOLE | {"MLFLOW_BACKEND_STORE_URI": "sqlite:///runs.db"}
    name = "MLFLOW_AUTH_ADMIN_PASSWORD"
    result = project.kedro("mlflow", "server", env={**given, name: ""}, code=1)
    assert f"{name} is not set: " in result.stderr
    result = project.kedro("mlflow", "server", env={**given, name: "CANARY"}, code=1)
    assert "Password must be at least 12 characters" in result.stderr
    assert "Traceback" not in result.stderr
    assert "CANARY" not in result.stdout + result.stderr
