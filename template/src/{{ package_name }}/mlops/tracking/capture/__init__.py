"""Capture: what nodes do and return goes into the run's journal; one module per kind of thing."""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...config import KedroMlflowConfig, TrackingOptions
from ...disk import atomic
from ...errors import one_line
from ...project import State
from ...redaction import mask
from .. import RunListener
from ..journal import Journal, all_records
from .artifacts import copy_figure, save_figure
from .inputs import schema_of
from .models import models_in, registered_name, save_model
from .nodes import describe_node, local_name, namespace_of, nodes_of
from .values import Metric, mend_name, metrics_of

if TYPE_CHECKING:
    from kedro.pipeline.node import Node

logger = logging.getLogger(__name__)


ListenersOf = Callable[[KedroMlflowConfig, State], Sequence[RunListener]]


class RunCapture:
    """Captures what nodes do and return into the journal; all that a worker process needs.

    Attributes:
        process: the id of the process that captures.
        journal: where to.
        project_path: the project's folder.
    """

    def __init__(
        self,
        folder: Path,
        options: TrackingOptions,
        inputs: Mapping[str, Mapping[str, Any]] | None = None,
        figures: Mapping[str, str] | None = None,
        listeners: Sequence[RunListener] = (),
    ) -> None:
        """Take what is captured; nothing is written yet.

        Args:
            folder: the run's journal, ``.kedro_mlflow/journal/<run id>`` in the project.
            options: what is captured.
            inputs: what the run reads, as ``describe_inputs`` describes it.
            figures: the files of figures that the catalog saves, by data set.
            listeners: what else takes part in the run.
        """
        self.process = os.getpid()
        self.journal = Journal(folder)
        self.project_path = State.of_journal(folder).project_path
        self._options = options
        self._inputs = dict(inputs or {})
        self._figures = dict(figures or {})
        self.listeners = list(listeners)
        self._started_ns: dict[str, int] = {}

    @classmethod
    def join(cls, folder: Path, listeners_of: ListenersOf) -> "RunCapture":
        """Join, from a worker process, the run that another process has started in this folder."""
        content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        config = KedroMlflowConfig.model_validate(content["config"])
        listeners = listeners_of(config, State.of_journal(folder))
        return cls(folder, config.tracking, content["inputs"], content["figures"], listeners)

    def shared(self, config: KedroMlflowConfig) -> dict[str, Any]:
        """Return what ``join`` needs in run.json."""
        kept: dict[str, Any] = {
            "tracking": {"capture": True, "metrics": True, "models": True, "run": True},
            "promotion": True,
        }
        return {
            "config": config.model_dump(include=kept),
            "inputs": self._inputs,
            "figures": self._figures,
        }

    def node_started(self, node: "Node") -> None:
        """Note that a node starts: what of it is left if the process is killed."""
        self._started_ns[node.name] = time.time_ns()
        self.journal.append(
            "node_started",
            self.namespace_of(node),
            **self._described(node),
            started_ns=self._started_ns[node.name],
        )

    def node_finished(
        self, node: "Node", inputs: Mapping[str, Any], outputs: Mapping[str, Any]
    ) -> None:
        """Keep what is worth keeping of a node's outputs, and of what it has read."""
        started_ns, ended_ns = self._times(node)
        namespace = self.namespace_of(node)
        self._keep_inputs(inputs)
        self._tell_listeners(node, inputs)
        metrics: list[Metric] = []
        for name, value in outputs.items():
            try:
                with self.journal.tolerating():
                    metrics += self._capture(name, value, namespace)
            except Exception as error:
                # What cannot be captured must not cost its owner the run.
                logger.warning("The output '%s' is not tracked: %s", name, one_line(error))
        if self._options.capture.node_times:
            # Named with its unit, which MLflow's page shows nowhere else.
            name = mend_name(f"node_seconds/{local_name(node.name, namespace)}")
            metrics.append((name, (ended_ns - started_ns) / 1e9, 0))
        if metrics:
            self.journal.append("metrics", namespace, values=metrics)
        self._end(node, "FINISHED", started_ns, ended_ns)

    def dataset_saved(self, node: "Node", name: str) -> None:
        """Keep the figure that the catalog has drawn, at once: the process may be killed."""
        if not (self._options.capture.figures and name in self._figures):
            return
        try:
            with self.journal.tolerating():
                path = self.journal.files / mend_name(name)
                if figure := copy_figure(Path(self._figures[name]), path):
                    namespace = self.namespace_of(node)
                    self.journal.append("artifact", namespace, path=str(figure), folder="figures")
        except Exception as error:
            logger.warning("The figure '%s' is not tracked: %s", name, one_line(error))

    def node_failed(self, node: "Node", error: BaseException) -> None:
        """Note that a node has failed, and why."""
        started_ns, ended_ns = self._times(node)
        self._keep_inputs(dict.fromkeys(node.inputs))
        reason = mask("", f"{type(error).__name__}: {one_line(error)}")
        self._end(node, "FAILED", started_ns, ended_ns, error=reason)

    def outputs(self) -> dict[str, str]:
        """List the data sets that nodes of this run, in whatever process, have returned.

        Returns:
            Their names, and the namespace of the node if it has a child run.
        """
        return {
            name: node.get("namespace", "")
            for node in nodes_of(all_records(self.journal.folder))
            if node["status"] == "FINISHED"
            for name in node["outputs"]
        }

    def namespace_of(self, node: "Node") -> str:
        """Tell the namespace in whose child run a node is tracked; empty for the run itself."""
        return namespace_of(node, self._options.run)

    def _described(self, node: "Node") -> dict[str, Any]:
        return describe_node(node, self.project_path) | {"process": os.getpid()}

    def _times(self, node: "Node") -> tuple[int, int]:
        ended_ns = time.time_ns()
        # The machine's clock may have been set back meanwhile.
        return min(self._started_ns.pop(node.name, ended_ns), ended_ns), ended_ns

    def _end(self, node: "Node", status: str, started_ns: int, ended_ns: int, **more: Any) -> None:
        times = {"started_ns": started_ns, "ended_ns": ended_ns}
        namespace = self.namespace_of(node)
        described = self._described(node)
        self.journal.append("node", namespace, **described, **times, status=status, **more)

    def _keep_inputs(self, values: Mapping[str, Any]) -> None:
        """Write down what the run reads once a node has read it: its columns are known then."""
        for name in self._inputs.keys() & values.keys():
            if source := self._inputs.pop(name, None):  # Another thread may have been faster.
                schema = schema_of(values[name])
                rows = len(values[name]) if schema and hasattr(values[name], "__len__") else None
                self.journal.append("input", name=name, **source, schema=schema, rows=rows)

    def _tell_listeners(self, node: "Node", inputs: Mapping[str, Any]) -> None:
        for listener in self.listeners:
            try:
                with self.journal.tolerating():
                    if tags := listener.node_finished(node, inputs):
                        self.journal.append("tags", values=dict(tags))
            except Exception as error:
                logger.warning("%s is not kept: %s", listener.subject, one_line(error))

    def _capture(self, name: str, value: Any, namespace: str) -> list[Metric]:
        """Save what of an output is a figure or a model, and return what of it is a metric."""
        capture = self._options.capture
        path = self.journal.files / mend_name(name).replace("/", "_")
        drawn_by_catalog = name in self._figures
        if capture.figures and not drawn_by_catalog and (figure := save_figure(value, path)):
            self.journal.append("artifact", namespace, path=str(figure), folder="figures")
        if capture.models:
            for key, model in models_in(mend_name(name), value).items():
                folder = self.journal.files / key.replace("/", "_")
                with atomic(folder):
                    save_model(model, folder)
                register = registered_name(key, self._options.models)
                self.journal.append(
                    "model",
                    namespace,
                    path=str(folder),
                    name=local_name(folder.name, namespace),
                    register=register,
                )
        if not capture.metrics:
            return []
        return metrics_of(local_name(name, namespace), value, self._options.metrics)
