"""Batch scoring: the inference pipeline reads what the registered model brings along."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import ModelOptions, ServerOptions
from ..errors import TrackingError
from ..quiet import muted
from ..redaction import mask
from ..shipping.client import UnreachableError, connect, is_missing, reason_of
from ..shipping.models import CHALLENGER, CHAMPION
from .traced import TracedDataset

if TYPE_CHECKING:
    from kedro.io import DataCatalog
    from mlflow.entities.model_registry import ModelVersion

logger = logging.getLogger(__name__)


def use_registered_model(
    options: ModelOptions,
    server: ServerOptions,
    catalog: "DataCatalog",
    wanted: str | None = None,
) -> dict[str, str]:
    """Let the inference pipeline read its fitted data sets from a version of the registered model.

    Args:
        options: which model it is.
        server: where it is registered.
        catalog: the run's data sets; the entries of the fitted ones are replaced.
        wanted: the version's number or an alias; the champion when none is given.

    Returns:
        Tags that say which version scores, and which run has trained it.

    Raises:
        TrackingError: there is no such version, or no champion yet.
    """
    version = find_version(options.name, server, wanted)
    folder = download(version, server)
    from mlflow.models import Model

    from .plan import dataset_at

    flavor = Model.load(folder).flavors["python_function"]
    output = flavor["config"]["output"]
    with muted("kedro.io.data_catalog"):  # It warns of each entry that is replaced.
        for name, entry in flavor["config"]["datasets"].items():
            catalog[name] = dataset_at(name, entry, folder / flavor["artifacts"][name]["path"])
        if options.traced and output in catalog:
            origin = {"model_version": int(version.version), "model_run_id": str(version.run_id)}
            catalog[output] = TracedDataset(catalog[output], origin)
    logger.info("Scoring with %s version %s%s.", version.name, version.version, _aliases(version))
    return {
        "model.name": version.name,
        "model.version": str(version.version),
        "model.run_id": str(version.run_id),
    }


def find_version(name: str, server: ServerOptions, version: str | None = None) -> "ModelVersion":
    """Ask the registry for a version of the registered model.

    Args:
        name: the model's.
        server: where it is registered.
        version: a version's number, or an alias; the champion when none is given.

    Raises:
        TrackingError: there is none, or the registry does not say.
    """
    from mlflow.exceptions import MlflowException

    wanted = version or CHAMPION
    try:
        client = connect(server)
        if wanted.isdecimal():
            return client.get_model_version(name, wanted)
        return client.get_model_version_by_alias(name, wanted)
    except MlflowException as error:
        if is_missing(error):
            raise TrackingError(_missing(name, wanted)) from error
        raise TrackingError(_unanswered(name, wanted, server, error)) from error
    except UnreachableError as error:
        raise TrackingError(_unanswered(name, wanted, server, error)) from error


def _aliases(version: "ModelVersion") -> str:
    return f" ({', '.join(version.aliases)})" if version.aliases else ""


def _missing(name: str, wanted: str) -> str:
    if wanted.isdecimal():
        return (
            f"The model '{name}' has no version {wanted}: `kedro mlflow ui` shows those that it "
            "has."
        )
    if wanted == CHAMPION:
        return (
            f"No version of the model '{name}' is the {CHAMPION} yet: train one with `kedro run`."
        )
    if wanted == CHALLENGER:
        return (
            f"No version of the model '{name}' is the {CHALLENGER}: train one with `kedro run`, or "
            "name another version by its number."
        )
    return f"No version of the model '{name}' has the alias '{wanted}': give a version's number."


def _unanswered(name: str, wanted: str, server: ServerOptions, error: Exception) -> str:
    place = mask("", server.registry_uri)
    what = (
        f"whether '{name}' has a version {wanted}"
        if wanted.isdecimal()
        else (f"which version of '{name}' is the {wanted}")
    )
    return f"MLflow at {place} does not say {what}: {reason_of(error)}."


def download(version: "ModelVersion", server: ServerOptions) -> Path:
    """Fetch a version's files; where they lie on this machine already, nothing is copied.

    Raises:
        TrackingError: they are not where the registry says.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        return Path(
            download_artifacts(
                f"models:/{version.name}/{version.version}",
                tracking_uri=server.mlflow_tracking_uri,
                registry_uri=server.mlflow_registry_uri,
            )
        )
    except (MlflowException, OSError) as error:
        raise TrackingError(
            f"The files of the model '{version.name}', version {version.version}, cannot be read "
            f"({error}). Was the project moved? Move it back, or train anew and make that version "
            f"the {CHAMPION}."
        ) from error
