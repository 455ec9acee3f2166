"""One tracked run: from Kedro's events to its journal, and from there to MLflow."""

import json
import logging
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ..backend.client import reason_of, require_reachable
from ..config import KedroMlflowConfig
from ..disk import FileLock
from . import RunListener
from .capture import RunCapture
from .capture.artifacts import capture_artifacts
from .capture.nodes import FOLDER as RECORD_FOLDER
from .capture.nodes import local_name, write_run_record
from .capture.values import to_mlflow
from .journal import Record, now
from .shipping.batches import describe_changes
from .shipping.mlflow_sink import MlflowSink
from .shipping.shipper import Shipper, sinks_of
from .shipping.sync import put_away, sync

if TYPE_CHECKING:
    from kedro.io import DataCatalog

logger = logging.getLogger(__name__)

# A record is read as a whole: it must not grow with the number of parameters.
_PARAMETERS_A_RECORD = 1000
_ENDED = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "been stopped"}


@dataclass(frozen=True)
class RunDescription:
    """What is known of a run before its first node.

    Attributes:
        name: the run's name in MLflow.
        tags: the run's tags.
        parameters: names and values that the nodes consume, secrets masked; by the namespace that
            has a child run, and of the run itself under "".
        nodes: how many nodes run in each of these namespaces, including those nested in it.
        join: an MLflow run that was started elsewhere and is ended there.
        inputs: the data that the run reads, as `describe_inputs` describes them.
        figures: the files of figures that the catalog saves, by data set.
        registers: the registered model that the run adds a version to, if it succeeds.
    """

    name: str
    tags: Mapping[str, str]
    parameters: Mapping[str, Iterable[tuple[str, Any]]]
    nodes: Mapping[str, int]
    join: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, str] = field(default_factory=dict)
    registers: str | None = None


class TrackedRun(RunCapture):
    """A run in the process that started it: captures, and ships what all its processes capture."""

    def __init__(
        self,
        folder: Path,
        config: KedroMlflowConfig,
        description: RunDescription,
        listeners: Sequence[RunListener] = (),
    ) -> None:
        """Describe the run; nothing is written before `start`.

        Args:
            folder: the run's journal.
            config: mlflow.yml, resolved.
            description: the run.
            listeners: what takes part in it.
        """
        super().__init__(
            folder, config.tracking, description.inputs, description.figures, listeners
        )
        self.config = config
        self._description = description
        self._namespaces = sorted(description.parameters)
        self._started = 0
        self._lock = FileLock(folder / "lock")
        self._shippers: list[Shipper] = []

    @classmethod
    def begin(
        cls,
        folder: Path,
        config: KedroMlflowConfig,
        description: RunDescription,
        listeners: Sequence[RunListener] = (),
    ) -> "TrackedRun":
        """Make a run and start it."""
        run = cls(folder, config, description, listeners)
        run.start()
        return run

    def start(self) -> None:
        """Write the run's first records; the MLflow run is created in the background.

        Raises:
            TrackingError: a parameter is too long, or the server must answer and does not.
            OSError: the journal cannot be written.
        """
        config, folder = self.config, self.journal.folder
        if config.shipping.on_unreachable == "fail":
            require_reachable(config.server)
        sinks = sinks_of(folder, config, config.tracking.experiment, self.listeners)
        self.journal.create()
        self._started = now()
        self._lock.take()
        try:
            self._write_start()
        except BaseException:
            self._forget()
            raise
        self._shippers = [Shipper(sink) for sink in sinks]
        for shipper in self._shippers:
            shipper.start()

    def wait_for_run_ids(self, seconds: float) -> dict[str, str]:
        """Wait until the run and its child runs exist in MLflow.

        Returns:
            Their ids by namespace, the run's own under ""; empty if MLflow does not answer in time.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._shippers[0].error:
            if run_ids := self._server.run_ids(self._namespaces):
                return run_ids
            time.sleep(0.01)
        return {}

    def keep_artifacts(self, catalog: "DataCatalog") -> None:
        """Keep the files that mlflow.yml names."""
        options = self.config.tracking.artifacts
        capture_artifacts(self.journal, catalog, self.outputs(), options, self._started)

    def complete(self, catalog: "DataCatalog") -> None:
        """Keep what is known once all nodes have finished: files, and what listeners add."""
        with self.journal.tolerating():
            self.keep_artifacts(catalog)
            for listener in self.listeners:
                listener.run_ends(self, catalog)

    def finish(self, status: str) -> None:
        """Write the run's end and wait until all has arrived; the rest stays in the journal."""
        end = Record("run_ended", now(), {"status": status})
        with self.journal.tolerating():
            record = write_run_record(self.journal.folder, end)
            self.journal.append("artifact", path=str(record), folder=RECORD_FOLDER)
        self.journal.append("run_ended", status=status)
        self.journal.close()
        for shipper in self._shippers:
            shipper.finish(end)
        deadline = time.monotonic() + self.config.shipping.deadline
        drained = [shipper.drain(deadline) for shipper in self._shippers]
        self._report(status, drained)
        if all(drained):
            with self.journal.tolerating():
                put_away(self.journal.folder)
                self._deliver_earlier_runs()
        self._lock.release()

    @property
    def _server(self) -> MlflowSink:
        sink = self._shippers[0].sink
        assert isinstance(sink, MlflowSink)
        return sink

    def _write_start(self) -> None:
        description, config = self._description, self.config
        content = {**self.shared(config), "experiment": config.tracking.experiment.model_dump()}
        path = self.journal.folder / "run.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        tags = dict(description.tags)
        self.journal.write(
            "run_started",
            name=description.name,
            tags=tags,
            journal=uuid4().hex,
            join=description.join,
            registers=description.registers,
        )
        for namespace in self._namespaces:
            if namespace:
                nodes = description.nodes[namespace]
                self.journal.append("child_started", namespace, nodes=nodes, tags=tags)
            self._keep_parameters(namespace, description.parameters[namespace])

    def _keep_parameters(self, namespace: str, parameters: Iterable[tuple[str, Any]]) -> None:
        local = ((local_name(name, namespace), value) for name, value in parameters)
        flat = to_mlflow(local, self.config.tracking.params)
        while some := list(islice(flat, _PARAMETERS_A_RECORD)):
            for kind in ("params", "tags"):
                values = {name: text for each, name, text in some if each == kind}
                if values:
                    self.journal.append(kind, namespace, values=values)

    def _forget(self) -> None:
        """Leave nothing of a run that must not start."""
        self.journal.close()
        self._lock.release()
        shutil.rmtree(self.journal.folder)

    def _report(self, status: str, drained: Sequence[bool]) -> None:
        server = self._server
        if drained[0]:
            registered = "".join(f", registered {each}" for each in server.registered)
            logger.info(
                "MLflow run '%s' (%s) has %s%s. Its page: %s",
                server.run_name,
                server.delivery.run_id,
                _ENDED[status],
                registered,
                server.address,
            )
        if changed := server.delivery.changed:
            logger.warning(describe_changes(changed))
        for shipper, done in zip(self._shippers, drained, strict=True):
            sink = shipper.sink
            if sink.refusals:
                logger.warning(sink.refusals)
            if not done:
                late = f"not done after {self.config.shipping.deadline:g} s"
                logger.error(
                    "%s did not take the whole run (%s). The rest is kept: "
                    "`uv run kedro mlflow sync` delivers it.",
                    sink.place,
                    reason_of(shipper.error) if shipper.error else late,
                )

    def _deliver_earlier_runs(self) -> None:
        """Complete runs whose process died or whose server was unreachable: now it answers."""
        for outcome in sync(self.journal.folder.parent, self.config, self.listeners):
            if outcome.error:
                return
            if outcome.status:
                logger.info(
                    "Delivered as well: the run of %s (%s), which has %s.",
                    outcome.kedro_run_id,
                    outcome.run_id,
                    _ENDED[outcome.status],
                )
            for note in outcome.notes:
                logger.warning(note)
