"""A new SQLite database is there as a whole or not at all, whoever is killed over it."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from signal import SIGKILL
from subprocess import PIPE
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.store.db import utils
from sqlalchemy import Engine, StaticPool, create_engine

from tests.support import forks
from tests.support.answers import REPOSITORY
from tests.support.profiles import weekly
from tests.support.rooms import Rooms

# Forks of a process that has the imports and has made no tables: MLflow's migrations are what
# processes and threads break for each other.
FORKS = """
import json, os, sys, traceback
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
sys.path.insert(0, sys.argv[1])
from tests.support.rooms import room
make_tables = room("backend.databases").make_tables
connect, options = room("backend.client").connect, room("config").ServerOptions
import mlflow.store.db.utils

def found(*places):
    start = Barrier(len(places))

    def client_of(place):
        uris = [f"sqlite:///{uri}" for uri in place.split(",")]
        return connect(options(mlflow_tracking_uri=uris[0], mlflow_registry_uri=uris[-1]))

    def track(place):
        start.wait()
        client = client_of(place)
        client.create_registered_model(f"model-{id(client)}")
        client.create_run("0")

    with ThreadPoolExecutor(len(places)) as pool:
        list(pool.map(track, places))
    clients = map(client_of, places)
    return [[len(c.search_runs(["0"])), len(c.search_registered_models())] for c in clients]

for line in sys.stdin:
    name, *given = json.loads(line)
    if child := os.fork():
        print(child, flush=True)
        continue
    try:
        print(json.dumps(globals()[name](*given)), flush=True)
    except BaseException:
        print(json.dumps(traceback.format_exc()), flush=True)
    os._exit(0)
"""


class Forks:
    """Calls functions in forks of one process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin
        assert process.stdout
        self._asked, self._told = process.stdin, process.stdout

    def told(self) -> Any:
        """The number of a process that begins, or what one has returned."""
        return json.loads(self._told.readline())

    def start(self, name: str, *given: str) -> Any:
        """Call a function; the number of its process."""
        self._asked.write(f"{json.dumps([name, *given])}\n")
        self._asked.flush()
        return self.told()


@pytest.fixture(scope="module")
def forked() -> Iterator[Forks]:
    command = [sys.executable, "-c", FORKS, str(REPOSITORY)]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        yield Forks(process)


def tables_of(connection: sqlite3.Connection) -> set[tuple[str, str, str]]:
    """What there is; the words of each statement are sorted, for migrations keep no order in it."""
    found = connection.execute("SELECT type, name, sql FROM sqlite_master")
    return {
        (kind, name, " ".join(sorted(re.findall(r"\w+", sql or "")))) for kind, name, sql in found
    }


@pytest.fixture(scope="module")
def migrated(migrate: Callable[[Engine], None]) -> set[tuple[str, str, str]]:
    """What MLflow makes itself."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    migrate(engine)
    with engine.connect() as connection:
        return tables_of(connection.connection.driver_connection)  # type: ignore[arg-type]


def is_migrating(path: Path) -> bool:
    time.sleep(0.3)
    return True


def is_being_written(path: Path) -> bool:
    return path.exists()


@pytest.mark.parametrize("when", [is_migrating, pytest.param(is_being_written, marks=weekly)])
def test_who_is_killed_over_it_leaves_nothing_that_hinders_the_next(
    mlops: Rooms,
    tmp_path: Path,
    forked: Forks,
    migrated: set[tuple[str, str, str]],
    when: Callable[[Path], bool],
) -> None:
    path = tmp_path / "mlflow.db"
    process = forked.start("make_tables", f"sqlite:///{path}")
    deadline = time.monotonic() + 60
    while not when(path):
        assert time.monotonic() < deadline
    os.kill(process, SIGKILL)
    mlops("backend.databases").make_tables(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        assert tables_of(connection) == migrated
    client = MlflowClient(f"sqlite:///{path}")
    run = client.create_run("0")
    assert client.get_run(run.info.run_id).info.status == "RUNNING"
    assert client.create_registered_model("model").name == "model"
    assert [each.name for each in tmp_path.iterdir()] == ["mlflow.db"]


def test_the_tables_that_forks_of_one_process_remember_are_those_that_mlflow_makes(
    mlops: Rooms,
    tmp_path: Path,
    migrate: Callable[[Engine], None],
    migrated: set[tuple[str, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a private function of MLflow's: without it no test runs in a fork."""
    monkeypatch.setattr(utils, "_initialize_tables", migrate)
    forks.remember_tables()
    path = tmp_path / "mlflow.db"
    mlops("backend.databases").make_tables(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        assert tables_of(connection) == migrated
        revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert revision == (utils._get_latest_schema_revision(),)
    monkeypatch.delattr(utils, "_initialize_tables")
    with pytest.raises(AttributeError, match="_initialize_tables"):
        forks.remember_tables()


# The cache is so small that tables are in the file before the end of the transaction.
CUT_OFF = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN EXCLUSIVE")
for number in range(50):
    connection.execute(f"CREATE TABLE t{number} (x)")
os._exit(0)
"""


def test_what_was_cut_off_after_its_first_pages_is_made_again(
    mlops: Rooms, tmp_path: Path, migrated: set[tuple[str, str, str]]
) -> None:
    path = tmp_path / "mlflow.db"
    subprocess.run([sys.executable, "-c", CUT_OFF, path], check=True)
    assert path.stat().st_size
    mlops("backend.databases").make_tables(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        assert tables_of(connection) == migrated


def test_two_who_make_it_at_once_make_it_once(
    tmp_path: Path, forked: Forks, migrated: set[tuple[str, str, str]]
) -> None:
    path = tmp_path / "mlflow.db"
    numbers = {forked.start("make_tables", f"sqlite:///{path}") for _ in range(2)}
    assert [type(number) for number in numbers] == [int, int]
    assert [forked.told(), forked.told()] == [None, None]
    with closing(sqlite3.connect(path)) as connection:
        assert tables_of(connection) == migrated
        assert len(list(connection.execute("SELECT * FROM alembic_version"))) == 1


def test_a_database_with_anything_in_it_is_left_alone(mlops: Rooms, tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (x)")
    before = path.read_bytes()
    mlops("backend.databases").make_tables(f"sqlite:///{path}")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("places", "found"),
    [
        (["runs.db,{}models.db"] * 2 + ["a.db", "b.db"], [[2, 2], [2, 2], [1, 1], [1, 1]]),
        pytest.param(["mlflow.db"] * 4, [[4, 4]] * 4, marks=weekly),
    ],
)
def test_threads_that_make_it_at_once_all_track(
    tmp_path: Path, forked: Forks, places: list[str], found: list[list[int]]
) -> None:
    forked.start("found", *(f"{tmp_path}/{place.format(f'{tmp_path}/')}" for place in places))
    assert forked.told() == found


def connect(mlops: Rooms, folder: Path) -> None:
    uri = f"sqlite:///{folder}/mlflow.db"
    mlops("backend.client").connect(mlops("config").ServerOptions(mlflow_tracking_uri=uri))


def test_a_database_that_cannot_be_made_is_named(mlops: Rooms, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", "utf-8")
    with pytest.raises(mlops("backend.client").UnreachableError, match="does not open"):
        connect(mlops, tmp_path / "file")
    (tmp_path / "mlflow.db").write_text("no database, but words", "utf-8")
    with pytest.raises(mlops("backend.client").UnreachableError, match="not a database"):
        connect(mlops, tmp_path)
