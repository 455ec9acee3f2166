"""The recorder: captures what nodes return into the run's journal."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import CaptureOptions
from ..journal import Journal, JournalReader
from .figures import save_figure
from .limits import mend_name
from .metrics import metrics_of
from .models import save_model

if TYPE_CHECKING:
    from kedro.pipeline.node import Node

logger = logging.getLogger(__name__)


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
