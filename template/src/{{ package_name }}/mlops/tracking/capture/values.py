"""Parameters and metrics as MLflow accepts them: flattened, named, within its limits."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from fnmatch import fnmatchcase
from numbers import Integral, Real
from typing import Any, Literal

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from ...config import MetricsOptions, ParamsOptions
from ...errors import TrackingError
from ...redaction import Patterns, mask

# MLflow's limits of a name, a parameter's value and a tag's.
MAX_NAME_LENGTH = 250
MAX_PARAM_LENGTH = 6000
MAX_TAG_LENGTH = 8000

_REFUSED_CHARACTERS = re.compile(r"[^\w\-. /:]")
# What makes a name, read as a path, another path: `a//b`, `/a`, `a/`, `a/./b`, `..`.
_REFUSED_IN_PATHS = re.compile(r"(?<=/)/|^/|/$|(?<![^/])\.{1,2}(?![^/])|^\.\.")
_REFUSED_IN_MODELS = re.compile(r"[/:.%\"']")

# Name, value and step.
Metric = tuple[str, float, int]


def valid_name(name: str) -> str:
    """Replace each character that MLflow refuses in a name by ``_``, and cut it to its length."""
    name = _REFUSED_CHARACTERS.sub("_", name)[:MAX_NAME_LENGTH]
    return _REFUSED_IN_PATHS.sub(lambda found: "_" * len(found[0]), name) or "_"


def valid_model_name(name: str) -> str:
    """Replace each character that MLflow refuses in the name of a logged model by ``_``."""
    return _REFUSED_IN_MODELS.sub("_", name) or "_"


def consumed_parameters(
    pipeline: Pipeline, catalog: DataCatalog, patterns: Patterns = ()
) -> Iterator[tuple[str, Any]]:
    """Read the parameters that the pipeline's nodes take as inputs, one by one, secrets masked."""
    for name, value in read_parameters(pipeline, catalog):
        yield name, mask(name, value, patterns)


def read_parameters(pipeline: Pipeline, catalog: DataCatalog) -> Iterator[tuple[str, Any]]:
    """Read the parameters that the pipeline's nodes take as inputs, secrets and all.

    By their names without the ``params:`` prefix; the whole of ``parameters`` by its own names when
    a node takes that. What is part of another one is not read again. Pydantic models and
    dataclasses come as dictionaries.
    """
    yield from parameters_in(pipeline.inputs(), lambda name: catalog[name].load())


def parameters_in(inputs: Collection[str], load: Callable[[str], Any]) -> Iterator[tuple[str, Any]]:
    """Pick the parameters among data sets, which are loaded by name, as `read_parameters` does."""
    if "parameters" in inputs:
        yield from plain(load("parameters")).items()
        return
    names = {name.removeprefix("params:") for name in inputs if name.startswith("params:")}
    for name in sorted(names):
        parts = name.split(".")
        if not any(".".join(parts[:count]) in names for count in range(1, len(parts))):
            yield name, plain(load(f"params:{name}"))


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
    values: Iterable[tuple[str, Any]], options: ParamsOptions
) -> Iterator[tuple[Literal["params", "tags"], str, str]]:
    """Flatten, name and shorten parameters as ``tracking.params`` in mlflow.yml says.

    A run may have very many of them: kind, name and text come one by one. What is too long for a
    parameter is a tag under ``long_params_strategy: tag``, and a TrackingError under ``fail``.
    """
    dict_params = options.dict_params
    depth = None if dict_params.recursive else 1
    for name, value in values:
        flat = flatten({name: value}, dict_params.sep, depth if dict_params.flatten else 0)
        for key, leaf in flat:
            text = str(leaf)
            too_long = len(text) > MAX_PARAM_LENGTH
            if too_long and options.long_params_strategy == "fail":
                raise TrackingError(
                    f"Parameter '{key}' is {len(text)} characters long and MLflow takes "
                    f"{MAX_PARAM_LENGTH}: set tracking.params.long_params_strategy to 'truncate' "
                    "or 'tag' in mlflow.yml."
                )
            if too_long and options.long_params_strategy == "tag":
                yield "tags", valid_name(key), text[:MAX_TAG_LENGTH]
            else:
                yield "params", valid_name(key), text[:MAX_PARAM_LENGTH]


def flatten(
    values: Mapping[Any, Any], sep: str, depth: int | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested dictionaries, `depth` levels down, under their joined names."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value and depth != 0:
            below = None if depth is None else depth - 1
            yield from ((f"{name}{sep}{rest}", leaf) for rest, leaf in flatten(value, sep, below))
        else:
            yield str(name), value


def metrics_of(dataset: str, value: Any, options: MetricsOptions) -> list[Metric]:
    """Read the metrics of one node output, as ``tracking.metrics`` in mlflow.yml says.

    The name is ``dataset`` for a number or a history, ``dataset/key`` for an entry of a dictionary
    (MLflow's page groups metrics by what is before a slash). A history is a list of numbers, whose
    steps count from 0, or of (step, value) pairs. Nothing when the output is anything else, or
    holds anything else.
    """
    leaves: Mapping[str, Any] = {dataset: value}
    if isinstance(value, Mapping):
        leaves = {f"{dataset}/{name}": leaf for name, leaf in flatten(value, "/")}
    metrics: list[Metric] = []
    for key, leaf in leaves.items():
        points = _points(leaf, options.max_history)
        if not points:
            return []
        name = valid_name(key)
        if _fits(name, options.include) and not _fits(name, options.exclude):
            metrics += [(name, number, step) for step, number in points]
    return metrics


def _points(value: Any, longest: int) -> list[tuple[int, float]]:
    """Read a number or a history as (step, value) pairs; none when it is neither."""
    if _is_number(value):
        return [(0, float(value))]
    if not isinstance(value, list) or len(value) > longest:
        return []
    if all(map(_is_number, value)):
        return [(step, float(entry)) for step, entry in enumerate(value)]
    if all(map(_is_point, value)):
        return [(int(step), float(entry)) for step, entry in value]
    return []


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_point(value: Any) -> bool:
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    return is_pair and isinstance(value[0], Integral) and all(map(_is_number, value))


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
