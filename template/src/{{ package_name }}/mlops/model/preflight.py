"""What registering a model takes and can be known before training: said before the first node.

A run that would register a model does not start where that cannot succeed. What only the end can
show costs no training either: see `unregistered.py`.
"""

from collections.abc import Iterator
from contextlib import suppress
from inspect import get_annotations
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, NoReturn

from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.io.core import is_parameter
from kedro.pipeline import Pipeline
from kedro.utils import load_obj
from kedro.validation import DataValidationError, ValidatorSpec

from ..backend.client import muted
from ..config import ModelOptions
from ..errors import TrackingError, one_line
from ..mlflow_internals import storage_of, uncached
from ..project import PACKAGE_FOLDER
from ..tracking.capture.foreign import is_a, name_of
from ..tracking.capture.inputs import is_table
from ..validation import schema_of
from .frozen import code_of, entry_of
from .parts import lookup_problems, without_file

if TYPE_CHECKING:
    from pandera.pandas import DataFrameSchema

# What a registered model's name may not hold, in any of MLflow's registries or `models:/NAME/3`.
_REFUSED_IN_NAMES = "/:?"
# Formats of tables and texts, which hold no object.
_PLAIN = {"CSVDataset", "ExcelDataset", "FeatherDataset", "JSONDataset", "ParquetDataset"}
_PLAIN |= {"TextDataset", "YAMLDataset"}


def problems(
    options: ModelOptions,
    training: Pipeline,
    inference: Pipeline,
    catalog: DataCatalog,
    pandera: "DataFrameSchema | None" = None,
) -> Iterator[str]:
    """Say, in a sentence each, why a run of the training pipeline could register no model.

    The input is loaded for it, last of all, as it is once more at the end; `pandera` is the schema
    that its validator has.
    """
    for sign in _REFUSED_IN_NAMES:
        if sign in options.name:
            yield f"mlflow.yml: model.name is '{options.name}', and MLflow takes no '{sign}' there."
    for name in sorted(inference.inputs()):
        if name.startswith("params:") and name not in catalog:
            yield (
                f"The pipeline '{options.pipeline}' reads '{name}', which is in no parameters.yml."
            )
    for node in training.nodes:
        for name in sorted(inference.inputs().intersection(node.outputs) - {options.input}):
            yield from _of_fitted(name, catalog, node.func)
    yield from lookup_problems(options, catalog)
    yield from _of_input(options, training, catalog, pandera)


def missing_modules(
    options: ModelOptions, inference: Pipeline, catalog: DataCatalog
) -> Iterator[str]:
    """Say, in a sentence each, which modules the model misses where the project's folder is not."""
    names = [name for name in inference.inputs() if not is_parameter(name)]
    config = {
        "datasets": {name: entry_of(name, catalog) for name in sorted(names)},
        "validator": catalog.validators.get(options.input),
        "nodes": None,
    }
    for module, importer in code_of(config, inference).missing.items():
        yield (
            f"The model may not load elsewhere: {importer} imports {module}, which is neither in "
            f"{PACKAGE_FOLDER.parent.name} nor an installed library."
        )


def pandera_of(options: ModelOptions, catalog: DataCatalog) -> "DataFrameSchema | None":
    """Return the pandera schema that the input's catalog entry checks by, if it is known."""
    if not (declared := catalog.validators.get(options.input)):
        return None
    spec = ValidatorSpec.from_dataset_config(options.input, declared)
    is_used = spec.enabled and "load" in spec.on and spec.severity != "warn"
    return schema_of(load_obj(spec.class_path)) if is_used else None


def _of_fitted(name: str, catalog: DataCatalog, function: Any) -> Iterator[str]:
    """Say what is wrong with the catalog entry of a data set that training fits."""
    entry, dataset = entry_of(name, catalog), uncached(catalog.get(name))
    kind, named = type(dataset), f"The data set '{name}' is fitted by the run and read by the model"
    if not entry.get("filepath"):
        yield without_file(name)
        return
    for method, verb in (("load", "loaded"), ("save", "saved")):
        if get_annotations(getattr(kind, method)).get("return") in (NoReturn, "NoReturn"):
            yield f"{named}, but cannot be {verb} as a {kind.__name__}: give it another type."
    returned: Any = None
    with suppress(Exception):  # Not every function has a text, and not every name in it a value.
        returned = get_annotations(function, eval_str=True).get("return")
    if kind.__name__ in _PLAIN and hasattr(returned, "fit"):
        yield (
            f"{named}. It is a {returned.__name__}, which a {kind.__name__} cannot hold: give it "
            "the type of a SkopsDataset or a pickle.PickleDataset in catalog.yml."
        )
    for type_name in entry.get("trusted") or ():
        try:
            resolve_name(type_name)
        except Exception as error:
            yield (
                f"The entry of the data set '{name}' in catalog.yml trusts '{type_name}', which "
                f"cannot be imported ({one_line(error)})."
            )


def _of_input(
    options: ModelOptions,
    training: Pipeline,
    catalog: DataCatalog,
    pandera: "DataFrameSchema | None",
) -> Iterator[str]:
    """Say why the model cannot be tried on its input: at the end it is, on the first rows."""
    name, dataset = options.input, catalog.get(options.input)
    named = f"The model's input, the data set '{name}' (model.input in mlflow.yml),"
    in_memory = dataset is None or type(uncached(dataset)) is MemoryDataset
    if name in training.all_outputs():
        if in_memory and name in {each for node in training.nodes for each in node.inputs}:
            yield f"{named} is gone at the run's end: give it an entry with a file in catalog.yml."
        return
    if in_memory and not (dataset and dataset.exists()):
        yield f"{named} has no entry in catalog.yml: give it one, with some rows to predict."
        return
    try:
        rows = load_input(options, catalog)
        from .inferred_schema import model_schema  # With pandas, which a run may do without.

        model_schema(rows, pandera)
    except TrackingError as error:
        yield error.message


def load_input(options: ModelOptions, catalog: DataCatalog) -> Any:
    """Load the model's input; a TrackingError says why it is no table or array of rows."""
    named = f"The model's input, the data set '{options.input}' (model.input in mlflow.yml),"
    try:
        with muted("kedro.io.data_catalog"):
            rows = catalog.load(options.input)
    except Exception as error:
        why = _why_unread(error, catalog.get(options.input))
        raise TrackingError(f"{named} {why}") from error
    if not is_table(rows) and not is_a(rows, "numpy", "ndarray"):
        raise TrackingError(
            f"{named} is a {'.'.join(name_of(type(rows)))}: let its entry in catalog.yml load a "
            "table of pandas or Polars, or an array of NumPy."
        )
    if rows.shape[:1] == (0,):
        raise TrackingError(f"{named} has no rows: put some to predict there.")
    return rows


def _why_unread(error: BaseException, dataset: Any) -> str:
    """Say why a data set cannot be loaded; Kedro wraps what its class raises."""
    while type(error) is DatasetError and error.__cause__:
        error = error.__cause__
    storage = storage_of(dataset) if isinstance(error, FileNotFoundError) else None
    if storage:
        return f"has no file at {storage.uri}: put some rows to predict there."
    if isinstance(error, DataValidationError) and error.failures:
        from .schema import in_words  # With pandas.

        return in_words(error).removeprefix("The data ")
    text = " ".join(str(error).split()) if isinstance(error, DatasetError) else one_line(error)
    return f"cannot be read ({text.rstrip('.')}): correct it."
