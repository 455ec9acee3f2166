"""Databases that hold runs: opened without changing them, and created by one for all."""

import hashlib
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..disk import FileLock
from ..mlflow_internals import initialize_tables

if TYPE_CHECKING:
    from sqlalchemy import Connection

_SECONDS_TO_OPEN = 5
_SECONDS_TO_WAIT = 60
# MLflow's migrations keep what they work on in a module's global: one thread at a time.
_THREADS = threading.RLock()
# Held by a connection, for the processes of all machines.
_LOCKS = {
    "postgresql": "SELECT pg_advisory_lock(628318530)",
    "mysql": f"SELECT get_lock('mlflow_tables', {_SECONDS_TO_WAIT})",
}


class UnreachableError(ConnectionError):
    """Nothing takes a run; the message says why."""


def why_closed(uri: str) -> str | None:
    """Say in a line why a database does not open; none when it does.

    MLflow itself tries for an hour, and writes each error on the screen.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with opened(uri):
            return None
    except SQLAlchemyError as error:
        return f"the database does not open: {driver_message(error)}"


def driver_message(error: Exception) -> str:
    """Return what the database's driver says, without what SQLAlchemy adds, on one line."""
    cause = getattr(error, "orig", None) or error
    # The drivers of MySQL put a number before their message.
    message = cause.args[-1] if cause.args and isinstance(cause.args[-1], str) else str(cause)
    return " ".join(message.split())


@contextmanager
def opened(uri: str) -> Iterator["Connection"]:
    """Open a database for a moment, within seconds."""
    from sqlalchemy import NullPool, create_engine, make_url

    url = make_url(uri)
    seconds = "timeout" if url.get_backend_name() in ("sqlite", "mssql") else "connect_timeout"
    engine = create_engine(url, poolclass=NullPool, connect_args={seconds: _SECONDS_TO_OPEN})
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def creation(uri: str, table: str) -> Iterator[None]:
    """Open a database in the block, one thread or process at a time until MLflow has made it.

    It is made once `table` has a row: MLflow itself adds the first one when it opens the database.
    An UnreachableError says why it does not open.
    """
    from sqlalchemy.exc import SQLAlchemyError

    path = file_of(uri)
    with ExitStack() as locks:
        try:
            if (path and _is_empty(path)) or not has_rows(uri, table):
                locks.enter_context(_THREADS)
                locks.enter_context(_file_lock(path) if path else _server_lock(uri))
                make_tables(uri)
        except SQLAlchemyError as error:
            raise UnreachableError(why_closed(uri) or driver_message(error)) from error
        except (OSError, sqlite3.Error):
            if reason := why_closed(uri):
                raise UnreachableError(reason) from None
        yield


def file_of(uri: str) -> Path | None:
    """Return the file of a SQLite database; none for one in memory, or on a server."""
    from sqlalchemy import make_url

    url = make_url(uri)
    is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return Path(str(url.database)) if is_file else None


def _is_empty(path: Path) -> bool:
    """Return whether a database holds nothing, once what was cut off there has been undone."""
    if not (path.exists() and path.stat().st_size):
        return True
    if not path.with_name(f"{path.name}-journal").exists():
        return False
    with closing(sqlite3.connect(path)) as connection:  # SQLite undoes it when it is read.
        return not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def has_rows(uri: str, table: str) -> bool:
    """Return whether a database has this table, and rows in it."""
    from sqlalchemy import inspect, text

    with opened(uri) as connection:
        if not inspect(connection).has_table(table):
            return False
        return bool(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar())


def _file_lock(path: Path) -> FileLock:
    digest = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]
    # Not beside the database, where it would stay.
    return FileLock(Path(tempfile.gettempdir(), f"mlflow-tables-{digest}.lock"), _SECONDS_TO_WAIT)


@contextmanager
def _server_lock(uri: str) -> Iterator[None]:
    from sqlalchemy import text

    with opened(uri) as connection:
        if lock := _LOCKS.get(connection.dialect.name):
            connection.execute(text(lock))
        yield


def make_tables(uri: str) -> None:
    """Make the tables in a SQLite database that is empty or not there; leave every other alone."""
    path = file_of(uri)
    if path is None or not _is_empty(path):
        return
    statements = _statements()
    database = sqlite3.connect(path, timeout=_SECONDS_TO_WAIT, isolation_level=None)
    with closing(database) as connection:
        # A transaction: it is there as a whole or not at all, and for others not before its end.
        connection.execute("BEGIN EXCLUSIVE")
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in statements:
                connection.execute(statement)
        connection.execute("COMMIT")


@cache
def _statements() -> list[str]:
    """Let MLflow migrate a database in memory, and return the statements that make the same."""
    from sqlalchemy import StaticPool, create_engine

    engine = create_engine("sqlite://", poolclass=StaticPool)
    try:
        initialize_tables(engine)
        with engine.connect() as connection:
            memory = connection.connection.driver_connection
            assert isinstance(memory, sqlite3.Connection)
            # Without the dump's own transaction: there is one already.
            own = ("BEGIN TRANSACTION;", "COMMIT;")
            return [statement for statement in memory.iterdump() if statement not in own]
    finally:
        engine.dispose()
