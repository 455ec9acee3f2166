"""Files of models and runs, fetched from where mlflow.yml says.

MLflow's own functions ask the process's tracking URI for `models:/…`, whatever they are given.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from ..config import PlaceOptions
from ..project import is_server
from .client import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import Model

_MODELS, _RUNS = "models:/", "runs:/"
# Registries that give files out themselves: MLflow asks them at the address that it is given.
_CATALOGS = ("databricks", "databricks-uc", "uc")


def download(uri: str, server: PlaceOptions, file: str = "") -> Path:
    """Fetch the folder behind an address such as ``models:/sales/3``, or a file that is in it.

    What is on this machine stays where it is.

    An MlflowException or OSError says why it cannot be had.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    client = connect(server)
    while uri.startswith((_MODELS, _RUNS)) and not _is_in_catalog(uri, server):
        uri = _in_run(client, uri) if uri.startswith(_RUNS) else _of_model(client, uri)
    repository = get_artifact_repository(uri, server.uri, server.registry_uri)
    path = Path(repository.download_artifacts(file))
    if not isinstance(repository, LocalArtifactRepository):
        for cache in list(path.rglob("__pycache__")):  # Python would prefer it to the source.
            shutil.rmtree(cache)
    return path


def read_model(path: Path) -> "Model":
    """Read a file MLmodel, or the one in a folder; an OSError if there is none.

    MLflow's own function takes a path for a part of a URI, which a "%" or "?" changes.
    """
    from mlflow.models import Model

    file = path / "MLmodel" if path.is_dir() else path
    return Model.from_dict(yaml.safe_load(file.read_text(encoding="utf-8")))


def _is_in_catalog(uri: str, server: PlaceOptions) -> bool:
    is_version = uri.startswith(_MODELS) and ("@" in uri or "/" in uri.removeprefix(_MODELS))
    return is_version and server.registry_uri.partition(":")[0] in _CATALOGS


def _of_model(client: "MlflowClient", uri: str) -> str:
    """Ask for the address behind that of a registered version or of a logged model."""
    from mlflow.store.artifact.utils.models import get_model_name_and_version

    found = get_model_name_and_version(client, uri)
    if len(found) == 1:
        return str(client.get_logged_model(found[0]).artifact_location)
    return str(client.get_model_version_download_uri(*found))


def _in_run(client: "MlflowClient", uri: str) -> str:
    """Ask for the address behind that of a folder of a run, or of a model that it has logged."""
    run_id, _, path = uri.removeprefix(_RUNS).partition("/")
    name, _, rest = path.partition("/")
    run = client.get_run(run_id).info
    for model in client.search_logged_models([run.experiment_id], f"name = '{name}'"):
        if model.source_run_id == run_id:
            return f"{model.artifact_location}/{rest}".rstrip("/")
    return f"{run.artifact_uri}/{path}".rstrip("/")


def knows_models(server: PlaceOptions) -> bool:
    """Return whether the registry can look up a logged model by its id.

    It does so where its own process tracks. That is wrong for a database, which MLflow opens in
    this process, and for a server that is not the tracking server.
    """
    return is_server(server.uri) and server.registry_uri == server.uri
