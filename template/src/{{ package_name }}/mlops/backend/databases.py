"""Databases that hold runs: opened without changing them, and created with all tables at once."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..mlflow_internals import initialize_tables

if TYPE_CHECKING:
    from sqlalchemy import Connection

_SECONDS_TO_OPEN = 5
_SECONDS_TO_WAIT = 60


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
    arguments: dict[str, Any] = {seconds: _SECONDS_TO_OPEN}
    engine = create_engine(url, poolclass=NullPool, connect_args=arguments)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def make_tables(uri: str) -> None:
    """Make the tables in a SQLite database that is empty or not there; leave every other alone."""
    from sqlalchemy import make_url

    url = make_url(uri)
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return
    path = Path(str(url.database))
    if path.exists() and path.stat().st_size:
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
