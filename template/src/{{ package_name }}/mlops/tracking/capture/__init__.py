"""Capture: what nodes do and return goes into the run's journal; one module per kind of thing."""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kedro.pipeline.node import Node

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
from .values import Metric, metrics_of, valid_name

ListenersOf = Callable[[KedroMlflowConfig, State], Sequence[RunListener]]

# What of mlflow.yml a worker process needs: no address of a server, which may hold a password.
_SHARED: dict[str, Any] = {
    "tracking": {"capture": True, "metrics": True, "models": True, "run": True},
    "promotion": True,
}


class RunCapture:
    """Captures what nodes do and return into the journal; all that a worker process needs."""

    def __init__(
        self,
        folder: Path,
        options: TrackingOptions,
        inputs: Mapping[str, Mapping[str, Any]] | None = None,
        figures: Mapping[str, str] | None = None,
        listeners: Sequence[RunListener] = (),
    ) -> None:
        """Prepare to capture into this journal; nothing is written yet.

        The inputs and figures are as `describe_inputs` and `files_of_figures` return them.
        """
        self.process = os.getpid()
        self.journal = Journal(folder)
        self.project_path = State.of_journal(folder).project_path
        self.listeners = list(listeners)
        self._options = options
        self._inputs = dict(inputs or {})
        self._figures = dict(figures or {})
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
        options = config.model_dump(include=_SHARED)
        return {"config": options, "inputs": self._inputs, "figures": self._figures}

    def node_started(self, node: Node) -> None:
        """Capture that a node starts: this is all of it if the process is killed."""
        self._started_ns[node.name] = started_ns = time.time_ns()
        self._append("node_started", node, started_ns=started_ns)

    def node_finished(
        self, node: Node, inputs: Mapping[str, Any], outputs: Mapping[str, Any]
    ) -> None:
        """Capture a node's outputs, and what it has read."""
        times = self._times(node)
        namespace = self.namespace_of(node)
        self._capture_inputs(inputs)
        for listener in self.listeners:
            with self.journal.capturing(listener.subject):
                if tags := listener.node_finished(node, inputs):
                    self.journal.append("tags", values=dict(tags))
        metrics: list[Metric] = []
        for name, value in outputs.items():
            with self.journal.capturing(f"The output '{name}'"):
                metrics += self._capture(name, value, namespace)
        if self._options.capture.node_times:
            # Named with its unit, which MLflow's page shows nowhere else.
            name = valid_name(f"node_seconds/{local_name(node.name, namespace)}")
            metrics.append((name, (times["ended_ns"] - times["started_ns"]) / 1e9, 0))
        if metrics:
            self.journal.append("metrics", namespace, values=metrics)
        self._append("node", node, **times, status="FINISHED")

    def dataset_saved(self, node: Node, name: str) -> None:
        """Keep the figure that the catalog has drawn, at once: the process may be killed."""
        if self._options.capture.figures and name in self._figures:
            with self.journal.capturing(f"The figure '{name}'"):
                figure = copy_figure(Path(self._figures[name]), self._path_of(name))
                self._append_figure(figure, self.namespace_of(node))

    def node_failed(self, node: Node, error: BaseException) -> None:
        """Capture that a node has failed, and why."""
        times = self._times(node)
        self._capture_inputs(dict.fromkeys(node.inputs))
        reason = mask("", f"{type(error).__name__}: {one_line(error)}")
        self._append("node", node, **times, status="FAILED", error=reason)

    def outputs(self) -> dict[str, str]:
        """Return the data sets that nodes of the run have returned, in whatever process.

        With each, the namespace of the node if that has a child run, or else "".
        """
        return {
            name: node.get("namespace", "")
            for node in nodes_of(all_records(self.journal.folder))
            if node["status"] == "FINISHED"
            for name in node["outputs"]
        }

    def namespace_of(self, node: Node) -> str:
        """Return the namespace in whose child run a node is tracked; empty for the run itself."""
        return namespace_of(node, self._options.run)

    def _append(self, kind: str, node: Node, **more: Any) -> None:
        described = describe_node(node, self.project_path)
        namespace = self.namespace_of(node)
        self.journal.append(kind, namespace, **described, process=os.getpid(), **more)

    def _path_of(self, name: str) -> Path:
        return self.journal.files / valid_name(name).replace("/", "_")

    def _append_figure(self, path: Path | None, namespace: str) -> None:
        if path:
            self.journal.append("artifact", namespace, path=str(path), folder="figures")

    def _times(self, node: Node) -> dict[str, int]:
        ended_ns = time.time_ns()
        # The machine's clock may have been set back meanwhile.
        started_ns = min(self._started_ns.pop(node.name, ended_ns), ended_ns)
        return {"started_ns": started_ns, "ended_ns": ended_ns}

    def _capture_inputs(self, values: Mapping[str, Any]) -> None:
        """Write what the run reads once a node has read it: its columns are known then."""
        for name in self._inputs.keys() & values.keys():
            if source := self._inputs.pop(name, None):  # Another thread may have been faster.
                schema = schema_of(values[name])
                rows = len(values[name]) if schema and hasattr(values[name], "__len__") else None
                self.journal.append("input", name=name, **source, schema=schema, rows=rows)

    def _capture(self, name: str, value: Any, namespace: str) -> list[Metric]:
        """Save the figures and models of an output, and return its metrics."""
        capture = self._options.capture
        if capture.figures and name not in self._figures:
            self._append_figure(save_figure(value, self._path_of(name)), namespace)
        if capture.models:
            for key, model in models_in(valid_name(name), value).items():
                folder = self._path_of(key)
                with atomic(folder):
                    save_model(model, folder)
                self.journal.append(
                    "model",
                    namespace,
                    path=str(folder),
                    name=local_name(folder.name, namespace),
                    register=registered_name(key, self._options.models),
                )
        if not capture.metrics:
            return []
        return metrics_of(local_name(name, namespace), value, self._options.metrics)
