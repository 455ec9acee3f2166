"""What the addresses in mlflow.yml need before a run starts: libraries and variables."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from ..config import KedroMlflowConfig
from ..errors import TrackingError
from ..project import is_database
from .databases import file_of, has_rows

# What MLflow imports for an address that begins like this, and the package that brings it.
_LIBRARIES = {
    "arn": ("sagemaker_mlflow", "sagemaker-mlflow"),
    "azureml": ("azureml.mlflow", "azureml-mlflow"),
    "gs": ("google.cloud.storage", "google-cloud-storage"),
    "s3": ("boto3", "boto3"),
    "wasbs": ("azure.storage.blob", "azure-storage-blob"),
}
# The remedy for the driver of a database that is not there.
_DRIVERS = {
    "psycopg": 'run `uv add "psycopg[binary]"`',
    "psycopg2": 'begin it with postgresql+psycopg://, after `uv add "psycopg[binary]"`',
    "pymysql": "run `uv add pymysql`",
    "MySQLdb": "begin it with mysql+pymysql://, after `uv add pymysql`",
}
# Any one of them says which workspace is meant.
_WORKSPACE = ("DATABRICKS_HOST", "DATABRICKS_CONFIG_PROFILE", "DATABRICKS_RUNTIME_VERSION")


def require_all(config: KedroMlflowConfig) -> None:
    """Check that all addresses in mlflow.yml have what they need."""
    for key, uri in _addresses(config):
        if is_database(uri):
            _require_driver(key, uri)
            _require_usable_folder(uri)
        scheme = urlsplit(uri).scheme
        takes_folder = os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("true", "1")
        if scheme == "file" and not (key.endswith("artifact_location") or takes_folder):
            # MLflow would say so after the run, and in eight lines.
            raise TrackingError(
                f"mlflow.yml: {key} is the folder {uri} (null is mlruns/ where that has runs): "
                "MLflow tracks in folders no more. `uv run mlflow migrate-filestore --source mlruns"
                " --target sqlite:///mlflow.db` moves its runs into the database that null is from "
                "then on. MLFLOW_ALLOW_FILE_STORE=true keeps the folder."
            )
        if scheme in _LIBRARIES and not _is_installed(_LIBRARIES[scheme][0]):
            raise TrackingError(
                f"mlflow.yml: {key} begins with {scheme}:, and the library for it is not "
                f"installed: run `uv add {_LIBRARIES[scheme][1]}`."
            )
        if uri == "databricks" and not _has_workspace():
            raise TrackingError(
                f"mlflow.yml: {key} is databricks, and nothing says which workspace: give "
                "DATABRICKS_HOST and DATABRICKS_TOKEN a value in the environment or in .env (see "
                ".env.example)."
            )


def _addresses(config: KedroMlflowConfig) -> Iterator[tuple[str, str]]:
    mirrors = {f"mirrors.{number}": mirror for number, mirror in enumerate(config.mirrors)}
    for key, server in {"server": config.server, **mirrors}.items():
        for name in ("mlflow_tracking_uri", "mlflow_registry_uri"):
            if uri := getattr(server, name):  # Not of a mirror that is a class.
                yield f"{key}.{name}", uri
    if location := config.tracking.experiment.create_experiment_kwargs.artifact_location:
        yield "tracking.experiment.create_experiment_kwargs.artifact_location", location


def _require_driver(key: str, uri: str) -> None:
    """Let SQLAlchemy find the driver, for it decides what an address that names none means."""
    if uri.startswith("sqlite"):
        return
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    begins = f"mlflow.yml: {key} begins with {uri.partition(':')[0]}:"
    try:
        make_url(uri).get_dialect().import_dbapi()
    except ModuleNotFoundError as error:
        remedy = _DRIVERS.get(str(error.name), f"install {error.name}")
        message = f"{begins}, and the driver for it is not installed: {remedy}."
        raise TrackingError(message) from error
    except NoSuchModuleError as error:
        raise TrackingError(f"{begins}, which SQLAlchemy knows no driver for.") from error
    except (ArgumentError, ValueError):
        # Not its own message, which may contain the password.
        raise TrackingError(
            f"{begins} and cannot be read: in a password, write / as %2F, @ as %40 and : as %3A."
        ) from None


def _require_usable_folder(uri: str) -> None:
    """MLflow writes the working directory into a new database, in quotes, and escapes none."""
    here = str(Path.cwd())
    if not {"'", '"'} <= set(here):
        return
    file = file_of(uri)
    if file and not (file.is_file() and has_rows(uri, "experiments")):
        raise TrackingError(
            f"MLflow makes no database in {here}, whose name has both kinds of quotes: rename the "
            "folder."
        )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # Not even the package that it is in.
        return False


def _has_workspace() -> bool:
    profiles = Path(os.environ.get("DATABRICKS_CONFIG_FILE", "~/.databrickscfg")).expanduser()
    return any(map(os.environ.get, _WORKSPACE)) or profiles.is_file()
