"""Changes that tracking makes in the process during runs, and what worker processes need."""

import gc
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..mlflow_internals import environment_restored
from ..project import PACKAGE

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog

    from ..config import ServerOptions


# Kedro's own runners of this process; none is the first of them.
_IN_THIS_PROCESS = re.compile(r"^<?(kedro\.runner\.\w+\.)?(SequentialRunner|ThreadRunner)\b|^None$")


class ProcessState:
    """Changes that the first run makes and that stay until the last run has ended."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._runs = 0
        self._changes: set[str] = set()
        self._undo = ExitStack()

    def enter(self) -> None:
        """Count a run in."""
        with self._lock:
            self._runs += 1
            self.change("environment", environment_restored("MLFLOW_", "KEDRO_MLFLOW_"))
            self.change("SIGTERM", _sigterm_exits())

    def leave(self) -> None:
        """Count a run out."""
        with self._lock:
            self._runs -= 1
            if self._runs == 0:
                self._changes.clear()
                self._undo.close()

    def change(self, name: str, change: AbstractContextManager[Any]) -> None:
        """Make a change unless another run has made it already."""
        with self._lock:
            if name not in self._changes:
                self._changes.add(name)
                self._undo.enter_context(change)


@contextmanager
def _sigterm_exits() -> Iterator[None]:
    """Let SIGTERM end the program as Ctrl-C does, so that its runs are ended.

    A program that handles the signal itself is left alone, and so is a thread: Python allows
    handlers in the main thread only.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    process = os.getpid()

    def exit_process(number: int, frame: object) -> None:
        # A second one ends the process at once.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.getpid() != process:  # A forked worker: the run is not its own.
            os.kill(os.getpid(), signal.SIGTERM)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, exit_process)
    try:
        yield
    finally:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGTERM) is exit_process:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """Do something that is over soon without garbage collection."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def frozen_afterwards() -> Iterator[None]:
    """Load libraries without garbage collection, and exclude from it later what was loaded.

    MLflow and SQLAlchemy make several hundred thousand objects that stay. Each time their number
    has grown by a quarter Python looks at all of them: half of what their import costs.
    """
    with garbage_collection_paused():
        yield
        if gc.get_freeze_count() == 0:
            gc.freeze()


@contextmanager
def thawed_afterwards() -> Iterator[None]:
    """Include all objects in garbage collection again at the end, if none was frozen before."""
    untouched = gc.get_freeze_count() == 0
    try:
        yield
    finally:
        if untouched:
            gc.unfreeze()


def runs_elsewhere(run_params: Mapping[str, Any]) -> bool:
    """Return whether nodes may run in other processes, as those of an owner's runner may."""
    return not _IN_THIS_PROCESS.search(str(run_params["runner"]))


@dataclass(frozen=True)
class WorkerKit:
    """What a worker that was not forked cannot know; it is sent along, and is never in a file.

    The worker may be a process that was there before the run, as Dask's are, or joblib's.
    """

    session: Mapping[str, Any]  # What makes Kedro's session.
    server: "ServerOptions"  # Its addresses may hold a password.
    secrets: frozenset[str]  # The values to mask in the log.
    journals: Mapping[str, str]  # The folders of the runs under way, by their run ids.

    def context(self) -> "KedroContext":
        """Make Kedro's context as the parent's is."""
        from kedro.framework.session import KedroSession

        return KedroSession.create(save_on_close=False, **self.session).load_context()

    def send_along(self, catalog: "DataCatalog") -> None:
        """Let workers unpack it before they run a node: they are sent node and catalog."""
        catalog.__dict__["_worker_kit"] = self

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Equip the hooks of a worker that unpacks it.

        Kedro 1.7 means to load the project's settings, hooks included, in `Task.execute`, but asks
        for the project's name in the worker, where it is never set: no hook is called there.
        """
        from kedro.framework import project

        self.__dict__.update(state)
        # Not `configure_project`, which sets the name: then Kedro would configure its logging by
        # that very logging, without end.
        if project.PACKAGE_NAME is None and not project.settings.configured:
            project.settings.configure(f"{PACKAGE}.settings")
        for hook in project.settings.HOOKS:
            if equip := getattr(hook, "equip", None):
                equip(self)
