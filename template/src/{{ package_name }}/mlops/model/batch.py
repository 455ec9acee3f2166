"""Batch scoring: a run of the inference pipeline predicts as a registered version does.

The version's data sets, parameters and way to read the input take the place of the project's. Where
its code is not the project's, a single node takes the place of the pipeline's: the version predicts
in a process of its own.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DataCatalog, DatasetError
from kedro.pipeline import Pipeline, node
from kedro.validation import DataValidationError

from ..backend.artifacts import read_model
from ..backend.client import muted
from ..config import ModelOptions
from ..errors import TrackingError
from ..mlflow_internals import change_entry, replace_nodes
from ..project import registered_pipeline
from ..redaction import Patterns
from ..tracking import RunStart
from .frozen import changes_since, entry_of, input_entry
from .own_process import predictions_of
from .plan import dataset_at, parameters_of
from .preflight import pandera_of

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from .schema import Schema
    from .tensor_schema import TensorSchema

logger = logging.getLogger(__name__)

# Given as `model_version`: the project as it is, and no version.
WORKING_COPY = "working-copy"
# The run's tag with the number of the version.
VERSION_TAG = "model.version"


def use_version(
    options: ModelOptions,
    version: "ModelVersion",
    folder: Path,
    start: RunStart,
    secrets: Patterns = (),
    check: Callable[[Any], None] | None = None,
) -> dict[str, str]:
    """Let a run of the inference pipeline predict as a registered version does, from its files.

    `check` gets the rows as the catalog reads them. Returns tags that name the version and the run
    that trained it. A TrackingError says that a part of the pipeline cannot run with a version's
    own code.
    """
    from .schema import FILE, read_schema

    flavor = read_model(folder).flavors["python_function"]
    config, catalog = flavor["config"], start.catalog
    number, run_id = str(version.version), str(version.run_id)
    files = {name: _within(folder, file["path"]) for name, file in flavor["artifacts"].items()}
    inference = registered_pipeline(options.pipeline, "model.pipeline")
    aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
    logger.info("Scoring with %s version %s%s.", version.name, number, aliases)
    code = _within(folder, flavor["code"])
    changes = changes_since(config, files, code, inference, catalog, secrets)
    if changes.values or changes.code:
        logger.info(
            "The project has changed since version %s was trained: %s. It predicts as it was%s; "
            "`--params model_version=%s` predicts with the project as it is.",
            *(number, changes, ", in a process of its own" if changes.code else "", WORKING_COPY),
        )
    with muted("kedro.io.data_catalog"):  # It warns about each entry that is replaced.
        _read_as_trained(config, options.input, catalog, is_checked=not changes.code)
        if changes.code:
            if {each.name for each in start.pipeline.nodes} != {n.name for n in inference.nodes}:
                raise TrackingError(
                    f"Version {number} has other code than the project ({changes}), so a part of "
                    f"'{options.pipeline}' cannot run with it: run the whole pipeline, or the "
                    f"project as it is with `--params model_version={WORKING_COPY}`."
                )
            environment = tuple(options.environment)
            function = OwnProcess(folder, number, options.input, environment)
            _replace_nodes(options, start.pipeline, config, catalog, function)
        else:
            values = parameters_of(config, inference)
            for name in inference.inputs() & values.keys():
                catalog[name] = values[name]
            for name, entry in config["datasets"].items():
                catalog[name] = dataset_at(name, entry, files[name])
        rows = None
        if dataset := catalog.get(options.input):
            schema = read_schema(files[FILE]) if FILE in files and not changes.code else None
            rows = Rows(dataset, check, schema, schema.ids if schema else ())
            vars(dataset)["load"] = rows.load
        _add_origin(options, inference, catalog, int(version.version), run_id, rows)
    return {"model.name": version.name, VERSION_TAG: number, "model.run_id": run_id}


def _within(folder: Path, path: str) -> Path:
    """Return where a file of a version is; a TrackingError for one that is not the version's."""
    if not (folder / path).resolve().is_relative_to(folder.resolve()):
        raise TrackingError(f"The model in {folder} names a file that is not in it: {path}.")
    return folder / path


def use_working_copy(options: ModelOptions, catalog: DataCatalog) -> dict[str, str]:
    """Let predictions say that no version has made them; return the run's tags."""
    logger.info("Scoring with the project as it is, and no version of %s.", options.name)
    inference = registered_pipeline(options.pipeline, "model.pipeline")
    rows, pandera = None, pandera_of(options, catalog)
    columns = pandera.columns.items() if pandera else ()
    ids = [name for name, column in columns if (column.metadata or {}).get("id")]
    if ids and (dataset := catalog.get(options.input)):
        rows = Rows(dataset, ids=ids)
        vars(dataset)["load"] = rows.load
    _add_origin(options, inference, catalog, WORKING_COPY, "", rows)
    return {"model.name": options.name, VERSION_TAG: WORKING_COPY}


@dataclass(frozen=True)
class OwnProcess:
    """The function of a node: a version predicts in a process of its own."""

    folder: Path
    number: str
    input: str
    environment: tuple[str, ...] = ()

    @property
    def __name__(self) -> str:
        return "predict"

    def __call__(self, rows: Any, *_: Any) -> Any:
        """Return the version's predictions; a DataValidationError if it refuses the rows."""
        try:
            return predictions_of([self.folder], rows, True, environment=self.environment)[0]
        except TrackingError as error:
            if isinstance(refusal := error.__cause__, DataValidationError):
                refusal.dataset_name = self.input
                raise refusal from None
            raise


def _replace_nodes(
    options: ModelOptions,
    pipeline: Pipeline,
    config: Mapping[str, Any],
    catalog: DataCatalog,
    function: OwnProcess,
) -> None:
    """Let one node predict. It reads the version's parameters only so that the run shows them."""
    parameters = {f"params:{name}": value for name, value in config["parameters"].items()}
    for name, value in parameters.items():
        catalog[name] = value
    (output,) = pipeline.outputs()
    confirms = [name for each in pipeline.nodes for name in each.confirms]
    name = f"predict_with_version_{function.number}"
    inputs = [options.input, *parameters]
    replace_nodes(pipeline, [node(function, inputs, output, name=name, confirms=confirms)])


def _read_as_trained(
    config: Mapping[str, Any], name: str, catalog: DataCatalog, is_checked: bool
) -> None:
    """Let the input be read and checked as it was; the version's own process checks it itself.

    Where it is another kind of file by now, it is read as the catalog says today.
    """
    entry, ours = entry_of(name, catalog), input_entry(name, catalog)
    theirs = config.get("input_entry") or ours
    changed: dict[str, Any] = {}
    if theirs != ours and theirs["type"] == ours.get("type"):
        secret = {
            k: v for k, v in (entry.get("load_args") or {}).items() if k not in ours["load_args"]
        }
        changed["load_args"] = {**theirs["load_args"], **secret}
    validator = config["validator"] if is_checked else None
    if entry and (changed or validator != catalog.validators.get(name)):
        change_entry(catalog, name, validator, **changed)


def _add_origin(
    options: ModelOptions,
    inference: Pipeline,
    catalog: DataCatalog,
    version: int | str,
    run_id: str,
    rows: "Rows | None" = None,
) -> None:
    """Let saved predictions have the ids of their rows and, by mlflow.yml, their origin."""
    (output,) = inference.outputs()
    columns = {"model_version": version, "model_run_id": run_id} if options.traced else {}
    if output in catalog and (dataset := catalog.get(output)):
        vars(dataset)["save"] = Predictions(dataset, columns, rows).save


# What follows takes the place of a method in a data set's own instance: the catalog keeps the
# entry's validator, and tracking sees the data set's class.


@dataclass
class Rows:
    """Loads rows as the model's schema has them, and remembers which they were."""

    dataset: AbstractDataset[Any, Any]
    check: Callable[[Any], None] | None = None  # Raises what there is to say of other data.
    schema: "Schema | TensorSchema | None" = None
    ids: Sequence[str] = ()
    loaded: Any = None  # The id columns of what was loaded last.

    def load(self) -> Any:
        """Load rows; a DataValidationError says what training did not have."""
        rows = type(self.dataset).load(self.dataset)
        if self.check:
            self.check(rows)
        if self.schema:
            rows = self.schema.conform(rows)
        if self.ids:
            self.loaded = rows[[label for label in self.ids if label in rows.columns]]
        return rows


@dataclass
class Predictions:
    """Saves tables with the ids of their rows, and which version of the model has predicted them.

    Only what is saved has the version: the pipeline and the served model return the same.
    """

    dataset: AbstractDataset[Any, Any]
    columns: Mapping[str, Any]
    rows: Rows | None = None

    def save(self, data: Any) -> None:
        """Add the columns to a table and save it; anything else is saved as it is."""
        if self.rows and self.rows.ids:
            from .schema import with_ids  # With pandas.

            if self.rows.loaded is None:  # Another process has loaded them.
                self.rows.load()
            data = with_ids(self.rows.loaded, data)
        data = _add_columns(data, self.columns) if self.columns else data
        type(self.dataset).save(self.dataset, data)


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
