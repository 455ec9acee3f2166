"""The rows and the files of a tracking server, copied into a folder and back.

Rows are read in one transaction, so that the server may run meanwhile, and written as JSON: no
database's own tool is needed, and a newer release of the database takes the same backup. Files are
copied after the rows: whatever a row names is there.
"""

import gzip
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Column, Connection, Engine, MetaData

# How far a database is migrated: its runs, and its users.
RUNS, USERS = "alembic_version", "alembic_version_auth"
_BATCH = 1000
# What JSON has no word for, by the type of the column.
_READ: dict[type, Callable[[Any], Any]] = {
    bytes: b64decode,
    date: date.fromisoformat,
    datetime: datetime.fromisoformat,
    Decimal: Decimal,
}


class BackupError(Exception):
    """Why there is no backup, or why it cannot be restored: one sentence."""


def dump(engine: "Engine", file: Path) -> int:
    """Write every row of a database as lines of JSON.

    Returns:
        How many rows there are.
    """
    from sqlalchemy import select

    rows = 0
    with _snapshot(engine) as connection, gzip.open(file, "wt", encoding="utf-8") as out:
        for table in _tables(connection).sorted_tables:
            columns = [column for column in table.columns if column.computed is None]
            names = [column.name for column in columns]
            out.write(json.dumps({"table": table.name, "columns": names}) + "\n")
            for row in connection.execute(select(*columns)):
                out.write(json.dumps([_plain(value) for value in row]) + "\n")
                rows += 1
        out.write(json.dumps({"rows": rows}) + "\n")
    return rows


def load(engine: "Engine", file: Path) -> set[str]:
    """Replace every row of the tables in a file by those of the file, in one transaction.

    Returns:
        Tables that the database does not have, and that were left out: they are not MLflow's.

    Raises:
        BackupError: the file is of another version of MLflow.
    """
    with engine.begin() as connection:
        tables = _tables(connection)
        if engine.dialect.name == "mysql":
            # Otherwise the experiment 0 gets another number.
            connection.exec_driver_sql(
                "set sql_mode = concat(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')"
            )
        # The backup of a server without users has none of their tables: those that are here stay.
        named = {
            line["table"] for line in _lines(file) if isinstance(line, dict) if "table" in line
        }
        for table in reversed(tables.sorted_tables):
            if table.name in named:
                connection.execute(table.delete())
        _insert(connection, tables, file)
        if engine.dialect.name == "postgresql":
            _advance_sequences(connection, tables)
    return named - tables.tables.keys()


def check(file: Path, rows: int) -> None:
    """Read all of a file, and write nothing.

    Raises:
        BackupError: it is not whole, or does not have so many rows.
    """
    found, last = 0, None
    for last in _lines(file):
        found += isinstance(last, list)
    if found != rows or last != {"rows": rows}:
        raise BackupError(f"{file} is not whole: take another backup.")


def revisions(engine: "Engine") -> dict[str, str]:
    """Read how far a database is migrated: the revision of its runs, and of its users."""
    with engine.connect() as connection:
        tables = _tables(connection).tables
        return {
            name: connection.execute(tables[name].select()).scalar_one()
            for name in (RUNS, USERS)
            if name in tables
        }


def holds_runs(engine: "Engine") -> bool:
    """Return whether a database has more in it than a server that has just been set up."""
    from sqlalchemy import func, select

    with engine.connect() as connection:
        tables = _tables(connection).tables
        most = {"runs": 0, "logged_models": 0, "registered_models": 0, "trace_info": 0}
        most["experiments"] = 1
        return any(
            connection.execute(select(func.count()).select_from(tables[name])).scalar_one() > limit
            for name, limit in most.items()
            if name in tables
        )


def save_files(store: str, folder: Path) -> None:
    """Copy all files of a store, a folder or a bucket, into a folder."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    folder.mkdir()
    if "://" in store or Path(store).is_dir():
        get_artifact_repository(store).download_artifacts("", str(folder))


def restore_files(folder: Path, store: str) -> None:
    """Copy all files of a folder into a store."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    get_artifact_repository(store).log_artifacts(str(folder))


def size_of(folder: Path) -> dict[str, int]:
    """Count the files of a folder, and their bytes."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return {"files": len(sizes), "bytes": sum(sizes)}


@contextmanager
def _snapshot(engine: "Engine") -> "Iterator[Connection]":
    """Open a database for reading as it is at this moment."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("begin")
        else:
            connection.execution_options(isolation_level="REPEATABLE READ")
        yield connection.execution_options(stream_results=True, max_row_buffer=_BATCH)


def _tables(connection: "Connection") -> "MetaData":
    from sqlalchemy import JSON, Float, MetaData

    tables = MetaData()
    tables.reflect(connection)
    for table in tables.tables.values():
        for column in table.columns:
            if isinstance(column.type, JSON):
                column.type = JSON(none_as_null=True)
            elif isinstance(column.type, Float):
                # MySQL's would come as decimals of ten digits.
                column.type.asdecimal = False
    return tables


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return b64encode(value).decode()
    if isinstance(value, date | datetime | Decimal):
        return str(value)
    return value


def _insert(connection: "Connection", tables: "MetaData", file: Path) -> None:
    """Insert the rows of a file that was checked, batch by batch."""
    batch: list[dict[str, Any]] = []
    insert: Any = None
    columns: list[Column[Any]] = []
    for line in _lines(file):
        if isinstance(line, list) and insert is not None:
            batch.append(
                {
                    column.name: _read(column, value)
                    for column, value in zip(columns, line, strict=True)
                }
            )
        if batch and (isinstance(line, dict) or len(batch) == _BATCH):
            connection.execute(insert, batch)
            batch = []
        if isinstance(line, dict) and "table" in line:
            table, insert = tables.tables.get(line["table"]), None
            if table is None:
                continue
            if not {*line["columns"]} <= {*table.columns.keys()}:
                raise BackupError(
                    f"This MLflow keeps no {line['table']} as the backup has them: restore it with "
                    "the MLflow that has made it."
                )
            columns = [table.columns[name] for name in line["columns"]]
            insert = table.insert()


def _lines(file: Path) -> Iterator[Any]:
    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)
    except (OSError, EOFError, ValueError) as error:
        raise BackupError(f"{file} cannot be read ({error}): take another backup.") from error


def _read(column: "Column[Any]", value: Any) -> Any:
    if value is None:
        return None
    try:
        read = _READ.get(column.type.python_type)
    except NotImplementedError:  # JSON, for one.
        return value
    return read(value) if read else value


def _advance_sequences(connection: "Connection", tables: "MetaData") -> None:
    """Let PostgreSQL number new rows after those that have come with their numbers."""
    from sqlalchemy import func, select

    for table in tables.sorted_tables:
        for column in table.primary_key.columns:
            sequence = select(func.pg_get_serial_sequence(f'"{table.name}"', column.name))
            if name := connection.execute(sequence).scalar():
                highest = connection.execute(select(func.max(column))).scalar()
                is_used = highest is not None and highest > 0
                connection.execute(select(func.setval(name, highest if is_used else 1, is_used)))
