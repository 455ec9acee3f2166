"""MLflow's client, opened without touching the process's own tracking and registry URIs."""

from typing import TYPE_CHECKING

from ..config import ServerOptions
from ..quiet import quieten_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient


def connect(server: ServerOptions) -> "MlflowClient":
    """Open a client of the tracking server and the registry that mlflow.yml names."""
    import mlflow

    quieten_mlflow()
    return mlflow.MlflowClient(server.mlflow_tracking_uri, server.mlflow_registry_uri)
