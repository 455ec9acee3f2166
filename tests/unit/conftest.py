"""The modules of the package that is rendered."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import kedro.framework.project  # noqa: F401  # It configures the log, once, and drops caplog.
import pytest
from mlflow.store.db import utils
from sqlalchemy import Engine

from tests.support import forks
from tests.support.rooms import Rooms, room


@pytest.fixture(scope="session")
def mlops() -> Rooms:
    return room


@pytest.fixture(scope="session", autouse=True)
def migrate() -> Iterator[Callable[[Engine], None]]:
    """MLflow's migrations, which take seconds: for others they run once, at the first database."""
    real = utils._initialize_tables

    def first(engine: Engine) -> None:
        utils._initialize_tables = real
        forks.remember_tables()
        utils._initialize_tables(engine)

    utils._initialize_tables = first
    yield real
    utils._initialize_tables = real


@pytest.fixture(scope="session")
def empty_database(mlops: Rooms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, made once: that takes seconds."""
    path = tmp_path_factory.mktemp("tables") / "mlflow.db"
    mlops("backend.databases").make_tables(f"sqlite:///{path}")
    return path


@pytest.fixture
def database(empty_database: Path, tmp_path: Path) -> str:
    """The address of a test's own database, in its own folder."""
    return f"sqlite:///{shutil.copy(empty_database, tmp_path / 'mlflow.db')}"
