"""Changes that tracking makes in the process during runs, and what worker processes need."""

import atexit
import gc
import json
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from ..disk import FileLock, write_atomically
from ..mlflow_internals import environment_restored
from ..project import PACKAGE, PACKAGE_FOLDER, State

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog

    from ..config import ServerOptions
    from .shipping import Delivery


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
            self.change("environment", environment_kept())
            self.change("SIGTERM", _sigterm_exits())

    def leave(self) -> None:
        """Count a run out."""
        with self._lock:
            self._runs -= 1
            self.undo()

    def undo(self) -> None:
        """Undo the changes if no run is counted in, as none is in a worker process."""
        with self._lock:
            if self._runs == 0:
                self._changes.clear()
                self._undo.close()

    def change(self, name: str, change: AbstractContextManager[Any]) -> None:
        """Make a change unless another run has made it already."""
        with self._lock:
            if name not in self._changes:
                self._changes.add(name)
                self._undo.enter_context(change)


def environment_kept() -> AbstractContextManager[None]:
    """Put the variables back that runs change."""
    return environment_restored("MLFLOW_", "KEDRO_MLFLOW_")


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


def is_under_way(journal: Path) -> bool:
    """Return whether the process that has started the run of a journal lives and has not ended it.

    What a worker gets of a run may be unpacked much later: that run must not be joined again.
    """
    if not (journal / "run.json").is_file():
        return False
    with FileLock(journal / "lock") as taken:
        return not taken


@dataclass(frozen=True)
class WorkerKit:
    """What a worker that was not forked cannot know; it is sent along, and is never in a file.

    The worker may be a process that was there before the run, as Dask's are, or joblib's, on this
    machine or on another one.
    """

    session: Mapping[str, Any]  # What makes Kedro's session.
    server: "ServerOptions"  # Its addresses may hold a password.
    secrets: frozenset[str]  # The values to mask in the log.
    journals: Mapping[str, str]  # The folders of the runs under way, by their run ids.
    # What of those folders a worker needs that does not see them; it is read when this is packed,
    # but for the ids: they may be known before they are noted there.
    contents: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    def context(self) -> "KedroContext":
        """Make Kedro's context as the parent's is."""
        from kedro.framework.session import KedroSession

        session = dict(self.session)
        if not Path(session["project_path"]).is_dir():
            session["project_path"] = PACKAGE_FOLDER.parents[1]
        return KedroSession.create(save_on_close=False, **session).load_context()

    def note_ids(self, run_id: str, ids: "Delivery") -> None:
        """Let workers know the ids of a run and its child runs in MLflow."""
        names = ("run_id", "experiment_id", "children")
        self.ids[run_id] = json.dumps({name: getattr(ids, name) for name in names})

    def is_elsewhere(self, run_id: str) -> bool:
        """Return whether this worker does not see the folder of a run."""
        found = _contents(Path(self.journals[run_id]))
        return found.get(_RUN) != self.contents[run_id].get(_RUN)

    def copy_of(self, run_id: str) -> Path:
        """Make what this worker has of the folder of a run; it goes with the process."""
        folder = Path(self.journals[run_id])
        if folder not in _copies:
            _copies[folder] = State.of(Path(mkdtemp(prefix="kedro-"))).journals / folder.name
            atexit.register(self.forget, run_id)
        for name, text in self.contents[run_id].items():
            write_atomically(_copies[folder] / name, text.encode())
        return _copies[folder]

    def forget(self, run_id: str) -> None:
        """Delete that again, if there is any."""
        if copy := _copies.pop(Path(self.journals[run_id]), None):
            shutil.rmtree(State.of_journal(copy).project_path, ignore_errors=True)

    def send_along(self, catalog: "DataCatalog") -> None:
        """Let workers unpack it before they run a node: they are sent node and catalog."""
        catalog.__dict__["_worker_kit"] = self

    def __getstate__(self) -> dict[str, Any]:
        contents = self.contents  # A worker hands on what it was given.
        if not contents:
            contents = {run_id: _contents(Path(each)) for run_id, each in self.journals.items()}
            for run_id, ids in self.ids.items():
                contents[run_id] = {**contents[run_id], _IDS: ids}
        return {**self.__dict__, "contents": contents}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Equip the hooks of a worker that unpacks it."""
        self.__dict__.update(state)
        configure_settings()
        for hook in sys.modules["kedro.framework.project"].settings.HOOKS:
            if equip := getattr(hook, "equip", None):
                equip(self)


def configure_settings() -> None:
    """Load the project's settings, hooks included, in a worker.

    Kedro 1.7 means to do so in `Task.execute`, but asks for the project's name in the worker, where
    it is never set: no hook is called there.
    """
    from kedro.framework import project

    # Not `configure_project`, which sets the name: then Kedro would configure its logging by
    # that very logging, without end.
    if project.PACKAGE_NAME is None and not project.settings.configured:
        project.settings.configure(f"{PACKAGE}.settings")


# What a worker reads of a run's folder: the run, whose token is in no other, and its ids in MLflow.
_RUN = "run.json"
_IDS = "delivery-server.json"
_copies: dict[Path, Path] = {}


def _contents(folder: Path) -> dict[str, str]:
    return {
        name: (folder / name).read_text(encoding="utf-8")
        for name in (_RUN, _IDS)
        if (folder / name).is_file()
    }
