"""One tracked run: from Kedro's events to its journal, and from there to MLflow."""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .capture.figures import save_figure
from .capture.limits import mend_name
from .capture.metrics import metrics_of
from .capture.models import save_model
from .capture.parameters import to_mlflow
from .config import CaptureOptions, KedroMlflowConfig
from .journal import Journal, JournalReader
from .shipper import Shipper
from .sink import MlflowSink

if TYPE_CHECKING:
    from kedro.pipeline.node import Node

logger = logging.getLogger(__name__)

_ENDED = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "been stopped"}


class RunCapture:
    """Captures what nodes return into the run's journal; all that a worker process needs."""

    def __init__(self, folder: Path, options: CaptureOptions) -> None:
        self.process = os.getpid()
        self.journal = Journal(folder)
        self._options = options

    @classmethod
    def join(cls, folder: Path) -> "RunCapture":
        """Join, from a worker process, the run that another process has started in this folder."""
        content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return cls(folder, CaptureOptions(**content["capture"]))

    def node_finished(self, node: "Node", outputs: Mapping[str, Any]) -> None:
        """Keep what is worth keeping of a node's outputs."""
        for name, value in outputs.items():
            try:
                self._capture(name, value)
            except Exception as error:
                # What cannot be captured must not cost its owner the run.
                reason = (str(error) or type(error).__name__).splitlines()[0]
                logger.warning("The output '%s' is not tracked: %s", name, reason)
        self.journal.append("node", name=node.name, outputs=list(outputs))

    def outputs(self) -> set[str]:
        """List the data sets that nodes of this run, in whatever process, have returned."""
        records = JournalReader(self.journal.folder).read()
        nodes = [record.data for record in records if record.kind == "node"]
        return {name for node in nodes for name in node["outputs"]}

    def _capture(self, name: str, value: Any) -> None:
        if self._options.metrics and (metrics := metrics_of(name, value)):
            self.journal.append("metrics", values=metrics)
        path = self.journal.files / mend_name(name).replace("/", "_")
        if self._options.figures and (figure := save_figure(value, path)):
            self.journal.append("artifact", path=str(figure), folder="figures")
        if self._options.models and save_model(value, path):
            self.journal.append("model", path=str(path), name=path.name, register=None)


class TrackedRun(RunCapture):
    """A run in the process that started it: captures, and ships what all its processes capture."""

    def __init__(
        self,
        folder: Path,
        config: KedroMlflowConfig,
        name: str,
        tags: Mapping[str, str],
        parameters: Mapping[str, Any],
    ) -> None:
        params, long_params = to_mlflow(parameters, config.tracking.params)
        super().__init__(folder, config.tracking.capture)
        self.config = config
        (folder / "run.json").write_text(
            json.dumps({"capture": config.tracking.capture.model_dump()}), encoding="utf-8"
        )
        self.journal.append("run_started", name=name, tags=dict(tags))
        self.journal.append("params", values=params)
        self.journal.append("tags", values=long_params)
        self._sink = MlflowSink(config.server, config.tracking.experiment)
        self._shipper = Shipper(folder, self._sink)

    def node_finished(self, node: "Node", outputs: Mapping[str, Any]) -> None:
        """Keep what is worth keeping of a node's outputs, and have it sent."""
        super().node_finished(node, outputs)
        self._shipper.announce()

    def finish(self, status: str) -> None:
        """Write the run's end and wait until all has arrived; what has not stays in the journal."""
        self.journal.append("run_ended", status=status)
        self.journal.close()
        if self._shipper.drain(self.config.shipping.deadline):
            models = "".join(f", registered {model}" for model in self._sink.models)
            logger.info(
                "MLflow run '%s' (%s) has %s%s. Its page: %s",
                self._sink.run_name,
                self._sink.run_id,
                _ENDED[status],
                models,
                self._sink.address,
            )
            shutil.rmtree(self.journal.folder)
            return
        reason = self._shipper.error or f"not done after {self.config.shipping.deadline:g} s"
        logger.error(
            "MLflow did not take the whole run (%s). Nothing is lost: it is kept in %s.",
            str(reason).splitlines()[0],
            self.journal.folder,
        )
