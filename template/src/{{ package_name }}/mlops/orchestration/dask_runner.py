"""`kedro run --runner DaskRunner`: nodes run on Dask's workers, on this machine or on many.

The whole pipeline goes to the scheduler at once. A node is a task that runs once its inputs are
there; what is not in the catalog stays on the workers, and passes from one to another. With each
node's result comes what was captured of it. A node whose worker has died runs again, and counts
once.
"""

import atexit
import gc
import logging
import os
import pickle
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import cloudpickle
from distributed import Client, Future, LocalCluster, as_completed
from kedro.framework import project
from kedro.runner import AbstractRunner, Task

from ..errors import TrackingError, one_line
from ..mlflow_internals import is_in_memory, values_in_memory, with_values
from ..tracking.attempt import Captured
from ..tracking.process import configure_settings

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node
    from pluggy import PluginManager

logger = logging.getLogger(__name__)

SCHEDULER = "DASK_SCHEDULER_ADDRESS"


class DaskRunner(AbstractRunner):
    """Runs nodes on the workers of a scheduler, or else on some that it starts for the run."""

    def __init__(self, is_async: bool = False, n_workers: int | None = None) -> None:
        """Set how many worker processes to start: as many as the machine has CPUs.

        DASK_SCHEDULER_ADDRESS names a scheduler that has workers.
        """
        super().__init__(is_async=is_async)
        self._n_workers = self._validate_max_workers(n_workers)

    def _get_executor(self, max_workers: int) -> None:
        return None

    def _run(
        self,
        pipeline: "Pipeline",
        catalog: Any,
        hook_manager: "PluginManager | None" = None,
        run_id: str | None = None,
    ) -> None:
        address = os.environ.get(SCHEDULER)
        logs = None if address else dict(project.LOGGING)
        shared = Shared(catalog, self._is_async, run_id, logs)
        done: set[Node] = set()
        try:
            with _workers(address, self._n_workers, run_id) as client:
                for node, report in _reports(client, pipeline, shared):
                    for hook in hook_manager.get_plugins() if hook_manager else ():
                        if take := getattr(hook, "take", None):
                            take(run_id, report.captured)
                    if report.has_failed:
                        continue
                    for name, value in report.outputs.items():
                        catalog.save(name, value)
                    done.add(node)
                    self._logger.info("Completed node: %s", node.name)
                    self._logger.info(
                        "Completed %d out of %d tasks", len(done), len(pipeline.nodes)
                    )
        except Exception:
            self._suggest_resume_scenario(pipeline, done, catalog)
            raise


@contextmanager
def client_of(scheduler: "str | LocalCluster") -> Iterator[Client]:
    """Connect to a scheduler; a TrackingError says that none answers."""
    for name in [
        name for name in logging.root.manager.loggerDict if name.startswith("distributed")
    ]:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        client = Client(scheduler, set_as_default=False)
    except (OSError, ValueError) as error:
        raise TrackingError(
            f"No scheduler of Dask answers at {scheduler} ({SCHEDULER}): {one_line(error)}"
        ) from error
    with client:
        if not client.scheduler_info()["workers"]:
            logger.warning("The scheduler at %s has no workers: it waits for one.", scheduler)
        yield client


@contextmanager
def _workers(address: str | None, count: int, run_id: str | None) -> Iterator[Client]:
    if address:
        with client_of(address) as client:
            try:
                yield client
            finally:  # They live on.
                with suppress(Exception):
                    client.run(_leave, run_id)
        return
    # Without a limit of memory, for a node may need more than its share.
    options = {"threads_per_worker": 1, "memory_limit": 0, "dashboard_address": None}
    with LocalCluster(n_workers=count, **options) as cluster, client_of(cluster) as client:
        yield client


# --- In the process that has started the run ---


def _reports(
    client: Client, pipeline: "Pipeline", shared: "Shared"
) -> "Iterator[tuple[Node, Report]]":
    """Let workers run all nodes, and yield what each has to report; raise what one has failed of.

    After a failure no node starts any more, and those that run come to their end, as with Kedro's
    own runners.
    """
    tasks = _submit(client, pipeline, shared)
    failure: BaseException | None = None
    try:
        completed = as_completed(
            list(tasks), loop=client.loop, with_results=True, raise_errors=False
        )
        for future, report in completed:
            node = tasks.pop(future)
            if future.status == "finished":
                yield node, report
            elif future.status == "error":
                error = future.exception()
                if failure is None:
                    failure = error
                    _start_no_more(client, tasks)
                if isinstance(error, NodeError) and error.node == node.name:
                    yield node, Report(error.captured, has_failed=True)
    finally:
        client.cancel(list(tasks))
    if isinstance(failure, NodeError):
        raise failure.error from RuntimeError(f"\n{failure.trace}")
    if failure:
        raise failure


def _submit(client: Client, pipeline: "Pipeline", shared: "Shared") -> "dict[Future[Any], Node]":
    """Send all nodes to the scheduler, and return the future of each one's report.

    No other future is kept: what a node has returned is released once all that reads it is done.
    """
    run = uuid4().hex[:8]
    # In bytes: else the scheduler would unpack it.
    common = client.submit(pickle.loads, cloudpickle.dumps(shared), key=f"catalog-{run}")
    final, read = pipeline.outputs(), {name for node in pipeline.nodes for name in node.inputs}
    makers = {name: node for node in pipeline.nodes for name in node.outputs}
    values: dict[str, Future[Any]] = {}
    reports: dict[Node, Future[Any]] = {}
    for node in pipeline.nodes:
        kept = [name for name in node.outputs if is_in_memory(shared.catalog, name)]
        given = {name: values[name] for name in node.inputs if name in values}
        before = pipeline.node_dependencies[node] - {makers[name] for name in given}
        result = client.submit(
            _execute,
            *(common, cloudpickle.dumps(Work(node, kept, final.intersection(kept)))),
            *(given, [reports[each] for each in before]),
            key=f"{node.name}-{run}",
        )
        reports[node] = result
        if kept:  # At once, before other nodes: its worker may die.
            key = f"report-{node.name}-{run}"
            reports[node] = client.submit(_report_of, result, key=key, priority=1)
        for name in read.intersection(kept):
            values[name] = client.submit(
                _value_of, result, name, key=f"value-{name}-{run}", priority=1
            )
    return {report: node for node, report in reports.items()}


def _start_no_more(client: Client, tasks: "Mapping[Future[Any], Node]") -> None:
    """Cancel the nodes that no worker has begun with."""
    begun = {key for keys in client.processing().values() for key in keys}
    waiting = [
        future
        for future in tasks
        if not future.done() and not begun & {future.key, str(future.key).removeprefix("report-")}
    ]
    client.cancel(waiting)


# --- On a worker ---


@dataclass
class Shared:
    """What all nodes of a run share on a worker: unpacked once, it configures the project."""

    catalog: Any
    is_async: bool
    run_id: str | None
    logs: dict[str, Any] | None  # How Kedro logs, for workers that are this run's own.

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        configure_settings()
        if self.logs:
            project.configure_logging(self.logs)
            # Before it exits Python looks once more at all objects, and the run waits for that.
            atexit.register(gc.freeze)


class Work(NamedTuple):
    """A node, and which of its outputs are kept in memory; some of these are the pipeline's."""

    node: "Node"
    kept: Sequence[str]
    final: "frozenset[str] | set[str]"


@dataclass
class Report:
    """What goes to the process that has started the run."""

    captured: Captured
    outputs: Mapping[str, Any] = field(default_factory=dict)  # Those of the pipeline.
    has_failed: bool = False


class Result(NamedTuple):
    """What stays on the worker, for the nodes that read it."""

    report: Report
    values: Mapping[str, Any]


class NodeError(Exception):
    """A node has failed; the error may not be one that can be sent."""

    def __init__(self, node: str, error: BaseException, trace: str, captured: Captured) -> None:
        super().__init__(node, error, trace, captured)
        self.node, self.error, self.trace, self.captured = node, error, trace, captured


class Missing:
    """In the place of what a node was to save, and has not."""


def _execute(
    shared: Shared, packed: bytes, given: Mapping[str, Any], before: Any
) -> Result | Report:
    work: Work = pickle.loads(packed)
    values = {name: value for name, value in given.items() if value is not Missing}
    catalog = with_values(shared.catalog, values, {*given, *work.kept} - values.keys())
    task = Task(work.node, catalog, shared.is_async, run_id=shared.run_id, parallel=True)
    with _capturing(shared.run_id) as captured:
        try:
            task.execute()
        except Exception as error:
            trace = traceback.format_exc()
            found = captured(work.node, catalog)
            raise NodeError(work.node.name, sendable(error), trace, found) from None
        found = captured(work.node, catalog)
    if not work.kept:
        return Report(found)
    values = {name: value for name in work.kept for value in values_in_memory(catalog, name)}
    outputs = {name: values[name] for name in work.final & values.keys()}
    return Result(Report(found, outputs), values)


def _capturing(run_id: str | None) -> AbstractContextManager[Any]:
    for hook in project.settings.HOOKS:
        if apart := getattr(hook, "apart", None):
            capturing: AbstractContextManager[Any] = apart(run_id)
            return capturing
    return nullcontext(lambda node, catalog: Captured())


def sendable(error: Exception) -> Exception:
    """Return an error that can be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {one_line(error)}")
    return error


def _report_of(result: Result) -> Report:
    return result.report


def _value_of(result: Result, name: str) -> Any:
    return result.values.get(name, Missing)


def _leave(run_id: str | None) -> None:
    for hook in project.settings.HOOKS if project.settings.configured else ():
        if leave := getattr(hook, "leave", None):
            leave(run_id)
