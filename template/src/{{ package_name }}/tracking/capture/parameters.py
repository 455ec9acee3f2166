"""Parameters: what the nodes of a run consume, flattened to MLflow's names and lengths."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

from ..errors import TrackingError
from ..redaction import Patterns, mask
from .limits import MAX_PARAM_LENGTH, MAX_TAG_LENGTH, mend_name

if TYPE_CHECKING:
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline

    from ..config import ParamsOptions


def consumed_parameters(
    pipeline: "Pipeline", catalog: "DataCatalog", patterns: Patterns = ()
) -> dict[str, Any]:
    """Read the parameters that the pipeline's nodes take as inputs, secrets masked."""
    values = read_parameters(pipeline, catalog)
    return {name: mask(name, value, patterns) for name, value in values.items()}


def read_parameters(pipeline: "Pipeline", catalog: "DataCatalog") -> dict[str, Any]:
    """Read the parameters that the pipeline's nodes take as inputs, secrets and all.

    Returns:
        Values by name without the ``params:`` prefix; the whole of ``parameters`` by its own names
        when a node takes that. Pydantic models and dataclasses come as dictionaries.
    """
    names = [
        name for name in pipeline.inputs() if name == "parameters" or name.startswith("params:")
    ]
    values: dict[str, Any] = {}
    for name in sorted(names):
        value = plain(catalog[name].load())
        values.update(value if name == "parameters" else {name.removeprefix("params:"): value})
    return values


def plain(value: Any) -> Any:
    """Turn a pydantic model or a dataclass, also inside dictionaries, into dictionaries."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {name: plain(entry) for name, entry in value.items()}
    return value


def to_mlflow(
    values: Mapping[str, Any], options: "ParamsOptions"
) -> tuple[dict[str, str], dict[str, str]]:
    """Flatten, name and shorten parameters as ``tracking.params`` in mlflow.yml says.

    Returns:
        Parameters, and the tags that hold what is too long for a parameter under
        ``long_params_strategy: tag``.

    Raises:
        TrackingError: a value is too long under ``long_params_strategy: fail``.
    """
    flat: Mapping[str, Any] = values
    if options.dict_params.flatten:
        depth = None if options.dict_params.recursive else 1
        flat = dict(flatten(values, options.dict_params.sep, depth))
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    for name, value in flat.items():
        text = str(value)
        if len(text) > MAX_PARAM_LENGTH and options.long_params_strategy == "fail":
            raise TrackingError(
                f"Parameter '{name}' is {len(text)} characters long and MLflow takes "
                f"{MAX_PARAM_LENGTH}: set tracking.params.long_params_strategy to 'truncate' or "
                "'tag' in mlflow.yml."
            )
        if len(text) > MAX_PARAM_LENGTH and options.long_params_strategy == "tag":
            tags[mend_name(name)] = text[:MAX_TAG_LENGTH]
        else:
            params[mend_name(name)] = text[:MAX_PARAM_LENGTH]
    return params, tags


def flatten(
    values: Mapping[Any, Any], sep: str, depth: int | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested dictionaries under their joined names.

    Args:
        values: the dictionary; keys of any type are named by their text.
        sep: what stands between the names of two levels.
        depth: how many levels below this one are flattened; all of them by default.
    """
    for name, value in values.items():
        if isinstance(value, Mapping) and value and depth != 0:
            below = None if depth is None else depth - 1
            yield from ((f"{name}{sep}{rest}", leaf) for rest, leaf in flatten(value, sep, below))
        else:
            yield str(name), value
