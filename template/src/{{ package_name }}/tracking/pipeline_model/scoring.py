"""Batch scoring: the inference pipeline reads what the registered model brings along."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import ModelOptions, ServerOptions
from ..errors import TrackingError
from ..quiet import muted
from ..redaction import mask
from ..shipping.client import UnreachableError, connect, reason_of
from ..shipping.models import CHAMPION

if TYPE_CHECKING:
    from kedro.io import DataCatalog
    from mlflow.entities.model_registry import ModelVersion

logger = logging.getLogger(__name__)


def use_registered_model(
    options: ModelOptions, server: ServerOptions, catalog: "DataCatalog"
) -> dict[str, str]:
    """Let the inference pipeline read its fitted data sets from the champion.

    Args:
        options: which model it is.
        server: where it is registered.
        catalog: the run's data sets; the entries of the fitted ones are replaced.

    Returns:
        Tags that say which version scores, and which run has trained it.

    Raises:
        TrackingError: no version is the champion yet.
    """
    version = find_champion(options.name, server)
    folder = download(version, server)
    from mlflow.models import Model

    from .plan import dataset_at

    flavor = Model.load(folder).flavors["python_function"]
    with muted("kedro.io.data_catalog"):  # It warns of each entry that is replaced.
        for name, entry in flavor["config"]["datasets"].items():
            catalog[name] = dataset_at(name, entry, folder / flavor["artifacts"][name]["path"])
    logger.info("Scoring with %s version %s (%s).", version.name, version.version, CHAMPION)
    return {
        "model.name": version.name,
        "model.version": str(version.version),
        "model.run_id": str(version.run_id),
    }


def find_champion(name: str, server: ServerOptions) -> "ModelVersion":
    """Ask the registry for the version that serves and scores.

    Raises:
        TrackingError: there is none yet, or the registry does not say.
    """
    from mlflow.exceptions import MlflowException

    try:
        return connect(server).get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise TrackingError(
                f"No version of the model '{name}' is the {CHAMPION} yet: train one with `kedro "
                "run`."
            ) from error
        raise TrackingError(_unanswered(name, server, error)) from error
    except UnreachableError as error:
        raise TrackingError(_unanswered(name, server, error)) from error


def _unanswered(name: str, server: ServerOptions, error: Exception) -> str:
    place = mask("", str(server.mlflow_registry_uri or server.mlflow_tracking_uri))
    return f"MLflow at {place} does not say who is the {CHAMPION} of '{name}': {reason_of(error)}."


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
