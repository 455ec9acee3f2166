"""A new SQLite database gets MLflow's tables in one go.

MLflow itself makes them in dozens of migrations, for seconds. Whoever is killed meanwhile leaves a
database behind that MLflow never opens again, and two runs that begin at once disturb each other.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

_SECONDS = 60


def make_tables(uri: str) -> None:
    """Make the tables in a SQLite database that is empty or not there; leave every other alone.

    Raises:
        OSError: the disk refuses.
        sqlite3.Error: so does the database.
    """
    from sqlalchemy import make_url

    url = make_url(uri)
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return
    path = Path(str(url.database))
    if path.exists() and path.stat().st_size:
        return
    statements = _statements()
    with closing(sqlite3.connect(path, timeout=_SECONDS, isolation_level=None)) as connection:
        # A transaction: it is there as a whole or not at all, and for others not before its end.
        connection.execute("BEGIN EXCLUSIVE")
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in statements:
                connection.execute(statement)
        connection.execute("COMMIT")


def _statements() -> list[str]:
    """Let MLflow migrate a database in memory, and write down what has come of it."""
    from mlflow.store.db.utils import _initialize_tables
    from sqlalchemy import StaticPool, create_engine

    engine = create_engine("sqlite://", poolclass=StaticPool)
    try:
        _initialize_tables(engine)
        with engine.connect() as connection:
            memory = connection.connection.driver_connection
            assert isinstance(memory, sqlite3.Connection)
            return [each for each in memory.iterdump() if each not in _OF_THE_DUMP]
    finally:
        engine.dispose()


# Its own transaction, where there is one already.
_OF_THE_DUMP = ("BEGIN TRANSACTION;", "COMMIT;")
