"""Databases that hold runs, opened as they are: MLflow would make or migrate their tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.exc import SQLAlchemyError

_SECONDS = 5


def why_closed(uri: str) -> str | None:
    """Say in a line why a database does not open; none when it does.

    MLflow itself tries for an hour, and writes each error on the screen.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with opened(uri):
            return None
    except SQLAlchemyError as error:
        return f"the database does not open: {words_of(error)}"


def words_of(error: "SQLAlchemyError") -> str:
    """Leave of an error what the database's driver says, on one line."""
    cause = getattr(error, "orig", None) or error
    # The drivers of MySQL put a number before their words.
    words = cause.args[-1] if cause.args and isinstance(cause.args[-1], str) else str(cause)
    return " ".join(words.split())


@contextmanager
def opened(uri: str) -> Iterator["Connection"]:
    """Open a database for a moment, within seconds."""
    from sqlalchemy import NullPool, create_engine, make_url

    url = make_url(uri)
    seconds = "timeout" if url.get_backend_name() in ("sqlite", "mssql") else "connect_timeout"
    arguments: dict[str, Any] = {seconds: _SECONDS}
    engine = create_engine(url, poolclass=NullPool, connect_args=arguments)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
