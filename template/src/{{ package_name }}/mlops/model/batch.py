"""Batch scoring: the inference pipeline reads the data sets of a registered version."""

import logging
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DataCatalog, DatasetError

from ..backend.client import muted
from ..config import ModelOptions
from .plan import dataset_at

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

logger = logging.getLogger(__name__)


def use_version(
    options: ModelOptions, version: "ModelVersion", folder: Path, catalog: DataCatalog
) -> dict[str, str]:
    """Let the inference pipeline read its fitted data sets from the files of a registered version.

    Returns tags that name the version and the run that trained it.
    """
    from mlflow.models import Model

    flavor = Model.load(folder).flavors["python_function"]
    output = flavor["config"]["output"]
    with muted("kedro.io.data_catalog"):  # It warns about each entry that is replaced.
        for name, entry in flavor["config"]["datasets"].items():
            catalog[name] = dataset_at(name, entry, folder / flavor["artifacts"][name]["path"])
        if options.traced and output in catalog:
            origin = {"model_version": int(version.version), "model_run_id": str(version.run_id)}
            catalog[output] = PredictionsDataset(catalog[output], origin)
    aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
    logger.info("Scoring with %s version %s%s.", version.name, version.version, aliases)
    number, run_id = str(version.version), str(version.run_id)
    return {"model.name": version.name, "model.version": number, "model.run_id": run_id}


class PredictionsDataset(AbstractDataset[Any, Any]):
    """Saves tables with columns that say which version of the model has predicted them.

    Only what is saved has these columns: the pipeline and the served model return the same.
    """

    def __init__(self, dataset: AbstractDataset[Any, Any], columns: Mapping[str, Any]) -> None:
        self._dataset = dataset
        self._columns = dict(columns)
        self.metadata = getattr(dataset, "metadata", None)

    def load(self) -> Any:
        """Load what was saved, the added columns included."""
        return self._dataset.load()

    def save(self, data: Any) -> None:
        """Add the columns to a table and save it; anything else is saved as it is."""
        self._dataset.save(_add_columns(data, self._columns))

    def _exists(self) -> bool:
        return self._dataset.exists()

    def _release(self) -> None:
        self._dataset.release()

    def _describe(self) -> dict[str, Any]:
        return {"dataset": repr(self._dataset), "columns": self._columns}


def _add_columns(data: Any, columns: Mapping[str, Any]) -> Any:
    library = type(data).__module__.partition(".")[0]
    if not hasattr(data, "columns") or not (library == "polars" or hasattr(data, "assign")):
        logger.warning(
            "The predictions are not a table of pandas or polars: only the run's tags say which "
            "version has predicted them."
        )
        return data
    if taken := [name for name in columns if name in data.columns]:
        raise DatasetError(
            f"The predictions have a column '{taken[0]}' already. It is for the version that "
            "predicted them: rename yours, or set model.traced to false in mlflow.yml."
        )
    if library == "polars":
        literal = import_module("polars").lit
        return data.with_columns(**{name: literal(value) for name, value in columns.items()})
    return data.assign(**columns)
