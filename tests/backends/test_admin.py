"""The administrator of the team's server: backups that come back, deleted runs that go, users."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest
import sqlalchemy
from mlflow.entities import (
    LoggedModelStatus,
    Metric,
    Param,
    RunTag,
    TraceInfo,
    TraceLocation,
    TraceState,
)
from mlflow.entities.model_registry import ModelVersionTag
from mlflow.store.artifact.artifact_repository_registry import (
    _artifact_repository_registry as stores,
)
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.db import utils
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Runs

from tests.support import forks
from tests.support.answers import REPOSITORY
from tests.support.databases import MariaDB, PostgreSQL
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project
from tests.support.servers import SECRETS, TrackingServer, by_command
from tests.support.stores import Store

FOLDER = REPOSITORY / "template" / "deploy" / "tracking-server"
PASSWORD = "CANARY-of-a-person"
TRACE = TraceInfo("tr-1", TraceLocation.from_experiment_id("0"), 0, TraceState.OK)
MODULES = ("start", "admin", "backup", "proxy_auth")
DAY = 86_400_000


@dataclass
class Admin:
    """The administrator's program, in this process, with a server's variables."""

    module: Any
    folder: Path
    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch

    def says(self, *words: str, typed: str = "") -> str:
        """What a command prints that ends well."""
        assert self.ends(*words, typed=typed) in (0, None)
        return self.capture.readouterr().out.strip()

    def refuses(self, *words: str, typed: str = "") -> str:
        """The sentence of a command that cannot be done."""
        sentence = str(self.ends(*words, typed=typed))
        assert sentence.count("\n") == 0
        assert "CANARY" not in sentence
        return sentence

    def ends(self, *words: str, typed: str = "") -> object:
        """The exit code of a command, or the sentence in its place."""
        self.capture.readouterr()
        self.patch.setattr(sys, "stdin", io.StringIO(typed))
        self.patch.setenv("MLFLOW_AUTH_CONFIG_PATH", "")
        with pytest.raises(SystemExit) as end:
            self.module.main(words)
        return end.value.code

    def open(self, database: str, files: str) -> None:
        """Turn to another server's database and store."""
        self.patch.setenv("MLFLOW_BACKEND_STORE_URI", database)
        self.patch.setenv("MLFLOW_ARTIFACTS_DESTINATION", files)
        # Where a registry looks a logged model up.
        self.patch.setenv("MLFLOW_TRACKING_URI", database)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables: making them takes seconds."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "_initialize_tables", utils._initialize_tables)
        forks.remember_tables()
        Runs(f"sqlite:///{path}", "mlflow-artifacts:/").engine.dispose()
    return path


def sqlite(empty: Path, folder: Path, name: str) -> str:
    """An empty database; MLflow keeps one open by its address, so it is a whole path."""
    return f"sqlite:///{shutil.copy(empty, folder / f'{name}.db')}"


@pytest.fixture
def admin(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Admin]:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PGPASSWORD", "")  # So that it is put back.
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.syspath_prepend(str(FOLDER))
    # `gc` reads files where the server does: for all of this process.
    monkeypatch.setattr(stores, "_registry", dict(stores._registry))
    monkeypatch.chdir(tmp_path)
    # They take seconds, and read a configuration when they are imported.
    auth, config = import_module("mlflow.server.auth"), import_module("mlflow.server.auth.config")
    module = import_module("admin")
    write_auth_config = module.start.write_auth_config

    def write(database: Any, path: Path) -> None:
        """Write the configuration, and read it as the first import in a process does."""
        write_auth_config(database, path)
        monkeypatch.setenv("MLFLOW_AUTH_CONFIG_PATH", str(path))
        monkeypatch.setattr(auth, "auth_config", config.read_auth_config())

    monkeypatch.setattr(module.start, "write_auth_config", write)
    made = Admin(module, tmp_path, capsys, monkeypatch)
    made.open(sqlite(empty, tmp_path, "mlflow"), str(tmp_path / "artifacts"))
    mask = os.umask(0o022)
    yield made
    os.umask(mask)
    for name in MODULES:
        sys.modules.pop(name, None)


def fill(database: str, files: str, steps: int = 2) -> None:
    """Put into a server's database and store one of what is hard to copy."""
    runs, registry = Runs(database, "mlflow-artifacts:/"), Registry(database)
    experiment = runs.create_experiment("ünïcode '\"\n")
    for number, value in enumerate([0.1, 1e-300, float("nan"), float("inf"), -float("inf")]):
        run = runs.create_run(experiment, "ada", number, [RunTag("a", "b" * 5000)], f"r{number}")
        run_id = run.info.run_id
        runs.log_batch(run_id, [Metric("m", value, 1, step) for step in range(steps)], [], [])
        runs.log_batch(run_id, [], [Param("p", "\\n\t😀")], [])
    model = runs.create_logged_model(experiment, "model", run_id, [], [], "sklearn")
    runs.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    registry.create_registered_model("model")
    tags = [ModelVersionTag("a", "")]
    registry.create_model_version("model", f"models:/{model.model_id}", run_id, tags)
    registry.set_registered_model_alias("model", "champion", "1")
    with Path("file").open("wb") as file:
        file.write(bytes(range(256)) * 1000)
    for place in ("1/run/artifacts", "1/run/artifacts/a b/ü", f"1/models/{model.model_id}"):
        get_artifact_repository(files).log_artifact("file", place)


def rows(uri: str) -> dict[str, list[Any]]:
    """All rows of a database, by their tables."""
    engine = sqlalchemy.create_engine(uri)
    tables = sqlalchemy.MetaData()
    tables.reflect(engine)
    for table in tables.tables.values():
        for column in table.columns:
            if isinstance(column.type, sqlalchemy.Float):
                column.type.asdecimal = False  # MySQL's, which would be rounded.
    with engine.connect() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(table.select())))
            for table in tables.sorted_tables
        }


def files_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


PLACES = [
    "postgresql-s3",
    pytest.param("sqlite-folder", marks=weekly),
    pytest.param("mysql-s3", marks=weekly),
]


@pytest.mark.parametrize("place", PLACES)
def test_what_is_destroyed_is_restored_to_the_last_row_and_byte(
    place: str, empty: Path, admin: Admin, request: pytest.FixtureRequest
) -> None:
    kind, where = place.split("-")
    if kind == "sqlite":
        uri, again = (sqlite(empty, admin.folder, name) for name in ("doomed", "risen"))
    else:
        server: PostgreSQL | MariaDB
        if kind == "postgresql":
            server = request.getfixturevalue("postgresql")
            uri = server.create("doomed", request.getfixturevalue("tables"))
        else:
            server = request.getfixturevalue("mariadb")
            uri = server.create("doomed")
        again = server.create("risen")
    files, store = str(admin.folder / "artifacts"), admin.folder / "artifacts"
    if where == "s3":
        s3: Store = request.getfixturevalue("s3")
        for name, value in s3.variables.items():
            admin.patch.setenv(name, value)
        files, store = f"s3://mlflow/{kind}", s3.folder / kind
    admin.open(uri, files)
    admin.says("users", "add", "ada", typed=PASSWORD)
    fill(uri, files, steps=700)
    admin.says("users", "grant", "ada", "EDIT", "--model", "model")
    before, stored = rows(uri), files_of(store)
    users = admin.says("users", "list")
    assert users.splitlines() == ["ada: EDIT on registered_model model", "admin: admin"]
    said = admin.says("backup", "--folder", "backups")
    assert f"{len(stored)} files of {256_000 * len(stored)} bytes" in said

    shutil.rmtree(store)
    Path("basic_auth.db").unlink(missing_ok=True)
    admin.open(again, files)
    (backup,) = Path("backups").iterdir()
    admin.says("restore", str(backup))
    assert rows(again) == before
    assert files_of(store) == stored
    assert admin.says("users", "list") == users
    # What comes after it gets numbers of its own, and is not overwritten by mistake.
    assert Runs(again, "mlflow-artifacts:/").create_experiment("new") == "2"
    admin.says("users", "add", "grace", typed=PASSWORD)
    assert "--replace" in admin.refuses("restore", str(backup))
    assert {path.stat().st_mode & 0o077 for path in backup.rglob("*")} == {0}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small server with a backup, once a test has made one."""
    return tmp_path_factory.mktemp("kept") / "server"


@pytest.fixture
def backed_up(admin: Admin, kept: Path) -> Path:
    """A backup of a small server, which is a test's own copy."""
    if kept.exists():
        shutil.copytree(kept, admin.folder, dirs_exist_ok=True)
    else:
        fill(f"sqlite:///{admin.folder}/mlflow.db", str(admin.folder / "artifacts"))
        admin.says("users", "add", "ada", typed=PASSWORD)
        admin.says("backup", "--folder", "backups")
        shutil.copytree(admin.folder, kept)
    (backup,) = Path("backups").iterdir()
    return backup


def test_a_backup_that_is_not_whole_or_of_another_mlflow_is_refused_and_nothing_is_written(
    admin: Admin, empty: Path, backed_up: Path
) -> None:
    manifest = json.loads((backed_up / "backup.json").read_text())
    other = sqlite(empty, admin.folder, "other")
    admin.open(other, "elsewhere")
    for name, damaged, sentence in [
        ("backup.json", json.dumps({**manifest, "users": 7}).encode(), "is not whole"),
        ("backup.json", b"{", "is no backup"),
        ("runs.jsonl.gz", (backed_up / "runs.jsonl.gz").read_bytes()[:-100], "cannot be read"),
        ("users.jsonl.gz", b"", "is not whole"),
        ("users.jsonl.gz", None, "cannot be read"),
        ("files/1/run/artifacts/file", None, "all of its files"),
    ]:
        path = backed_up / name
        whole = path.read_bytes()
        path.write_bytes(damaged) if damaged is not None else path.unlink()
        before = files_of(admin.folder)
        assert sentence in admin.refuses("restore", str(backed_up)), name
        assert files_of(admin.folder) == before
        path.write_bytes(whole)
    assert "is no backup" in admin.refuses("restore", str(backed_up.parent))
    older = {**manifest, "mlflow": "3.0", "revisions": {"alembic_version": "older"}}
    (backed_up / "backup.json").write_text(json.dumps(older))
    assert "is of a database of MLflow 3.0" in admin.refuses("restore", str(backed_up))
    assert not admin.module.copies.holds_runs(sqlalchemy.create_engine(other))
    # That MLflow does not open what this one has made or migrated.
    new = f"sqlite:///{admin.folder}/new.db"
    admin.open(new, "elsewhere")
    assert "is of a database of MLflow 3.0" in admin.refuses("restore", str(backed_up), "--replace")
    assert rows(new) == {}
    newer = sqlite(empty, admin.folder, "newer")
    with sqlalchemy.create_engine(newer).begin() as connection:
        connection.execute(sqlalchemy.text("update alembic_version set version_num = 'newer'"))
    (backed_up / "backup.json").write_text(json.dumps(manifest))
    stored = rows(newer)
    admin.open(newer, "elsewhere")
    assert "into an empty database" in admin.refuses("restore", str(backed_up), "--replace")
    assert rows(newer) == stored
    admin.open(other, "elsewhere")
    admin.says("restore", str(backed_up))


def users_beside_runs(admin: Admin, uri: str) -> None:
    """Turn to a server that keeps its users in the database of its runs, as with PostgreSQL."""
    for path in FOLDER.glob("*.ini"):
        own = f"{path.read_text('utf-8')}database_uri = {uri}\n"
        (admin.folder / path.name).write_text(own, "utf-8")
    admin.patch.setattr(admin.module.start, "HERE", admin.folder)
    admin.open(uri, "artifacts")


def test_a_backup_without_users_leaves_them_alone_and_tables_of_others_out(
    admin: Admin, empty: Path
) -> None:
    uri, again = (sqlite(empty, admin.folder, name) for name in ("mlflow", "again"))
    fill(uri, "artifacts")
    with sqlalchemy.create_engine(uri).begin() as connection:
        connection.execute(sqlalchemy.text("create table notes (text text)"))
        connection.execute(sqlalchemy.text("insert into notes values ('a note')"))
    before = rows(uri)
    assert before.pop("notes")
    admin.says("backup")
    (backup,) = Path("backups").iterdir()
    users_beside_runs(admin, again)
    admin.says("users", "add", "ada", typed=PASSWORD)
    # As on a server without sign-in.
    admin.patch.delenv("MLFLOW_AUTH_ADMIN_PASSWORD")
    said = admin.says("restore", str(backup))
    assert said.splitlines()[0] == "The table notes is not MLflow's: it is left out."
    assert rows(again).items() >= before.items()
    assert admin.says("users", "list").splitlines() == ["ada: reads", "admin: admin"]


def test_users_are_restored_where_the_server_keeps_them(
    admin: Admin, backed_up: Path, empty: Path
) -> None:
    users_beside_runs(admin, sqlite(empty, admin.folder, "beside"))
    assert "in a database of their own" in admin.refuses("restore", str(backed_up))
    admin.says("users", "list")
    admin.says("backup", "--folder", "others")
    admin.patch.setattr(admin.module.start, "HERE", FOLDER)
    admin.open(sqlite(empty, admin.folder, "own"), "artifacts")
    (backup,) = Path("others").iterdir()
    assert "beside the runs" in admin.refuses("restore", str(backup))


def test_a_server_with_traces_or_models_alone_is_no_empty_one(
    admin: Admin, empty: Path, backed_up: Path
) -> None:
    for number, make in enumerate(
        (
            lambda store: store.create_logged_model("0", "model", None, [], [], "sklearn"),
            lambda store: store.start_trace(TRACE),
        )
    ):
        uri = sqlite(empty, admin.folder, f"used-{number}")
        make(Runs(uri, "mlflow-artifacts:/"))
        admin.open(uri, "artifacts")
        assert "--replace" in admin.refuses("restore", str(backed_up))


def test_a_database_that_is_not_mlflows_is_not_backed_up(admin: Admin) -> None:
    admin.open(f"sqlite:///{admin.folder}/mistyped.db", "artifacts")
    assert "has no tables of MLflow" in admin.refuses("backup")
    assert [*Path("backups").iterdir()] == []


def test_a_backup_that_is_stopped_leaves_nothing(
    installed: Project, empty: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as store:  # It never answers.
        variables = {
            "MLFLOW_BACKEND_STORE_URI": sqlite(empty, tmp_path, "mlflow"),
            "MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow",
            "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{store.getsockname()[1]}",
            **{"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"},
        }
        machine = Project(tmp_path, installed.environment)
        process = machine.fork("python", str(FOLDER / "admin.py"), "backup", env=variables)
        store.settimeout(60)
        with store.accept()[0]:  # The rows are copied, and now the files would be.
            (partial,) = (tmp_path / "backups").iterdir()
            assert (partial / "runs.jsonl.gz").is_file()
            process.send_signal(SIGTERM)
            assert process.wait(60) == 128 + SIGTERM
    assert [*(tmp_path / "backups").iterdir()] == []


def test_what_no_driver_opens_is_one_sentence_at_once(
    admin: Admin, backed_up: Path, tmp_path: Path
) -> None:
    every = [["backup"], ["restore", str(backed_up)], ["gc"], ["users", "list"]]
    every += [["users", "grant", "ada", "EDIT", "--model", "model"]]
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"no database" * 1000)
    for uri, sentence in {
        "postgresql+psycopg://u:CANARY@127.0.0.1:1/x": "cannot be opened",
        "mysql+pymysql://u:CANARY@127.0.0.1:1/x": "cannot be opened",
        "oracle://u:CANARY@127.0.0.1:1/x": "begins with sqlite:///, postgresql+psycopg://",
        "postgresql+psycopg://u:a@CANARY@127.0.0.1:1/x": "has an @ in its password",
        "CANARY": "names no database that can be opened",
        f"sqlite:///{damaged}": "file is not a database",
    }.items():
        admin.open(uri, "artifacts")
        for words in every:
            assert sentence in admin.refuses(*words), (uri, words)
    # The users may be in a database of their own.
    users_beside_runs(admin, "postgresql+psycopg://u@127.0.0.1:1/x")
    admin.open(f"sqlite:///{tmp_path}/mlflow.db", "artifacts")
    for words in (["backup"], ["users", "list"]):
        assert "database_uri in basic_auth.ini cannot be opened" in admin.refuses(*words)


def test_a_backup_that_fails_leaves_nothing_and_old_ones_go(admin: Admin, backed_up: Path) -> None:
    killed, new = Path("backups/.2020-01-01T000000Z"), Path("backups/.2020-01-02T000000Z")
    for partial in (killed, new):
        partial.mkdir()
    os.utime(killed, (0, 0))
    admin.patch.setattr(admin.module.time, "strftime", lambda *_: "2099-01-01T000000Z")
    admin.says("nightly", "--once", "--folder", "backups", "--keep", "1", "--no-files")
    assert {path.name for path in Path("backups").iterdir()} == {"2099-01-01T000000Z", new.name}
    assert admin.says("healthy", "--folder", "backups") == ""
    admin.open("postgresql+psycopg://u:CANARY@127.0.0.1:1/x", "artifacts")
    assert "cannot be opened" in admin.refuses("nightly", "--once", "--folder", "other")
    assert [*Path("other").iterdir()] == []
    assert "no backup" in admin.refuses("healthy", "--folder", "other")
    assert admin.ends("nightly", "--once", "--folder", "another", "--older-than", "a month") == 2
    assert not Path("another").exists()


def test_what_users_have_deleted_goes_and_what_a_version_is_made_of_stays(admin: Admin) -> None:
    uri, files = f"sqlite:///{admin.folder}/mlflow.db", admin.folder / "artifacts"
    runs, registry = Runs(uri, "mlflow-artifacts:/"), Registry(uri)
    registry.create_registered_model("model")
    made: dict[str, tuple[str, str, str]] = {}

    def make(name: str) -> None:
        """An experiment with a run and a logged model, each with a file."""
        experiment = runs.create_experiment(name)
        run = runs.create_run(experiment, "ada", 0, [], name).info.run_id
        model = runs.create_logged_model(experiment, name, run, [], [], "sklearn").model_id
        made[name] = experiment, run, model
        for place in (f"{experiment}/{run}/artifacts", f"{experiment}/models/{model}/artifacts"):
            (files / place).mkdir(parents=True)
            (files / place / "file").touch()

    for name in ("kept", "run", "model", "experiment", "new", "by-run", "by-model", "by-file"):
        make(name)
    experiment, run, _ = made["by-file"]
    registry.create_model_version("model", "elsewhere", made["by-run"][1])
    registry.create_model_version("model", f"models:/{made['by-model'][2]}")
    registry.create_model_version("model", f"mlflow-artifacts:/{experiment}/{run}/artifacts")
    for name in ("run", "by-run", "by-file"):
        runs.delete_run(made[name][1])
    for name in ("model", "by-model"):
        runs.delete_logged_model(made[name][2])
    for name in ("experiment", "by-file"):
        runs.delete_experiment(made[name][0])
    with runs.engine.begin() as connection:
        for change in (
            "update runs set deleted_time = deleted_time - :day where lifecycle_stage = 'deleted'",
            "update logged_models set last_updated_timestamp_ms = last_updated_timestamp_ms - :day",
            "update experiments set last_update_time = last_update_time - :day",
        ):
            connection.execute(sqlalchemy.text(change), {"day": DAY})
    runs.delete_run(made["new"][1])

    due = {f"run {made['run'][1]}", f"model {made['model'][2]}"}
    due |= {
        f"{kind} {made['experiment'][i]}" for i, kind in enumerate(("experiment", "run", "model"))
    }
    listed = admin.says("gc", "--older-than", "1d").splitlines()
    assert {*listed[:-1]} == due
    assert listed[-1].startswith("5 in all. Nothing is gone yet")
    assert len(files_of(files)) == 2 * len(made)
    admin.says("gc", "--older-than", "1d", "--yes")
    gone = [*made["experiment"][1:], made["run"][1], made["model"][2]]
    left = files_of(files)
    assert len(left) == 2 * len(made) - len(gone)
    assert not [path for path in left for name in gone if name in path]
    assert admin.says("gc", "--older-than", "1d") == "Nothing was deleted more than 1d ago."
    assert admin.says("gc", "--older-than", "0s").startswith(f"run {made['new'][1]}")
    assert admin.says("gc", "--older-than", "30d") == "Nothing was deleted more than 30d ago."


def test_a_user_comes_and_goes_and_no_password_is_an_argument(
    admin: Admin, team_server: TrackingServer, postgresql: PostgreSQL, s3: Store
) -> None:
    admin.open(postgresql.uri("mlflow"), s3.destination)
    assert "at least 12 characters" in admin.refuses("users", "add", "short", typed="CANARY")
    admin.says("users", "add", "turing", typed=f"{PASSWORD}\n")
    assert "already exists" in admin.refuses("users", "add", "turing", typed=PASSWORD)
    assert team_server.status(login=("turing", PASSWORD)) == 200
    assert team_server.status(login=("turing", "another")) == 401
    admin.says("users", "grant", "turing", "EDIT", "--experiment", "Default")
    assert "turing: EDIT on experiment Default" in admin.says("users", "list").splitlines()
    assert "nowhere" in admin.refuses("users", "grant", "turing", "EDIT", "--experiment", "nowhere")
    assert "nowhere" in admin.refuses("users", "grant", "turing", "EDIT", "--model", "nowhere")
    admin.says("users", "grant", "turing", "none", "--experiment", "Default")
    admin.says("users", "password", "turing", typed=f"{PASSWORD}-2")
    assert team_server.status(login=("turing", f"{PASSWORD}-2")) == 200
    assert "turing: reads" in admin.says("users", "list").splitlines()
    # The server knows for a minute whom it has let in: not by this one.
    admin.says("users", "password", "turing", typed=f"{PASSWORD}-3")
    admin.says("users", "remove", "turing")
    assert team_server.status(login=("turing", f"{PASSWORD}-3")) == 401
    assert "turing not found" in admin.refuses("users", "password", "turing", typed=PASSWORD)
    for words in (["add", "eve", PASSWORD], ["password", "admin", PASSWORD]):
        assert admin.ends("users", *words) == 2
        assert "unexpected extra argument" in admin.capture.readouterr().err
    assert admin.ends("users", "add", "eve:1", typed=PASSWORD) == 2
    assert "no colon" in admin.capture.readouterr().err


def test_what_a_user_may_use_is_listed_by_name_and_by_id_once_it_is_gone(admin: Admin) -> None:
    runs = Runs(f"sqlite:///{admin.folder}/mlflow.db", "mlflow-artifacts:/")
    admin.says("users", "add", "ada", typed=PASSWORD)
    ids = {}
    for name in ("kept", "deleted", "gone"):
        ids[name] = runs.create_experiment(name)
        admin.says("users", "grant", "ada", "EDIT", "--experiment", name)
    admin.module.user_store().grant_user_permission("ada", "experiment", "*", "READ")
    runs.delete_experiment(ids["deleted"])
    with runs.engine.begin() as connection:
        gone = {"id": ids["gone"]}
        connection.execute(
            sqlalchemy.text("delete from experiments where experiment_id = :id"), gone
        )
    listed, _ = admin.says("users", "list").splitlines()
    assert set(listed.removeprefix("ada: ").split(", ")) == {
        *(f"EDIT on experiment {title}" for title in ("kept", "deleted", ids["gone"])),
        "READ on experiment *",
    }


@weekly
@pytest.mark.parametrize("place", ["postgresql-s3", "sqlite-folder"])
def test_a_whole_server_is_destroyed_and_restored_by_its_commands(
    place: str,
    project: Project,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the processes that an owner starts: the server, the backup, the restoring."""
    data = project.folder / "deploy/tracking-server/data"
    variables = {**SECRETS, "MLFLOW_ARTIFACTS_DESTINATION": "artifacts"}
    if place == "postgresql-s3":
        postgresql, s3 = (request.getfixturevalue(name) for name in ("postgresql", "s3"))
        variables |= s3.variables | {"MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow/whole"}
        uris, files = [postgresql.create("whole"), postgresql.create("again")], s3.folder / "whole"
    else:
        uris, files = ["sqlite:///runs.db"] * 2, data / "artifacts"
    with by_command(project, {**variables, "MLFLOW_BACKEND_STORE_URI": uris[0]}) as server:
        project.kedro("run", env=server.login())
        backup = ("mlflow", "server", "backup", "--folder", str(project.folder / "backups"))
        said = project.kedro(*backup, env=variables | {"MLFLOW_BACKEND_STORE_URI": uris[0]})
        assert "CANARY" not in said.stdout + said.stderr
    shutil.rmtree(files)
    shutil.rmtree(data)
    variables["MLFLOW_BACKEND_STORE_URI"] = uris[1]
    (folder,) = (project.folder / "backups").iterdir()
    project.kedro("mlflow", "server", "restore", str(folder), env=variables)
    with by_command(project, variables) as server:
        project.kedro("run", "--pipelines", "inference", env=server.login())
        project.kedro("run", env=server.login())
        for name, value in server.login().items():
            monkeypatch.setenv(name, value)
        versions = server.client.search_model_versions(f"name = '{PACKAGE}'")
        assert {str(version.version) for version in versions} == {"1", "2"}
