"""Databases, stores and tracking servers, each started once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from mlflow.store.db import utils

from tests.support import answers, databases, forks, stores
from tests.support.databases import MariaDB, PostgreSQL
from tests.support.old_databases import age
from tests.support.project import Project, copy_of, tracking_server
from tests.support.receiver import Receiver, receiving
from tests.support.servers import (
    ADMIN_PASSWORD,
    PROXY_PASSWORD,
    SECRETS,
    WEBHOOKS,
    TrackingServer,
    by_command,
    by_compose,
    compose,
    webhook_of,
)
from tests.support.stores import Store

forks.hash_quickly()


@pytest.fixture(scope="session")
def other(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project for MySQL and Azure."""
    choice = {"backend_store": "mysql", "artifact_store": "azure"}
    folder = tmp_path_factory.mktemp("other") / "project"
    return answers.render(template, folder, {"tracking_preset": "server", **choice})


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    with databases.postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def aged(postgresql: PostgreSQL) -> str:
    """The name of a database as an older MLflow has left it; tests get copies."""
    age(postgresql.create("aged"))
    return "aged"


@pytest.fixture(scope="session")
def tables(postgresql: PostgreSQL) -> str:
    """The name of a database with MLflow's tables, which take seconds; tests get copies."""
    engine = sqlalchemy.create_engine(postgresql.create("tables"))
    utils._initialize_tables(engine)
    engine.dispose()
    return "tables"


@pytest.fixture(scope="session")
def mariadb(other: Path) -> Iterator[MariaDB]:
    """MariaDB, with the options of the compose file."""
    given = {**SECRETS, "MLFLOW_ARTIFACTS_DESTINATION": "given"}
    services = compose(other / "deploy" / "tracking-server", given)["services"]
    with databases.mariadb(services["database"]["command"]) as server:
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with stores.s3(tmp_path_factory.mktemp("stores") / "s3") as store:
        yield store


@pytest.fixture(scope="session")
def azure(installed: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("stores") / "azure"
    with stores.azure(folder, installed.environment / "bin" / "python") as store:
        yield store


@pytest.fixture
def as_admin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test itself look at the servers as their admin."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN_PASSWORD)


@pytest.fixture(scope="session")
def team_server(
    installed: Project,
    postgresql: PostgreSQL,
    aged: str,
    s3: Store,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[TrackingServer]:
    """The server of compose.yaml, on PostgreSQL and S3, whose database is of an older MLflow."""
    postgresql.create("mlflow", aged)
    folder = tmp_path_factory.mktemp("team")
    with by_compose(installed, folder, postgresql.port, s3.variables, s3.destination) as server:
        yield server


@pytest.fixture(scope="session")
def plain_server(
    installed: Project,
    postgresql: PostgreSQL,
    tables: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """A server on PostgreSQL that lets everybody in."""
    database = postgresql.create("plain", tables)
    with tracking_server(installed, tmp_path_factory.mktemp("plain"), database) as url:
        yield url


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """What the webhook of `other_server` calls."""
    with receiving() as made:
        yield made


@pytest.fixture(scope="session")
def other_server(
    installed: Project,
    mariadb: MariaDB,
    azure: Store,
    receiver: Receiver,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[TrackingServer]:
    """The server of `kedro mlflow server`, on MariaDB and Azure's emulator.

    It has a webhook, believes a proxy, and is one process, a fork.
    """
    project = copy_of(installed, tmp_path_factory.mktemp("command"))
    webhooks = f"  webhooks: [{webhook_of(receiver.url)}]"
    project.edit("conf/base/mlflow.yml", "  webhooks: []", webhooks)
    variables = azure.variables | WEBHOOKS
    variables |= {
        "MLFLOW_BACKEND_STORE_URI": mariadb.create("mlflow"),
        "MLFLOW_ARTIFACTS_DESTINATION": azure.destination,
        "MLFLOW_PROXY_PASSWORD": PROXY_PASSWORD,
    }
    with by_command(project, variables) as server:
        yield server


@pytest.fixture
def project(installed: Project, tmp_path: Path) -> Project:
    """The project for a test to change, with no run in it."""
    return copy_of(installed, tmp_path)
