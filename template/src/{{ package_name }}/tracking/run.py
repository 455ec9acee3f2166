"""One tracked run: from Kedro's events to its journal, and from there to MLflow."""

import json
import logging
import shutil
import time
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from .capture.artifacts import capture_artifacts
from .capture.namespaces import local_name
from .capture.parameters import to_mlflow
from .capture.record import FOLDER as RECORD_FOLDER
from .capture.record import write_run_record
from .capture.recorder import RunCapture
from .config import KedroMlflowConfig
from .journal import Record, now
from .lock import FileLock
from .shipping.client import reason_of, require_reachable
from .shipping.continued import told
from .shipping.shipper import Shipper
from .shipping.sinks import sinks_of
from .shipping.sync import put_away, sync

if TYPE_CHECKING:
    from kedro.io import DataCatalog

logger = logging.getLogger(__name__)

# A record is read as a whole: it must not become as long as the longest run.
_PARAMETERS_A_RECORD = 1000
_ENDED = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "been stopped"}


class TrackedRun(RunCapture):
    """A run in the process that started it: captures, and ships what all its processes capture."""

    def __init__(
        self,
        folder: Path,
        config: KedroMlflowConfig,
        name: str,
        tags: Mapping[str, str],
        parameters: Mapping[str, Iterable[tuple[str, Any]]],
        nodes: Mapping[str, int],
        join: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        figures: Mapping[str, str] | None = None,
        registers: str | None = None,
    ) -> None:
        """Start tracking; the MLflow run is created in the background.

        Args:
            folder: the run's journal.
            config: mlflow.yml, its places absolute.
            name: the run's name in MLflow.
            tags: what says how the run came about.
            parameters: what its nodes consume, names and values, secrets masked; by the namespace
                that has a child run, and of the run itself under "".
            nodes: how many nodes run in each of these namespaces, those inside it included.
            join: an MLflow run that somebody else has started and will end.
            inputs: the data that the run reads, as `describe_inputs` describes them.
            figures: the files of figures that the catalog saves, by data set.
            registers: the registered model that the run, if all goes well, makes a version of.

        Raises:
            TrackingError: a parameter is too long, or the server does not answer and must.
            OSError: the journal cannot be written.
        """
        if config.shipping.on_unreachable == "fail":
            require_reachable(config.server)
        self._server, mirrors = sinks_of(folder, config, config.tracking.experiment)
        super().__init__(folder, config.tracking, inputs, figures, config.promotion)
        self.config = config
        self._started = now()
        self._lock = FileLock(folder / "lock")
        self._lock.take()
        content = {
            **self.shared(),
            "experiment": config.tracking.experiment.model_dump(),
        }
        self._namespaces = sorted(parameters)
        try:
            (folder / "run.json").write_text(json.dumps(content), encoding="utf-8")
            self.journal.write(
                "run_started",
                name=name,
                tags=dict(tags),
                journal=uuid4().hex,
                join=join,
                registers=registers,
            )
            for namespace in self._namespaces:
                if namespace:
                    count = nodes[namespace]
                    self.journal.append("child_started", namespace, nodes=count, tags=dict(tags))
                self._keep_parameters(namespace, parameters[namespace])
        except BaseException:
            self._forget()
            raise
        self._shippers = [Shipper(sink) for sink in (self._server, *mirrors)]

    def wait_for_run_ids(self, seconds: float) -> dict[str, str]:
        """Wait until the run and its child runs exist in MLflow.

        Returns:
            Their ids by namespace, the run's own under ""; nothing if MLflow does not answer, or
            not in time.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._shippers[0].error:
            if run_ids := self._server.run_ids(self._namespaces):
                return run_ids
            time.sleep(0.01)
        return {}

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

    def keep_artifacts(self, catalog: "DataCatalog") -> None:
        """Keep the files that are named as kept."""
        options = self.config.tracking.artifacts
        capture_artifacts(self.journal, catalog, self.outputs(), options, self._started)

    def finish(self, status: str) -> None:
        """Write the run's end and wait until all has arrived; what has not stays in the journal."""
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
        if drained[0]:
            registered = "".join(f", registered {each}" for each in self._server.registered)
            logger.info(
                "MLflow run '%s' (%s) has %s%s. Its page: %s",
                self._server.run_name,
                self._server.delivery.run_id,
                _ENDED[status],
                registered,
                self._server.address,
            )
        if changed := self._server.delivery.changed:
            logger.warning(told(changed))
        for shipper, done in zip(self._shippers, drained, strict=True):
            sink = shipper.sink
            if sink.refusals:
                logger.warning(sink.refusals)
            if not done:
                late = f"not done after {self.config.shipping.deadline:g} s"
                logger.error(
                    "%s did not take the whole run (%s). What is left of it is kept: "
                    "`uv run kedro mlflow sync` delivers it.",
                    sink.place,
                    reason_of(shipper.error) if shipper.error else late,
                )
        if all(drained):
            with self.journal.tolerating():
                put_away(self.journal.folder)
                self._deliver_what_others_left()
        self._lock.release()

    def _deliver_what_others_left(self) -> None:
        """Complete runs whose process has died, or whose server was away: now it is there."""
        for outcome in sync(self.journal.folder.parent, self.config):
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
