"""The modules of the package that is rendered."""

from __future__ import annotations

import shutil
from pathlib import Path

import kedro.framework.project  # noqa: F401  # It configures the log, once, and drops caplog.
import pytest

from tests.support.rooms import Rooms, room


@pytest.fixture(scope="session")
def mlops() -> Rooms:
    return room


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
