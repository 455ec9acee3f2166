"""Parameters: what the nodes of a run consume, flattened to MLflow's names and lengths."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..errors import TrackingError
from ..redaction import Patterns, mask
from .limits import MAX_PARAM_LENGTH, MAX_TAG_LENGTH, mend_name

if TYPE_CHECKING:
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline

    from ..config import ParamsOptions


def consumed_parameters(
    pipeline: "Pipeline", catalog: "DataCatalog", patterns: Patterns = ()
) -> Iterator[tuple[str, Any]]:
    """Read the parameters that the pipeline's nodes take as inputs, one by one, secrets masked."""
    for name, value in read_parameters(pipeline, catalog):
        yield name, mask(name, value, patterns)


def read_parameters(pipeline: "Pipeline", catalog: "DataCatalog") -> Iterator[tuple[str, Any]]:
    """Read the parameters that the pipeline's nodes take as inputs, secrets and all.

    Yields:
        Names without the ``params:`` prefix, and values; the whole of ``parameters`` by its own
        names when a node takes that. What is part of another one is not read again. Pydantic models
        and dataclasses come as dictionaries.
    """
    names = pipeline.inputs()
    if "parameters" in names:
        yield from plain(catalog["parameters"].load()).items()
        return
    names = {name.removeprefix("params:") for name in names if name.startswith("params:")}
    for name in sorted(names):
        parts = name.split(".")
        if not any(".".join(parts[:count]) in names for count in range(1, len(parts))):
            yield name, plain(catalog[f"params:{name}"].load())


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
    values: Iterable[tuple[str, Any]], options: "ParamsOptions"
) -> Iterator[tuple[Literal["params", "tags"], str, str]]:
    """Flatten, name and shorten parameters as ``tracking.params`` in mlflow.yml says.

    A run may have very many of them: they come and go one by one.

    Yields:
        Kind, name and text. A tag is what is too long for a parameter under
        ``long_params_strategy: tag``.

    Raises:
        TrackingError: a value is too long under ``long_params_strategy: fail``.
    """
    dict_params = options.dict_params
    depth = None if dict_params.recursive else 1
    for name, value in values:
        flat = flatten({name: value}, dict_params.sep, depth if dict_params.flatten else 0)
        for key, leaf in flat:
            text = str(leaf)
            if len(text) > MAX_PARAM_LENGTH and options.long_params_strategy == "fail":
                raise TrackingError(
                    f"Parameter '{key}' is {len(text)} characters long and MLflow takes "
                    f"{MAX_PARAM_LENGTH}: set tracking.params.long_params_strategy to 'truncate' "
                    "or 'tag' in mlflow.yml."
                )
            if len(text) > MAX_PARAM_LENGTH and options.long_params_strategy == "tag":
                yield "tags", mend_name(key), text[:MAX_TAG_LENGTH]
            else:
                yield "params", mend_name(key), text[:MAX_PARAM_LENGTH]


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
