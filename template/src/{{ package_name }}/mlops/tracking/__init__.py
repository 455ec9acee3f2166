"""Tracking of a run: capture, journal, ship.

    Kedro events ──> capture ──> journal ──> shipper ──> MLflow

`capture/` decides what of an event is worth logging, `journal.py` writes it to disk at once, and
`shipping/` sends it to MLflow from a thread of its own. Other rooms take part as listeners, which
`hook.py` chooses. `mlflow` is imported only when a run starts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

    from ..config import KedroMlflowConfig, PlaceOptions
    from .capture import RunCapture
    from .journal import Journal, Record
    from .shipping import Delivery


@dataclass
class RunStart:
    """A Kedro run that is about to start; a listener may replace data sets and add tags."""

    run_params: Mapping[str, Any]  # As Kedro passes them to its hooks.
    names: Sequence[str]  # Of the pipelines.
    pipeline: "Pipeline"
    catalog: "DataCatalog"
    tags: dict[str, str] = field(default_factory=dict)
    about: list[str] = field(default_factory=list)  # What a listener adds to the run's name.
    scored_by: "Path | None" = None  # The files of the version that predicts, if one does.
    is_tracked: bool = True  # Whether mlflow.yml does not leave the run out.
    registers: str | None = None  # The model that this run adds a version to, if it succeeds.
    mark: str | None = None  # By which a run that was made already is found again.


class Shipment(NamedTuple):
    """A run on its way to one MLflow."""

    client: "MlflowClient"
    delivery: "Delivery"
    run_id: str
    server: "PlaceOptions"


class PackagedModel(NamedTuple):
    """A model that a run has fitted, in a folder of its journal."""

    folder: "Path"
    schema: Any  # Of its input.
    predict: "Callable[[Any], Any]"


class RunListener:
    """Base class: every method does nothing."""

    subject = "What a listener returns"  # For the warning when `node_called` fails.
    of_one_run = False  # It knows nothing of earlier runs, which are delivered after its own.

    def run_starts(self, start: RunStart) -> None:
        """Prepare the run, before anything of it runs; a TrackingError keeps it from starting."""

    def node_called(self, node: "Node", inputs: Mapping[str, Any]) -> Mapping[str, str]:
        """Return tags for the run, of what a node reads; called in worker processes too."""
        return {}

    def metric_reported(self, name: str, value: float, step: int) -> None:
        """Continue after a node has reported a point; what is raised here ends the node."""

    def run_fails(self, run: "RunCapture", error: BaseException) -> str | None:
        """Add to a run that has failed; return the status that it ends with, if not FAILED."""
        return None

    def model_packaged(
        self,
        config: "KedroMlflowConfig",
        journal: "Journal",
        catalog: "DataCatalog",
        model: PackagedModel,
    ) -> None:
        """Add files to the model of a run, before it is shipped."""

    def run_ends(self, run: "RunCapture", catalog: "DataCatalog") -> None:
        """Add to a run whose nodes have all finished."""

    def shipping_starts(self, client: "MlflowClient", started: "Record") -> None:
        """Ask the server what is needed later, before the run exists there."""

    def model_shipped(self, shipment: Shipment, model: "LoggedModel", record: "Record") -> None:
        """Continue after a model was logged; may be called again for the same model."""

    def run_shipped(self, delivery: "Delivery") -> None:
        """Continue after a finished run arrived; may be called again for the same run."""
