"""One tracked run: from Kedro's events to its journal, and from there to MLflow."""

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .capture.parameters import to_mlflow
from .capture.recorder import RunCapture
from .config import KedroMlflowConfig
from .shipping.mlflow_sink import MlflowSink
from .shipping.shipper import Shipper

if TYPE_CHECKING:
    from kedro.pipeline.node import Node

logger = logging.getLogger(__name__)

_ENDED = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "been stopped"}


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
