"""MLflow's tracking server with user names and passwords, set up by environment variables alone.

The image that is built in this folder and `kedro mlflow server` both run this program. It needs
MLflow and the libraries in requirements.txt, and nothing of the project. Relative paths start at
the working directory: the volume `/data` in the image, `data/` beside this file without one.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from configparser import ConfigParser
from contextlib import ExitStack
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import URL

HERE = Path(__file__).resolve().parent

NEEDED = {
    "MLFLOW_BACKEND_STORE_URI": "give the address of the database that holds the runs, for example "
    "postgresql+psycopg://mlflow:PASSWORD@127.0.0.1:5432/mlflow",
    "MLFLOW_ARTIFACTS_DESTINATION": "say where models and figures go: a folder, s3://BUCKET, "
    "gs://BUCKET or wasbs://CONTAINER@ACCOUNT.blob.core.windows.net",
}
NEEDED_WITH_AUTH = {
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "give a long random text that stays the same, for example "
    "what `openssl rand -hex 32` prints",
}
SHORTEST_PROXY_PASSWORD = 32
USERS = "database_uri in basic_auth.ini"
DRIVERS = "sqlite:///, postgresql+psycopg:// or mysql+pymysql://"
NEEDED_BEYOND_LOOPBACK = {
    "MLFLOW_SERVER_ALLOWED_HOSTS": "list the names, with their port if it is not the usual one, by "
    "which clients call this server, for example mlflow.example.com,127.0.0.1:5000",
}
# What MLflow imports only when the first file arrives, when it is too late to say so.
LIBRARIES = {
    "s3": ("boto3", "boto3"),
    "gs": ("google.cloud.storage", "google-cloud-storage"),
    "wasb": ("azure.storage.blob", "azure-storage-blob"),
    "wasbs": ("azure.storage.blob", "azure-storage-blob"),
}


# What is behind the first @ would be taken, and shown, as the name of a machine.
AT_IN_PASSWORD = re.compile(r"[^:]+://[^:/]*:[^@]*@[^?]*@")


class RefusalError(Exception):
    """Why the server does not start: one sentence that says what to do."""


def main(before_serving: Callable[[], None] = lambda: None) -> None:
    """Check the variables, bring both databases up to date, and serve until stopped."""
    auth = "--no-auth" not in sys.argv[1:]
    # Otherwise MLflow starts 13 processes for judges of language models, which nothing here uses.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # Files are always in the store: a user who may choose another place for an experiment's files
    # makes the server write there.
    os.environ.setdefault("MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH", "0")
    # Databases and files are this user's alone.
    os.umask(0o077)
    with ExitStack() as until_stopped:
        try:
            if reasons := [*refusals(os.environ, auth)]:
                raise RefusalError("\n".join(reasons))
            database = migrate(os.environ["MLFLOW_BACKEND_STORE_URI"])
            if auth:
                config = Path(until_stopped.enter_context(TemporaryDirectory())) / "basic_auth.ini"
                prepare_users(database, config)
            before_serving()
            from mlflow.cli import cli
        except RefusalError as refusal:
            sys.exit(str(refusal))
        except ModuleNotFoundError as error:
            sys.exit(
                f"The Python package {error.name} is missing: install what {HERE}/requirements.txt "
                "lists, or run `uv run --group server kedro mlflow server`."
            )

        # Everything else, above all what is secret, MLflow reads from the environment itself.
        arguments = ["--app-name", "basic-auth"] if auth else []
        cli.main(["server", *arguments], prog_name="mlflow")


def refusals(variables: Mapping[str, str], auth: bool) -> Iterator[str]:
    """Say what keeps the server from starting, a sentence for each reason."""
    host = variables.get("MLFLOW_HOST", "127.0.0.1")
    beyond = not is_loopback(host)
    if beyond and not auth:
        yield (
            f"A server without authentication is for this machine alone: leave it on, or leave "
            f"the host at 127.0.0.1 instead of {host}."
        )
    needed = (
        NEEDED | (NEEDED_WITH_AUTH if auth else {}) | (NEEDED_BEYOND_LOOPBACK if beyond else {})
    )
    for name, remedy in needed.items():
        if not variables.get(name):
            yield f"{name} is not set: {remedy}."
    proxy = variables.get("MLFLOW_PROXY_PASSWORD")
    if proxy and len(proxy) < SHORTEST_PROXY_PASSWORD:
        yield (
            "MLFLOW_PROXY_PASSWORD is short: with it the proxy signs in as anybody. Give a long "
            "random text, for example what `openssl rand -hex 32` prints."
        )
    scheme = variables.get("MLFLOW_ARTIFACTS_DESTINATION", "").partition("://")[0]
    if scheme in LIBRARIES and not is_installed(LIBRARIES[scheme][0]):
        yield (
            f"MLFLOW_ARTIFACTS_DESTINATION begins with {scheme}://, which needs the Python package "
            f"{LIBRARIES[scheme][1]}: install it."
        )


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server that listens at this host."""
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:  # A name: it may resolve to anything.
        return False


def is_installed(module: str) -> bool:
    """Return whether a module can be imported, without importing it."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def migrate(uri: str) -> "URL":
    """Make the tables of runs and models, or bring them up to what this MLflow expects.

    Returns:
        The database's address.

    Raises:
        RefusalError: the database cannot be opened, or is newer than this MLflow.
    """
    from alembic.util import CommandError
    from mlflow.store.db import utils

    engine = open_database(uri, "MLFLOW_BACKEND_STORE_URI")
    close_to_others(engine.url)
    try:
        if utils._is_empty_database(engine):
            utils._initialize_tables(engine)
        else:
            utils._upgrade_db(engine)
    except CommandError as error:
        raise RefusalError(
            f"The database is newer than this MLflow ({error}): start the version that it was "
            "upgraded by, or restore an older backup into an empty database."
        ) from error
    finally:
        engine.dispose()
    return engine.url


def close_to_others(database: "URL") -> None:
    """Hide a database file from other users, also one that an earlier start let them read."""
    for name in (database.database, "basic_auth.db"):
        if database.get_backend_name() == "sqlite" and name and Path(name).is_file():
            Path(name).chmod(0o600)


def open_database(uri: str, name: str) -> "Engine":
    """Open a database once: MLflow itself would try for an hour and print each error.

    Args:
        uri: its address.
        name: where that is from.

    Raises:
        RefusalError: it cannot be opened.
    """
    from mlflow.store.db.utils import create_sqlalchemy_engine
    from sqlalchemy.exc import ArgumentError

    if AT_IN_PASSWORD.match(uri):
        raise RefusalError(f"{name} has an @ in its password: write it as %40.")
    try:
        engine = create_sqlalchemy_engine(uri)
        engine.connect().close()
    except (ArgumentError, ModuleNotFoundError) as error:
        # The address holds a password, and so may the error.
        reason = error if isinstance(error, ModuleNotFoundError) else "it is no such address"
        raise RefusalError(
            f"{name} names no database that can be opened: {reason}. An address begins with "
            f"{DRIVERS}."
        ) from error
    except Exception as error:  # Not each driver has all of its errors below one class.
        cause = getattr(error, "orig", None) or error
        # The drivers of MySQL put a number before their words.
        words = cause.args[-1] if cause.args else cause
        reason = " ".join(str(words).split())
        raise RefusalError(f"The database of {name} cannot be opened: {reason}.") from error
    return engine


def prepare_users(database: "URL", config: Path) -> None:
    """Make or migrate the tables of users, and the first user when there is none.

    Args:
        database: the database of the runs.
        config: the file to write what MLflow's authentication reads: no secret is in it.

    Raises:
        RefusalError: there is no first user, and no or no good password to make one.
    """
    if not os.environ.get("MLFLOW_AUTH_CONFIG_PATH"):
        write_auth_config(database, config)
        os.environ["MLFLOW_AUTH_CONFIG_PATH"] = str(config)
    from mlflow.exceptions import MlflowException
    from mlflow.server import auth

    user, password = auth.auth_config.admin_username, auth.auth_config.admin_password
    open_database(auth.auth_config.database_uri, USERS).dispose()
    auth.store.init_db(auth.auth_config.database_uri)
    if not password and user and not auth.store.has_user(user):
        raise RefusalError(
            f"MLFLOW_AUTH_ADMIN_PASSWORD is not set: give the password, of 12 characters or more, "
            f"that the first user '{user}' shall have."
        )
    try:
        auth.bootstrap_admin_user()
    except MlflowException as error:
        reason = " ".join(str(error.message).split())
        raise RefusalError(f"The first user cannot be made: {reason}") from error


def write_auth_config(database: "URL", path: Path) -> None:
    """Complete basic_auth.ini with the database of the users, and who is let in."""
    config = basic_auth()
    config["mlflow"]["database_uri"] = users_uri(database).replace("%", "%%")
    if os.environ.get("MLFLOW_PROXY_PASSWORD"):
        config["mlflow"]["authorization_function"] = "proxy_auth:authenticate"
        # Where the processes that answer find it.
        paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
        sys.path.insert(0, str(HERE))
    with path.open("w", encoding="utf-8") as file:
        config.write(file)


def basic_auth() -> ConfigParser:
    """Read basic_auth.ini, and the file of one's own that MLflow reads in its place."""
    config = ConfigParser()
    config.read([HERE / "basic_auth.ini", os.environ.get("MLFLOW_AUTH_CONFIG_PATH", "")])
    return config


def users_uri(database: "URL") -> str:
    """Return the address of the users' database, without a password: basic_auth.ini may name it.

    MLflow takes this address from a file alone, where no password may be. So PostgreSQL's goes into
    the variable that its client reads, and users are kept beside the runs; the client of MySQL
    reads none, and users are kept in a file.
    """
    if uri := basic_auth()["mlflow"].get("database_uri"):
        return uri
    if database.get_backend_name() != "postgresql":
        return "sqlite:///basic_auth.db"
    if database.password:
        os.environ["PGPASSWORD"] = str(database.password)
    return database._replace(password=None).render_as_string()  # `set` takes no None.


if __name__ == "__main__":
    main()
