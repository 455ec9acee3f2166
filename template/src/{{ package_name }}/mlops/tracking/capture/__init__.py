"""Capture: what nodes do and return goes into the run's journal; one module per kind of thing."""

import json
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from kedro.pipeline.node import Node

from ...config import KedroMlflowConfig
from ...project import State
from .. import RunListener
from ..journal import Journal, all_records
from ..progress import Catalog, NodeProgress
from .artifacts import is_drawn
from .inputs import describe_input, describe_table
from .nodes import describe_node, local_name, namespace_of, nodes_of
from .outputs import OutputCapture
from .values import Metric, Names, in_parts, masked_parameters, to_mlflow

if TYPE_CHECKING:
    from .system import SystemMetrics

ListenersOf = Callable[[KedroMlflowConfig, State], Sequence[RunListener]]

# The folder in a journal where workers capture nodes, each in one of its own.
ATTEMPTS = "attempts"
# What of mlflow.yml a worker process needs: no address of a server, which may hold a password.
_SHARED = {"tracking", "promotion", "redaction"}
# A record is read as a whole: it must not grow with the parameters, or with what a node returns.
_PARAMETERS_PER_RECORD = 1000
_METRICS_PER_RECORD = 5000


class RunCapture:
    """Captures what nodes do and return into the journal; all that a worker process needs."""

    def __init__(
        self,
        folder: Path,
        config: KedroMlflowConfig,
        inputs: Collection[str] = (),
        listeners: Sequence[RunListener] = (),
    ) -> None:
        """Prepare to capture into this journal; nothing is written yet.

        The inputs are the data sets that the run reads and does not make itself.
        """
        self.process = os.getpid()
        self.journal = Journal(folder)
        self.project_path = State.of_journal(folder).project_path
        self.listeners = list(listeners)
        self.config = config
        self._options, self._secrets = config.tracking, config.redaction.patterns
        self._inputs = set(inputs)
        self._outputs = OutputCapture(self.journal, config.tracking)
        self._system: SystemMetrics | None = None
        # By it a worker on another machine knows that a folder that it finds is not the run's.
        self.token = uuid4().hex
        # The data sets that draw the figures of outputs, by the outputs' names.
        self._drawn: dict[str, Any] = {}
        self._parameters: set[int] = set()  # Hashes of namespace and name.
        self._parameter_names: defaultdict[str, Names] = defaultdict(Names)  # By namespace.

    @classmethod
    def join(cls, folder: Path, listeners_of: ListenersOf) -> "RunCapture":
        """Join, from a worker process, the run that another process has started in this folder."""
        content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        config = KedroMlflowConfig.model_validate(content["config"])
        listeners = listeners_of(config, State.of_journal(folder))
        capture = cls(folder, config, content["inputs"], listeners)
        capture.token = content.get("token", capture.token)
        capture.watch_system(is_worker=True)
        return capture

    def describe(self) -> None:
        """Write run.json, which `join` and a later `sync` read."""
        content = {
            "config": self.config.model_dump(mode="json", include=_SHARED),
            "inputs": sorted(self._inputs),
            "environment": self.config.environment,
            "experiment": self.config.tracking.experiment.model_dump(),
            "token": self.token,
        }
        path = self.journal.folder / "run.json"
        path.write_text(json.dumps(content), encoding="utf-8")

    def attempt(self) -> "RunCapture":
        """Return what captures one node by itself: it may die, and then run again elsewhere."""
        folder = self.journal.folder / ATTEMPTS / uuid4().hex
        attempt = RunCapture(folder, self.config, self._inputs, self.listeners)
        attempt.project_path = self.project_path
        return attempt

    def watch_system(self, is_worker: bool = False) -> None:
        """Begin to sample the machine's load, or a worker's share of it, if mlflow.yml says so."""
        if self._options.capture.system:
            from .system import SystemMetrics

            self._system = SystemMetrics(self.journal)
            self._system.start(is_worker)

    def node_started(self, node: Node) -> NodeProgress:
        """Capture that a node starts to load: this is all of it if the process is killed."""
        progress = NodeProgress(self, node)
        with self.journal.capturing("A node"):
            self._append("node_started", node, started_ns=progress.started_ns)
        return progress

    def node_called(self, node: Node, inputs: Mapping[str, Any], catalog: Catalog) -> None:
        """Capture what a node reads and its parameters, before it can change them."""
        for name in self._inputs.intersection(inputs):
            with self.journal.capturing(f"The input '{name}'"):
                self._capture_input(name, inputs[name], catalog.get(name))
        for listener in self.listeners:
            with self.journal.capturing(listener.subject):
                if tags := listener.node_called(node, inputs):
                    self.journal.append("tags", values=dict(tags))
        for name in node.outputs if self._options.capture.figures else ():
            with self.journal.capturing(f"The figure '{name}'"):
                if is_drawn(dataset := catalog.get(name)):
                    self._drawn[name] = dataset
        with self.journal.capturing("A node's parameters"):
            self._capture_parameters(inputs, self.namespace_of(node))

    def node_finished(self, node: Node, outputs: Mapping[str, Any]) -> None:
        """Capture the outputs of a node whose function has returned; they are not saved yet."""
        namespace = self.namespace_of(node)
        metrics: list[Metric] = []
        for name, value in outputs.items():
            with self.journal.capturing(f"The output '{name}'"):
                metrics += self._outputs.capture(name, value, namespace, name in self._drawn)
        for some in in_parts(metrics, _METRICS_PER_RECORD):
            self.journal.append("metrics", namespace, values=some)

    def metric_reported(self, name: str, value: float, step: int, namespace: str) -> None:
        """Capture a point of a metric's history while a node works."""
        if self._options.capture.metrics:
            self.journal.append("metrics", namespace, values=[(name, float(value), int(step))])
        for listener in self.listeners:
            listener.metric_reported(name, value, step)

    def dataset_saved(self, node: Node, name: str, value: Any) -> None:
        """Keep the figure that the catalog has drawn, at once: the process may be killed."""
        if dataset := self._drawn.get(name):
            with self.journal.capturing(f"The figure '{name}'"):
                self._outputs.keep_drawn(name, dataset, value, self.namespace_of(node))

    def node_ended(
        self, progress: NodeProgress, error: Exception | None = None, catalog: Catalog | None = None
    ) -> None:
        """Capture how a node has ended: its outputs are saved, or something has failed."""
        node, end = progress.node, progress.end(error, catalog)
        if self._system:
            self._system.sample_once()
        with self.journal.capturing("A node"):
            self._append("node", node, **end)

    def outputs(self) -> Iterator[tuple[str, str]]:
        """Yield the data sets that nodes of the run have saved, in whatever process.

        With each, the namespace of the node if that has a child run, or else "".
        """
        for node in nodes_of(all_records(self.journal.folder)):
            saved = node["outputs"] if node["status"] == "FINISHED" else node.get("saved", ())
            for name in saved:
                yield name, node.get("namespace", "")

    def namespace_of(self, node: Node) -> str:
        """Return the namespace in whose child run a node is tracked; empty for the run itself."""
        return namespace_of(node, self._options.run)

    def _append(self, kind: str, node: Node, **more: Any) -> None:
        described = describe_node(node, self.project_path)
        namespace = self.namespace_of(node)
        self.journal.append(kind, namespace, **described, process=os.getpid(), **more)

    def _capture_parameters(self, inputs: Mapping[str, Any], namespace: str) -> None:
        """Write the parameters of a node that runs, each once: not those of nodes that do not."""
        values = {
            name: value
            for name, value in masked_parameters(
                inputs.keys(), lambda name: [inputs[name]], self._secrets
            )
            if hash((namespace, name)) not in self._parameters
        }
        self._parameters |= {hash((namespace, name)) for name in values}
        local = ((local_name(name, namespace), value) for name, value in values.items())
        flat = to_mlflow(local, self._options.params, self._parameter_names[namespace])
        for some in in_parts(flat, _PARAMETERS_PER_RECORD):
            for kind in ("params", "tags"):
                if texts := {name: text for each, name, text in some if each == kind}:
                    self.journal.append(kind, namespace, values=texts)

    def _capture_input(self, name: str, value: Any, dataset: Any) -> None:
        self._inputs.discard(name)
        described = describe_input(name, dataset, self._secrets) | describe_table(value)
        self.journal.append("input", name=name, **described)
