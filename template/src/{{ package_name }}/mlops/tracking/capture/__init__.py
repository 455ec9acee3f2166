"""Capture: what nodes do and return goes into the run's journal; one module per kind of thing."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from kedro.io import CatalogProtocol
from kedro.pipeline.node import Node

from ...config import KedroMlflowConfig, TrackingOptions
from ...disk import atomic
from ...project import State
from ...redaction import Patterns, mask
from .. import RunListener
from ..journal import Journal, all_records
from ..progress import NodeProgress
from .artifacts import copy_figure, save_figure
from .inputs import schema_of
from .models import models_in, registered_name, save_model
from .nodes import describe_node, local_name, namespace_of, nodes_of
from .values import Metric, metrics_of, parameters_in, to_mlflow, valid_name

ListenersOf = Callable[[KedroMlflowConfig, State], Sequence[RunListener]]

# What of mlflow.yml a worker process needs: no address of a server, which may hold a password.
_SHARED: dict[str, Any] = {
    "tracking": {"capture": True, "params": True, "metrics": True, "models": True, "run": True},
    "promotion": True,
}
# A record is read as a whole: it must not grow with the number of parameters.
_PARAMETERS_PER_RECORD = 1000


class RunCapture:
    """Captures what nodes do and return into the journal; all that a worker process needs."""

    def __init__(
        self,
        folder: Path,
        options: TrackingOptions,
        inputs: Mapping[str, Mapping[str, Any]] | None = None,
        figures: Mapping[str, str] | None = None,
        listeners: Sequence[RunListener] = (),
        secrets: Patterns = (),
    ) -> None:
        """Prepare to capture into this journal; nothing is written yet.

        The inputs and figures are as `describe_inputs` and `files_of_figures` return them; secrets
        are patterns for names, beside the usual ones.
        """
        self.process = os.getpid()
        self.journal = Journal(folder)
        self.project_path = State.of_journal(folder).project_path
        self.listeners = list(listeners)
        self._options = options
        self._inputs = dict(inputs or {})
        self._figures = dict(figures or {})
        self._secrets = secrets
        self._parameters: set[tuple[str, str]] = set()

    @classmethod
    def join(cls, folder: Path, listeners_of: ListenersOf) -> "RunCapture":
        """Join, from a worker process, the run that another process has started in this folder."""
        content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        config = KedroMlflowConfig.model_validate(content["config"])
        listeners = listeners_of(config, State.of_journal(folder))
        secrets, read = config.redaction.patterns, (content["inputs"], content["figures"])
        return cls(folder, config.tracking, *read, listeners, secrets)

    def shared(self, config: KedroMlflowConfig) -> dict[str, Any]:
        """Return what ``join`` needs in run.json."""
        options = config.model_dump(include=_SHARED)
        options["redaction"] = {"patterns": [each.pattern for each in self._secrets]}
        return {"config": options, "inputs": self._inputs, "figures": self._figures}

    def node_started(self, node: Node) -> NodeProgress:
        """Capture that a node starts to load: this is all of it if the process is killed."""
        progress = NodeProgress(node)
        with self.journal.capturing("A node"):
            self._append("node_started", node, started_ns=progress.started_ns)
        return progress

    def node_called(self, node: Node, inputs: Mapping[str, Any]) -> None:
        """Capture what a node reads and its parameters, before it can change them."""
        self._capture_inputs(inputs)
        with self.journal.capturing("A node's parameters"):
            self._capture_parameters(inputs, self.namespace_of(node))

    def node_finished(
        self, node: Node, inputs: Mapping[str, Any], outputs: Mapping[str, Any]
    ) -> None:
        """Capture the outputs of a node whose function has returned; they are not saved yet."""
        namespace = self.namespace_of(node)
        for listener in self.listeners:
            with self.journal.capturing(listener.subject):
                if tags := listener.node_finished(node, inputs):
                    self.journal.append("tags", values=dict(tags))
        metrics: list[Metric] = []
        for name, value in outputs.items():
            with self.journal.capturing(f"The output '{name}'"):
                metrics += self._capture(name, value, namespace)
        if metrics:
            self.journal.append("metrics", namespace, values=metrics)

    def dataset_saved(self, node: Node, name: str) -> None:
        """Keep the figure that the catalog has drawn, at once: the process may be killed."""
        if self._options.capture.figures and name in self._figures:
            with self.journal.capturing(f"The figure '{name}'"):
                figure = copy_figure(Path(self._figures[name]), self._path_of(name))
                self._append_figure(figure, self.namespace_of(node))

    def node_ended(
        self,
        progress: NodeProgress,
        error: Exception | None = None,
        catalog: "CatalogProtocol[Any, Any] | None" = None,
    ) -> None:
        """Capture how a node has ended: its outputs are saved, or something has failed."""
        node, end = progress.node, progress.end(error, catalog)
        with self.journal.capturing("A node"):
            self._append("node", node, **end)

    def outputs(self) -> dict[str, str]:
        """Return the data sets that nodes of the run have saved, in whatever process.

        With each, the namespace of the node if that has a child run, or else "".
        """
        return {
            name: node.get("namespace", "")
            for node in nodes_of(all_records(self.journal.folder))
            for name in (node["outputs"] if node["status"] == "FINISHED" else node.get("saved", ()))
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

    def _capture_parameters(self, inputs: Mapping[str, Any], namespace: str) -> None:
        """Write the parameters of a node that runs, each once: not those of nodes that do not."""
        values = {
            name: mask(name, value, self._secrets)
            for name, value in parameters_in(inputs.keys(), inputs.__getitem__)
            if (namespace, name) not in self._parameters
        }
        self._parameters |= {(namespace, name) for name in values}
        local = ((local_name(name, namespace), value) for name, value in values.items())
        flat = to_mlflow(local, self._options.params)
        while some := list(islice(flat, _PARAMETERS_PER_RECORD)):
            for kind in ("params", "tags"):
                if texts := {name: text for each, name, text in some if each == kind}:
                    self.journal.append(kind, namespace, values=texts)

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
