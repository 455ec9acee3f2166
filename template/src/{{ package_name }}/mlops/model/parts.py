"""The data sets that a model consists of: what training fits, and look-up tables."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from shutil import copyfile
from typing import Any

from kedro.io import DataCatalog
from kedro.io.core import is_parameter

from .. import datasets, project
from ..backend.client import muted
from ..config import ModelOptions
from ..errors import TrackingError
from ..mlflow_internals import storage_of
from .frozen import entry_of, without_location
from .plan import dataset_at


def fitted_inputs(options: ModelOptions) -> set[str]:
    """List the data sets that the inference pipeline reads and another pipeline makes.

    A TrackingError says that it is not what mlflow.yml says, or has more than one output.
    """
    pipelines = project.registered_pipelines().values()
    made = {name for each in pipelines for name in each.all_outputs()}
    return _data_inputs(options) & made


def lookup_inputs(options: ModelOptions) -> set[str]:
    """List the look-up tables: what the inference pipeline reads and no pipeline makes."""
    return _data_inputs(options) - fitted_inputs(options)


def _data_inputs(options: ModelOptions) -> set[str]:
    inference = project.registered_pipeline(options.pipeline, "model.pipeline")
    if len(outputs := inference.outputs()) != 1:
        raise TrackingError(
            f"mlflow.yml: the pipeline '{options.pipeline}' (model.pipeline) has the outputs "
            f"{', '.join(sorted(outputs))}; a model returns one."
        )
    data = {name for name in inference.inputs() if not is_parameter(name)}
    if options.input not in data:
        raise TrackingError(
            f"mlflow.yml: model.input names the data set '{options.input}', which the pipeline "
            f"'{options.pipeline}' does not read (it reads: {', '.join(sorted(data))})."
        )
    return data - {options.input}


def lookup_problems(options: ModelOptions, catalog: DataCatalog) -> Iterator[str]:
    """Say, in a sentence each, which look-up tables cannot be a part of the model."""
    for name in sorted(lookup_inputs(options)):
        reads = f"The pipeline '{options.pipeline}' reads '{name}'"
        path = entry_of(name, catalog).get("filepath")
        if not (path and catalog.exists(name)):
            todo = (
                f"put it at {path}" if path else "give it an entry with a filepath in catalog.yml"
            )
            yield f"{reads}, which no pipeline makes, and there is no file of it: {todo}."
        elif (size := _size_of(name, catalog) / 1e6) > options.max_lookup_megabytes:
            yield (
                f"{reads} of {size:,.0f} MB, more than model.max_lookup_megabytes in mlflow.yml "
                f"({options.max_lookup_megabytes:g}): raise that, for each version has a copy."
            )


def without_file(name: str) -> str:
    """Say that a fitted data set has no file, from which the model would have it."""
    return (
        f"The data set '{name}' is fitted by the run and read by the model, but has no file: give "
        "it an entry with a filepath in catalog.yml."
    )


def copy_dataset(name: str, catalog: DataCatalog, folder: Path) -> tuple[dict[str, Any], str]:
    """Save a fitted data set once more; return its entry, without its location, and the file."""
    config = entry_of(name, catalog)
    if "filepath" not in config:
        raise TrackingError(without_file(name))
    entry = without_location(config)
    path = folder / f"{name}{Path(config['filepath']).suffix}"
    with muted(datasets.__name__):  # What is not trusted was said when the run saved it.
        dataset_at(name, entry, path).save(catalog[name].load())
    return entry, str(path)


def copy_lookup(name: str, catalog: DataCatalog, folder: Path) -> tuple[dict[str, Any], str]:
    """Copy a look-up table's file as it is: nothing says how the catalog would save it."""
    config = entry_of(name, catalog)
    path = folder / f"{name}{Path(config['filepath']).suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    storage = storage_of(catalog[name])
    if storage and storage.files:
        storage.files.get(storage.uri, str(path))
    else:
        copyfile(storage.uri if storage else config["filepath"], path)
    return without_location(config), str(path)


def _size_of(name: str, catalog: DataCatalog) -> int:
    """Return the bytes of a data set's file; 0 if that cannot be asked."""
    storage = storage_of(catalog[name])
    with suppress(Exception):  # Of whatever file system it is.
        if storage and storage.files:
            return int(storage.files.size(storage.uri))
        return Path(storage.uri if storage else entry_of(name, catalog)["filepath"]).stat().st_size
    return 0
