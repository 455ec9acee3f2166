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

    from .schema import Schema

logger = logging.getLogger(__name__)


def use_version(
    options: ModelOptions, version: "ModelVersion", folder: Path, catalog: DataCatalog
) -> dict[str, str]:
    """Let the inference pipeline read its fitted data sets from the files of a registered version.

    Returns tags that name the version and the run that trained it.
    """
    from mlflow.models import Model

    from .schema import FILE, Schema

    flavor = Model.load(folder).flavors["python_function"]
    output = flavor["config"]["output"]
    with muted("kedro.io.data_catalog"):  # It warns about each entry that is replaced.
        for name, entry in flavor["config"]["datasets"].items():
            catalog[name] = dataset_at(name, entry, folder / flavor["artifacts"][name]["path"])
        origin: dict[str, Any] = {}
        if options.traced:
            origin = {"model_version": int(version.version), "model_run_id": str(version.run_id)}
        rows = None
        if kept := flavor["artifacts"].get(FILE):
            schema = Schema.read(folder / kept["path"])
            rows = InputDataset(catalog[options.input], schema)
            catalog[options.input] = rows
        if output in catalog and (origin or rows):
            catalog[output] = PredictionsDataset(catalog[output], origin, rows)
    aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
    logger.info("Scoring with %s version %s%s.", version.name, version.version, aliases)
    number, run_id = str(version.version), str(version.run_id)
    return {"model.name": version.name, "model.version": number, "model.run_id": run_id}


class Wrapped(AbstractDataset[Any, Any]):
    """A data set of the catalog, which loads or saves something more."""

    def __init__(self, dataset: AbstractDataset[Any, Any]) -> None:
        self._dataset = dataset
        self.metadata = getattr(dataset, "metadata", None)

    def load(self) -> Any:
        """Load what the data set loads."""
        return self._dataset.load()

    def save(self, data: Any) -> None:
        """Save what the data set saves."""
        self._dataset.save(data)

    def _exists(self) -> bool:
        return self._dataset.exists()

    def _release(self) -> None:
        self._dataset.release()

    def _describe(self) -> dict[str, Any]:
        return {"dataset": repr(self._dataset)}


class InputDataset(Wrapped):
    """Loads rows as the model's schema has them, and remembers which they were."""

    def __init__(self, dataset: AbstractDataset[Any, Any], schema: "Schema") -> None:
        super().__init__(dataset)
        self.schema = schema
        self.ids: Any = None  # The id columns of what was loaded last.

    def load(self) -> Any:
        """Load rows; a DataValidationError says what training did not have."""
        rows = self.schema.conform(self._dataset.load())
        ids = [label for label in self.schema.ids if label in rows.columns]
        self.ids = rows[ids]
        return rows


class PredictionsDataset(Wrapped):
    """Saves tables with the ids of their rows, and which version of the model has predicted them.

    Only what is saved has the version: the pipeline and the served model return the same.
    """

    def __init__(
        self,
        dataset: AbstractDataset[Any, Any],
        columns: Mapping[str, Any],
        rows: InputDataset | None = None,
    ) -> None:
        super().__init__(dataset)
        self._columns, self._rows = dict(columns), rows

    def save(self, data: Any) -> None:
        """Add the columns to a table and save it; anything else is saved as it is."""
        if self._rows and self._rows.schema.ids:
            if self._rows.ids is None:  # Another process has loaded them.
                self._rows.load()
            data = self._rows.schema.add_ids(self._rows.ids, data)
        self._dataset.save(_add_columns(data, self._columns) if self._columns else data)


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
