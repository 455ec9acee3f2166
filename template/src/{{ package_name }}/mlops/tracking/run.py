"""One tracked run: from Kedro's events to its journal, and from there to MLflow."""

import logging
import os
import shutil
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import filterfalse
from pathlib import Path
from uuid import uuid4

from kedro.io import DataCatalog
from kedro.io.core import is_parameter

from ..backend.client import reason_of, require_reachable
from ..config import KedroMlflowConfig
from ..disk import FileLock
from ..errors import TrackingError, listed, one_line
from ..mlflow_internals import values_in_memory
from ..project import State
from ..redaction import mask
from . import RunListener, RunStart
from .attempt import Captured
from .capture import RunCapture
from .capture.artifacts import capture_artifacts
from .capture.command import replay_command
from .capture.inputs import describe_input
from .capture.nodes import is_inside, nodes_of, parts_of
from .capture.sources import Sources
from .capture.tags import run_name, run_tags
from .capture.values import consumed_parameters, to_mlflow
from .journal import Record, all_records, now
from .process import runs_elsewhere
from .progress import describe_failure, why_failed
from .shipping import Delivery
from .shipping.mlflow_sink import MlflowSink
from .shipping.parts import BEGIN, task_name
from .shipping.shipper import Shipper, shippers_of, sinks_of
from .shipping.spill import spill
from .shipping.summary import last_records
from .shipping.sync import put_away, sync

logger = logging.getLogger(__name__)

# Why a run has failed: its node, data set and reason; `run_ended` in the journal has it as well.
FAILURE_TAG = "kedro.failure"
# How many nodes have run without the hooks that would have captured them.
MISSING_TAG = "kedro.missing_nodes"
_NAMED = 5
ENDED = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "been stopped"}


class TrackedRun(RunCapture):
    """A run in the process that started it: captures, and ships what all its processes capture."""

    def __init__(
        self,
        folder: Path,
        config: KedroMlflowConfig,
        run_start: RunStart,
        join: str | None = None,
        listeners: Sequence[RunListener] = (),
    ) -> None:
        """Describe the run; nothing is read or written before `start`.

        An MLflow run to `join` was started elsewhere, and is ended there.
        """
        super().__init__(folder, config, listeners=listeners)
        self._run_start, self._join = run_start, join
        # What each child run tracks, by namespace, and the run itself under "".
        self._parts = parts_of(run_start.pipeline, config.tracking.run)
        self._started = 0
        self._lock: FileLock
        # Of workers on other machines: the data sets whose files they have sent, and what they
        # could not send.
        self._kept_there: set[str] = set()
        self._too_large: list[str] = []
        self._shippers: list[Shipper] = []

    def start(self) -> None:
        """Write the run's first records; the MLflow run is created in the background.

        A TrackingError says that a parameter is too long, or that the server must answer and does
        not; an OSError that the journal cannot be written.
        """
        config = self.config
        if config.shipping.on_unreachable == "fail":
            require_reachable(config.server)
        self.journal.create()
        folder = self.journal.folder
        self._lock = FileLock(folder / "lock")
        self._lock.take()
        self._started = now()
        try:
            sinks = sinks_of(folder, config, self.listeners, resumed=bool(self._run_start.mark))
            self._write_start()
        except BaseException:  # Nothing is left of a run that must not start.
            self.journal.close()
            self._lock.release()
            shutil.rmtree(folder)
            raise
        self._shippers = shippers_of(sinks)
        for shipper in self._shippers:
            shipper.start()
        self.watch_system()

    def hand_over(self) -> Delivery:
        """Leave the run to its tasks, once MLflow has it; return where it is there.

        A TrackingError says that MLflow has not taken it. Nothing is left of it here.
        """
        if self._system:
            self._system.stop()
        self._describe_whole()
        self.journal.close()
        deadline = time.monotonic() + self.config.shipping.deadline
        for shipper in self._shippers:
            shipper.finish()
        try:
            for shipper in self._shippers:
                sink = shipper.sink
                if not shipper.drain(deadline):
                    raise shipper.error or TrackingError("time ran out")
                for note in sink.notes:
                    logger.warning(note)
                if isinstance(sink, MlflowSink):
                    sink.log_part(BEGIN)
                    sink.note_original(self._server.delivery.id_of())
            return self._server.delivery
        except Exception as error:
            with suppress(Exception):  # Else it would stay under way for ever.
                self._server.give_up()
            why = reason_of(error)
            raise TrackingError(f"{sink.place} has not taken the run ({why}).") from error
        finally:
            self._lock.release()
            shutil.rmtree(self.journal.folder)

    def _describe_whole(self) -> None:
        """Capture what nodes would, as far as it is known before they run."""
        pipeline, catalog = self._run_start.pipeline, self._run_start.catalog
        for name in sorted(self._inputs):
            with self.journal.capturing(f"The input '{name}'"):
                described = describe_input(name, catalog.get(name), self._secrets)
                self.journal.append("input", name=name, **described)
        for node in pipeline.nodes:
            with self.journal.capturing("A node's parameters"):
                names = filter(is_parameter, node.inputs)
                values = {name: each for name in names for each in values_in_memory(catalog, name)}
                self._capture_parameters(values, self.namespace_of(node))

    def runs_asynchronously(self) -> None:
        """Let the command say so if a program has started the run: Kedro says it with nodes."""
        start = self._run_start
        if not start.run_params.get("is_async"):
            start.run_params = {**start.run_params, "is_async": True}
            command = replay_command(start.run_params, self._secrets)
            self.journal.append("tags", values={"kedro.command": command})

    def find_ids(self, until: float) -> Delivery | None:
        """Wait for the ids of the run and its child runs; none if they do not come in time."""
        delivery = self._server.delivery
        while not all(map(delivery.id_of, self._parts)):
            if time.monotonic() >= until or self._shippers[0].error:
                return None
            time.sleep(0.01)
        return delivery

    def keep_artifacts(self, catalog: DataCatalog) -> None:
        """Keep the files that mlflow.yml names."""
        options = self.config.tracking.artifacts
        outputs = [each for each in self.outputs() if each[0] not in self._kept_there]
        capture_artifacts(self.journal, catalog, outputs, options, self._started)

    def take(self, captured: Captured) -> None:
        """Add what a worker has captured of a node that has run to its end."""
        with self.journal.tolerating():
            for record in captured.moved_to(State.of_journal(self.journal.folder).folder):
                self.journal.take(self._without_known(record))
        self._kept_there.update(captured.kept)
        self._too_large += captured.too_large

    def complete(self, catalog: DataCatalog) -> None:
        """Keep what is known once all nodes have finished: files, and what listeners add."""
        with self.journal.tolerating():
            self.keep_artifacts(catalog)
            # What the whole run adds, a task of it leaves to the run's end.
            for listener in () if self._is_task() else self.listeners:
                listener.run_ends(self, catalog)

    def _is_task(self) -> bool:
        """Wait, if the run is part of another, for MLflow to say whether it is a task of that."""
        if not self._join:
            return False
        delivery = self.find_ids(time.monotonic() + self.config.shipping.deadline)
        return delivery is not None and delivery.is_task

    def finish(self, status: str, error: BaseException | None = None) -> None:
        """Write the run's end and wait until all has arrived; the rest stays in the journal.

        A TrackingError says that it has not, if mlflow.yml wants that (shipping.on_undelivered).
        """
        if self._system:
            self._system.stop()
        if error:
            for listener in self.listeners:
                status = listener.run_fails(self, error) or status
        data = {"status": status}
        if error:
            data["reason"] = self._reason(error)
            self.journal.append("tags", values={FAILURE_TAG: data["reason"]})
        end = Record("run_ended", now(), data)
        with self.journal.tolerating():
            with_times = self.config.tracking.capture.node_times
            for record in last_records(self.journal.folder, end, with_times):
                self.journal.append(record.kind, **record.data)
        if self._too_large:
            self._say_too_large()
        if missing := self._missing_nodes() if status == "FINISHED" else []:
            self._say_missing(missing)
        self.journal.append("run_ended", **data)
        self.journal.close()
        for shipper in self._shippers:
            shipper.finish(end)
        deadline = time.monotonic() + self.config.shipping.deadline
        drained = [shipper.drain(deadline) for shipper in self._shippers]
        self._report(status, drained)
        is_gone = any(shipper.sink.delivery.gone for shipper in self._shippers)
        is_safe = (all(drained) or self._spill()) and not is_gone
        if all(drained):
            with self.journal.tolerating():
                put_away(self.journal.folder)
                if not any(listener.of_one_run for listener in self.listeners):
                    self._deliver_earlier_runs()
        self._lock.release()
        if not is_safe and status == "FINISHED" and self._must_be_delivered():
            raise TrackingError(
                "The pipeline has finished, and its tracking data have not arrived: this counts as "
                "a failure in a task of an orchestrator and where CI is set, whose disk may go. "
                "shipping.on_undelivered in mlflow.yml changes that (keep, fail)."
            )

    def _spill(self) -> bool:
        """Put what did not arrive into the store that mlflow.yml names; return whether it is."""
        store = self.config.shipping.spill
        if store is None:
            return False
        try:
            spill(self.journal.folder, store)
        except Exception as error:
            text = "%s takes nothing (%s): it stays on this machine."
            logger.error(text, mask("", store), one_line(error))
            return False
        logger.info("What did not arrive is in %s now.", mask("", store))
        return True

    def _must_be_delivered(self) -> bool:
        chosen = self.config.shipping.on_undelivered
        return chosen == "fail" or (chosen is None and bool(self._join or os.environ.get("CI")))

    def _without_known(self, record: Record) -> Record:
        """Leave out parameters that another node has as well: MLflow takes each once in a call."""
        if record.kind != "params":
            return record
        namespace, values = record.data.get("namespace", ""), record.data["values"]
        new = {
            name: value
            for name, value in values.items()
            if hash((namespace, name)) not in self._parameters
        }
        self._parameters |= {hash((namespace, name)) for name in new}
        return Record(record.kind, record.time, {**record.data, "values": new})

    def _missing_nodes(self) -> list[str]:
        """Name nodes that Kedro has run and nothing is known of: no hook was called for them."""
        run_params = self._run_start.run_params
        if not runs_elsewhere(run_params) or run_params.get("only_missing_outputs"):
            return []
        known = {node["name"] for node in nodes_of(all_records(self.journal.folder))}
        return [each.name for each in self._run_start.pipeline.nodes if each.name not in known]

    def _say_too_large(self) -> None:
        logger.warning(
            "Not tracked, for workers on other machines send no more than tracking.artifacts in "
            "mlflow.yml allows for a node: %s.",
            ", ".join(self._too_large[:_NAMED])
            + (", ..." if len(self._too_large) > _NAMED else ""),
        )

    def _say_missing(self, nodes: Sequence[str]) -> None:
        some = ", ".join(nodes[:_NAMED]) + (", ..." if len(nodes) > _NAMED else "")
        self.journal.append("tags", values={MISSING_TAG: str(len(nodes))})
        logger.warning(
            "The run has nothing of %d of its %d nodes (%s), neither parameters nor metrics: the "
            "processes that ran them have called no hooks. A runner must hand its workers the "
            "catalog, and there register the hooks of `kedro.framework.project.settings`.",
            *(len(nodes), len(self._run_start.pipeline.nodes), some),
        )

    @property
    def _server(self) -> MlflowSink:
        sink = self._shippers[0].sink
        assert isinstance(sink, MlflowSink)
        return sink

    def _reason(self, error: BaseException) -> str:
        """Say what the run has failed of: the first node that has failed, in whatever process."""
        nodes = nodes_of(all_records(self.journal.folder))
        if failed := [node for node in nodes if node["status"] == "FAILED"]:
            return describe_failure(min(failed, key=lambda node: node["ended_ns"]))
        return why_failed(error)

    def _write_start(self) -> None:
        run, config, secrets = self._run_start, self.config, self._secrets
        parameters = consumed_parameters(run.pipeline, run.catalog, secrets)
        deque(to_mlflow(parameters, config.tracking.params), 0)  # One that is too long is refused.
        if config.tracking.capture.lineage:
            self._inputs.update(filterfalse(is_parameter, run.pipeline.inputs()))
        self.describe()
        sources = Sources(Path(run.run_params["project_path"]), config.tracking.diff)
        tags = run_tags(run.run_params, run.names, secrets) | sources.tags() | run.tags
        self.journal.write(
            "run_started",
            name=run_name(config.tracking.run.name, run, secrets),
            tags=tags,
            journal=run.mark or uuid4().hex,
            join=self._join,
            registers=run.registers,
            task=task_name(node.name for node in run.pipeline.nodes),
        )
        for namespace in self._parts:
            if namespace:
                inside = [name for name in self._parts if is_inside(name, namespace)]
                nodes = sum(len(self._parts[name].nodes) for name in inside)
                self.journal.append("child_started", namespace, nodes=nodes, tags=tags)
        with self.journal.capturing("What differs from the commit"):
            sources.keep(self.journal)

    def _report(self, status: str, drained: Sequence[bool]) -> None:
        server = self._server
        if drained[0] and not server.delivery.gone:
            registered = "".join(f", registered {each}" for each in server.delivery.registered)
            what = f"MLflow run '{server.run_name}' ({server.delivery.run_id})"
            if server.delivery.joined:
                nodes = listed([node.name for node in self._run_start.pipeline.nodes], 3)
                what = f"Joined MLflow run {server.delivery.run_id}: the part of {nodes}"
            logger.info(
                "%s has %s%s. Its page: %s", what, ENDED[status], registered, server.address
            )
        for shipper, done in zip(self._shippers, drained, strict=True):
            for note in shipper.sink.notes:
                logger.warning(note)
            if not done:
                late = f"not done after {self.config.shipping.deadline:g} s"
                logger.error(
                    "%s did not take the whole run (%s). The rest is kept: `%s` delivers it.",
                    shipper.sink.place,
                    reason_of(shipper.error) if shipper.error else late,
                    self.config.typed("sync"),
                )

    def _deliver_earlier_runs(self) -> None:
        """Complete runs whose process died or whose server was unreachable: now it answers."""
        for outcome in sync(self.journal.folder.parent, self.config, self.listeners, patient=False):
            if outcome.status and outcome.run_id and not outcome.error:
                logger.info(
                    "Delivered as well: the run of %s (%s), which has %s.",
                    outcome.kedro_run_id,
                    outcome.run_id,
                    ENDED[outcome.status],
                )
            for note in outcome.notes if not outcome.error else ():
                logger.warning(note)
