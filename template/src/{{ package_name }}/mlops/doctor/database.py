"""A database that holds runs: is it there, and do its tables fit this MLflow?"""

from pathlib import Path
from typing import TYPE_CHECKING

from ..backend.databases import opened, words_of
from .finding import Finding, failed, ok, reason, warning
from .setup import Setup

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory
    from sqlalchemy import Connection

_NO_RUN_YET = "comes with the first run"


_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MySQL", "mssql": "SQL Server"}


def database(setup: Setup) -> Finding:
    """Look whether the database opens."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        url = make_url(setup.uri)
        name = _NAMES.get(url.get_backend_name(), url.get_backend_name())
        if name == "SQLite" and url.database:
            shown = _seen_from(setup.project_path, Path(url.database))
            if not Path(url.database).exists():
                return ok(f"{shown} {_NO_RUN_YET}", ends=_NO_RUN_YET)
            name = f"{name} in {shown}"
        elif url.host:
            name = f"{name} at {url.host}"
        with opened(setup.uri) as connection:
            number = ".".join(map(str, connection.dialect.server_version_info or ()))
            blurred = url.get_backend_name() == "mysql" and _takes_capitals_for_small(connection)
            if getattr(connection.dialect, "is_mariadb", False):
                name = name.replace("MySQL", "MariaDB")
    except SQLAlchemyError as error:
        return judge_refusal(name, reason(Exception(words_of(error))))
    if blurred:
        return warning(
            f"{name}, version {number}, takes the metrics loss and Loss for one",
            "Make a database with `character set utf8mb4 collate utf8mb4_bin`.",
        )
    return ok(f"{name}, version {number}")


def _takes_capitals_for_small(connection: "Connection") -> bool:
    """Ask for the collation that the tables have or will have; the server's own is of this kind."""
    from sqlalchemy import text

    collation = connection.execute(text("select @@collation_database")).scalar_one()
    return str(collation).endswith("_ci")


def judge_refusal(name: str, words: str) -> Finding:
    """Say why a database does not open, by the words of its driver.

    Args:
        name: the database.
        words: the driver's.
    """
    lower = words.lower()
    message = f"{name} does not open ({words})"
    if "password" in lower or "access denied" in lower or "authentication" in lower:
        return failed(
            message,
            "Correct user and password in MLFLOW_TRACKING_URI: see .env.example.",
        )
    if "does not exist" in lower or "unknown database" in lower:
        return failed(message, "Make the database, or correct its name in MLFLOW_TRACKING_URI.")
    if "unable to open" in lower or "not a database" in lower:
        return failed(message, "Let this user read and write the file, or move it away.")
    return failed(message, "Start the database, or correct MLFLOW_TRACKING_URI.")


def tables(setup: Setup) -> Finding:
    """Compare the revision of the tables with the one that this MLflow works with."""
    from alembic.migration import MigrationContext
    from mlflow.version import VERSION

    with opened(setup.uri) as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
        if revision is None:
            return ok(f"none yet: what MLflow {VERSION} needs {_NO_RUN_YET}", ends=_NO_RUN_YET)
    migrations = _migrations()
    known = [script.revision for script in migrations.walk_revisions()]
    return judge_revision(revision, known, VERSION, _upgrade(setup))


def judge_revision(revision: str, known: list[str], client: str, upgrade: str) -> Finding:
    """Judge whether tables fit.

    Args:
        revision: theirs.
        known: all that this MLflow knows, the newest first.
        client: the version of MLflow that is installed here.
        upgrade: the command that brings them up to date.
    """
    if revision == known[0]:
        return ok(f"up to date for MLflow {client}")
    if revision in known:
        return failed(
            f"an older MLflow has made them: {known.index(revision)} migrations behind {client}",
            f"Back the database up, then run: {upgrade}",
        )
    return failed(
        f"a newer MLflow than {client} has made them",
        "Raise mlflow in pyproject.toml to the others' version, and run `uv sync`.",
    )


def _upgrade(setup: Setup) -> str:
    """Write the command that migrates the database, without its password in it."""
    from sqlalchemy import make_url

    url = make_url(setup.uri)
    if url.get_backend_name() == "sqlite":
        where = _seen_from(setup.project_path, Path(str(url.database)))
        return f"uv run mlflow db upgrade sqlite:///{where}"
    # The shell inside knows the variables of .env.
    return "uv run --env-file .env sh -c 'mlflow db upgrade \"$MLFLOW_TRACKING_URI\"'"


def _seen_from(project_path: Path, path: Path) -> Path:
    return path.relative_to(project_path) if path.is_relative_to(project_path) else path


def _migrations() -> "ScriptDirectory":
    import mlflow
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
