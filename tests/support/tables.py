"""MLflow's tables, made once for all tests: a new database takes a second of each that needs one.

How a first run makes them has tests of its own: `trained`, and those of new databases.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.rooms import room

# Where the tables are that have been made; set by the session that has.
_MADE: list[Path] = []


def make(folder: Path) -> None:
    """Make a database without experiments of anybody's."""
    room("backend.databases").make_tables(f"sqlite:///{folder}/mlflow.db")


def offer(folder: Path) -> None:
    """Let the projects of this process begin with these tables."""
    _MADE[:] = [folder / "mlflow.db"]


def give(project: Path) -> None:
    """Give a project its own database, unless it has one or this session has made no tables."""
    if _MADE and not (project / "mlflow.db").exists():
        shutil.copy(_MADE[0], project / "mlflow.db")
