"""The two ends of a move, and how a thing is known at the other one."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..backend.client import connect
from ..config import ExperimentOptions, ModelOptions, PlaceOptions
from ..errors import TrackingError
from ..project import is_server

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.tracing.client import TracingClient

# Tags on the target: which run, model or version of the source something is.
FROM_RUN = "kedro.moved_from_run"


FROM_MODEL = "kedro.moved_from_model"


FROM_VERSION = "moved_from_version"  # Unity Catalog takes no dots in the names of tags.


PARENT_RUN = "mlflow.parentRunId"


# A run that has one of these is not touched any more.
ENDED = ("FINISHED", "FAILED", "KILLED")


_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Place:
    """One MLflow: tracking server or database, and its registry."""

    uri: str
    client: "MlflowClient"

    @property
    def traces(self) -> "TracingClient":
        """The client of its traces: MLflow's functions for them use the process's own place."""
        from mlflow.tracing.client import TracingClient

        return TracingClient(self.uri)

    @property
    def is_server(self) -> bool:
        """Whether a server stands in between."""
        return is_server(self.uri)


def open_source(uri: str) -> Place:
    """Open the place where everything is.

    Raises:
        TrackingError: it is a database file that does not exist. MLflow would make an empty one.
    """
    file = Path(uri.removeprefix(_SQLITE).partition("?")[0])
    if uri.startswith(_SQLITE) and not file.is_file():
        raise TrackingError(f"--from: there is no database {file}.")
    return open_target(PlaceOptions(mlflow_tracking_uri=uri, mlflow_registry_uri=uri))


def open_target(options: PlaceOptions) -> Place:
    """Open the place where it goes."""
    return Place(str(options.mlflow_tracking_uri), connect(options))


def experiment_name(name: str, options: ExperimentOptions) -> str:
    """Name an experiment at the target: where names are paths, beside the project's own."""
    folder = options.name.rpartition("/")[0]
    is_path = options.name.startswith("/") and not name.startswith("/")
    return f"{folder}/{name}" if is_path else name


def registered_name(name: str, options: ModelOptions | None) -> str:
    """Name a registered model at the target: where names have a schema, in the project's own."""
    schema = options.name.rpartition(".")[0] if options else ""
    return f"{schema}.{name}" if schema and "." not in name else name
