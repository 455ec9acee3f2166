"""The run is MLflow's active one for everything that happens while it is under way.

MLflow keeps a stack of active runs per thread. While runs are under way, whoever asks for it finds
the run of the own thread at its bottom: nodes, data sets, other hooks, threads. The MLflow run is
waited for by the first call that needs it: a run without such calls never waits.

A thread works for the run, and the node, that it was started for; see `inherited.py`.
"""

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .. import mlflow_internals
from ..backend.databases import UnreachableError
from ..config import EXPERIMENT_NAME
from ..project import PACKAGE, PACKAGE_FOLDER, own_files
from ..redaction import mask
from .capture.nodes import function_name, undecorated
from .progress import NodeProgress
from .shipping import Delivery
from .shipping.shipper import Shipper

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline
    from mlflow.entities import Run

_SCOPE = "_kedro_mlflow_scope"  # The attribute of a thread that says what it works for.
_SECONDS_FOR_PROCESSES = 10.0  # After a run's begin a process that a node starts waits no longer.
_SETTINGS = PACKAGE_FOLDER / "settings.py"  # They name MLflow's configuration file.
_IMPORT = re.compile(rb"""\bimport\b.*\bmlflow\b|\bfrom\s+mlflow\b|["']mlflow\b""")

# Returns a run's ids in MLflow, or waits for them until a time of `time.monotonic`.
FindIds = Callable[[float], Delivery | None]


@dataclass(eq=False)
class ActiveRun:
    """A run that is under way, as the process's own calls of MLflow find it."""

    run_id: str  # Kedro's.
    tracking_uri: str  # The server's address.
    find_ids: FindIds
    patience: float  # How many seconds after its begin MLflow's functions still wait for it.
    ended: bool = False  # Whether it is not under way any more.
    _ids: Delivery | None = None
    _began: float = field(default_factory=time.monotonic)
    _runs: "dict[str, Run]" = field(default_factory=dict)
    _local: threading.local = field(default_factory=threading.local)
    _stacks: "list[tuple[str, list[Run], NodeProgress | None]]" = field(default_factory=list)

    def begin(self) -> None:
        """Let it be active in this process; this thread works for it."""
        self._outer = own_scope()
        under_way[self.run_id] = self
        label(threading.current_thread(), Scope(self))

    def end(self, status: str) -> None:
        """Let it be active no more, and end what runs its threads have left open below it."""
        self._end_left_open(status)
        self.ended = True
        under_way.pop(self.run_id, None)
        if getattr(threading.current_thread(), _SCOPE, None) == Scope(self):
            label(threading.current_thread(), self._outer)

    @contextmanager
    def in_node(self, namespace: str, progress: NodeProgress) -> Iterator[None]:
        """Let this thread work for a node; runs that it leaves open below ours end with it."""
        with acting(Scope(self, namespace, progress)):
            stack, status = self.opened(namespace), "FINISHED"
            count = max(len(stack), 1)
            try:
                yield
            except BaseException:
                status = "FAILED"
                raise
            finally:
                end_runs_above(stack, count, status)
                self._end_left_open(status, progress)

    def _end_left_open(self, status: str, progress: NodeProgress | None = None) -> None:
        """End the runs that threads have left open: those of a node, or else of the whole run."""
        for namespace, stack, node in list(self._stacks):
            if len(stack) > 1 and (progress is None or node is progress):
                mine, key = self.opened(namespace), _key(namespace)
                self._local.__dict__[key] = stack
                with acting(Scope(self, namespace)):
                    end_runs_above(stack, 1, status)
                self._local.__dict__[key] = mine

    def ids(self, patience: float = float("inf")) -> Delivery | None:
        """Return its ids; wait until it is there, but not beyond so many seconds of its begin."""
        if self._ids is None:
            self._ids = self.find_ids(self._began + min(patience, self.patience))
        return self._ids

    def stack(self, namespace: str) -> "list[Run]":
        """Return this thread's stack of active runs, with the run, or a child run, at the bottom.

        An UnreachableError says that it is not there: MLflow would start a stray run.
        """
        stack = self.opened(namespace)
        if not stack:
            import mlflow

            if namespace not in self._runs:
                run_id = self.require_ids().id_of(namespace)
                self._runs[namespace] = mlflow.MlflowClient(self.tracking_uri).get_run(run_id)
            stack.append(mlflow.ActiveRun(self._runs[namespace]))
        return stack

    def opened(self, namespace: str) -> "list[Run]":
        """Return this thread's stack of active runs: empty if nothing has asked for it yet."""
        stacks: dict[str, list[Run]] = self._local.__dict__
        if (key := _key(namespace)) not in stacks:
            stacks[key] = []
            scope = own_scope()
            self._stacks.append((namespace, stacks[key], scope.progress if scope else None))
        return stacks[key]

    def require_ids(self) -> Delivery:
        """Return its ids, or raise an `UnreachableError`."""
        if ids := self.ids():
            return ids
        raise UnreachableError(f"MLflow at {mask('', self.tracking_uri)} does not answer.")


# All that are under way in this process, by Kedro's run ids.
under_way: dict[str, ActiveRun] = {}


def end_all() -> None:
    """Let no run be active any more: at the end of a process, MLflow ends the one that is."""
    for run in list(under_way.values()):
        run.ended = True
    under_way.clear()


def _key(namespace: str) -> str:
    # A process that was forked starts with stacks of its own, as in MLflow.
    return f"{os.getpid()}/{namespace}"


def end_runs_above(stack: "list[Run]", count: int, status: str) -> None:
    """End the runs of this thread's stack but for the lowest ones."""
    for _ in stack[count:]:
        import mlflow

        with suppress(Exception):  # The pipeline does not depend on the server.
            mlflow.end_run(status)


# --- What a thread works for ---


@dataclass(frozen=True)
class Scope:
    """What a thread works for: a run, in it a namespace with a run of its own, and a node."""

    run: ActiveRun
    namespace: str = ""
    progress: NodeProgress | None = None

    @property
    def tracking_uri(self) -> str:
        """The run's server."""
        return self.run.tracking_uri

    @property
    def experiment_id(self) -> str:
        """The run's experiment."""
        return self.run.require_ids().experiment_id

    def stack(self) -> "list[Run]":
        """Return the thread's stack of active runs."""
        return self.run.stack(self.namespace)

    def variables(self) -> dict[str, str]:
        """Return the environment of a process that is started from here: its runs are below."""
        if not (ids := self.run.ids(_SECONDS_FOR_PROCESSES)):
            return {}
        opened = self.run.opened(self.namespace)
        parent = opened[-1].info.run_id if opened else ids.id_of(self.namespace)
        tags = {"mlflow.parentRunId": parent}
        # The owner may have tags there for all runs.
        with suppress(LookupError, ValueError, TypeError):
            tags = {**json.loads(os.environ["MLFLOW_RUN_CONTEXT"]), **tags}
        found = {
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "MLFLOW_EXPERIMENT_ID": ids.experiment_id,
            "MLFLOW_RUN_CONTEXT": json.dumps(tags),
        }
        if EXPERIMENT_NAME in os.environ:  # MLflow refuses a name of another experiment.
            import mlflow

            experiment = mlflow.MlflowClient(self.tracking_uri).get_experiment(ids.experiment_id)
            found[EXPERIMENT_NAME] = str(experiment.name)
        return found


def current_scope(has_own_run: bool = False) -> Scope | None:
    """Return what this thread works for.

    A thread that nothing is known of, and that has no active run of its own, works for the only run
    there is: an older thread that takes its tasks from a queue.
    """
    if (scope := own_scope()) or has_own_run:
        return scope
    runs = list(under_way.values())
    # The shipper makes the run: it must not wait for it.
    ships = isinstance(threading.current_thread(), Shipper)
    return Scope(runs[0]) if len(runs) == 1 and not ships else None


@contextmanager
def acting(scope: Scope | None) -> Iterator[None]:
    """Let this thread work for something else meanwhile."""
    thread = threading.current_thread()
    before = getattr(thread, _SCOPE, None)
    label(thread, scope)
    try:
        yield
    finally:
        label(thread, before)


def label(thread: threading.Thread, scope: Scope | None) -> None:
    """Note on a thread what it works for."""
    setattr(thread, _SCOPE, scope)


def run_of_the_owner() -> "Run | None":
    """Return the run that the code of this thread has made active itself, or none."""
    if "mlflow" not in sys.modules:
        return None
    if scope := own_scope():
        stack = scope.run.opened(scope.namespace)[1:]
    else:
        stack = mlflow_internals.own_active_runs()
    return stack[-1] if stack else None


def own_scope() -> Scope | None:
    """Return what this thread is known to work for."""
    scope: Scope | None = getattr(threading.current_thread(), _SCOPE, None)
    return scope if scope and not scope.run.ended else None


def ids_in(folder: Path, until: float) -> Delivery | None:
    """Read, in another process of the run, what the first one, which has waited, has noted."""
    delivery = Delivery.load(folder, "server")
    return delivery if delivery.run_id else None


def uses_mlflow(pipeline: "Pipeline") -> bool:
    """Return whether a node may call MLflow itself: some source text of the project's imports it.

    That is text of the package's modules, whether loaded yet or not (a node may import one when it
    runs), and of what is loaded of other packages that node functions come from. A function typed
    into a notebook may do anything.
    """
    files = own_files(PACKAGE_FOLDER) - {_SETTINGS}
    names = {function_name(undecorated(node.func))[0].partition(".")[0] for node in pipeline.nodes}
    if "__main__" in names and not hasattr(sys.modules["__main__"], "__file__"):
        return True
    others = names - {PACKAGE}
    for name in [each for each in list(sys.modules) if each.partition(".")[0] in others]:
        file = getattr(sys.modules.get(name), "__file__", None)
        if str(file).endswith(".py"):
            files.add(Path(str(file)))
    return any(_IMPORT.search(_content(path)) for path in files)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # It is in an archive, or gone since it was loaded.
        return b""
