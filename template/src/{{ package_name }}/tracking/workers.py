"""What ParallelRunner's worker processes need before they run a node."""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kedro.io import DataCatalog


def load_project_with(catalog: "DataCatalog") -> None:
    """Let a worker that was not forked load the project's settings, hooks included.

    Kedro 1.7 means to do so in `Task.execute`, but asks for the project's name in the worker, where
    nobody has set it: no hook is called there. What it sends to a worker is node and catalog.
    """
    from kedro.framework.project import PACKAGE_NAME

    if PACKAGE_NAME:
        catalog.__dict__["_project"] = _Project(PACKAGE_NAME)


class _Project:
    """Is loaded where it is unpickled."""

    def __init__(self, package: str) -> None:
        self._package = package

    def __reduce__(self) -> tuple[Any, ...]:
        return _load_project, (self._package,)


def _load_project(package: str) -> _Project:
    from kedro.framework import project

    # Not `configure_project`, which sets the name: then Kedro would configure its logging by that
    # very logging, without end.
    if project.PACKAGE_NAME is None and not project.settings.configured:
        project.settings.configure(f"{package}.settings")
    return _Project(package)


def forget_connections() -> None:
    """Let a forked worker open database connections of its own: its parent uses those it has."""
    if store := sys.modules.get("mlflow.store.tracking.sqlalchemy_store"):
        for engine in store.SqlAlchemyStore._engine_map.values():
            engine.dispose(close=False)
