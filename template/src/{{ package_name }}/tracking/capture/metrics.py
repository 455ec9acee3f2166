"""Metrics: numbers, histories of numbers, and dictionaries of nothing but these."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from numbers import Integral, Real
from typing import Any

from ..config import MetricsOptions
from .limits import mend_name
from .parameters import flatten

Metric = tuple[str, float, int]


def metrics_of(dataset: str, value: Any, options: MetricsOptions) -> list[Metric]:
    """Read the metrics of one node output.

    Args:
        dataset: the output's name in the catalog.
        value: what the node returned for it.
        options: which names are kept, and how long a history may be.

    Returns:
        Names, values and steps. The name is ``dataset`` for a number or a history, ``dataset/key``
        for an entry of a dictionary (MLflow's page groups metrics by what stands before a slash). A
        history is a list of numbers, whose steps count from 0, or of (step, value) pairs. Nothing
        when the output is anything else, or holds anything else.
    """
    leaves: Mapping[str, Any] = {dataset: value}
    if isinstance(value, Mapping):
        leaves = {f"{dataset}/{name}": leaf for name, leaf in flatten(value, "/")}
    metrics: list[Metric] = []
    for key, leaf in leaves.items():
        points = _points(leaf, options.max_history)
        if not points:
            return []
        name = mend_name(key)
        if _is_kept(name, options):
            metrics += [(name, number, step) for step, number in points]
    return metrics


def _points(value: Any, longest: int) -> list[tuple[int, float]]:
    """Read a number or a history as (step, value) pairs; none when it is neither."""
    if _is_number(value):
        return [(0, float(value))]
    if not isinstance(value, list) or len(value) > longest:
        return []
    if all(_is_number(entry) for entry in value):
        return [(step, float(entry)) for step, entry in enumerate(value)]
    if all(_is_point(entry) for entry in value):
        return [(int(step), float(entry)) for step, entry in value]
    return []


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and isinstance(value[0], Integral)
        and _is_number(value[0])
        and _is_number(value[1])
    )


def _is_kept(name: str, options: MetricsOptions) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in options.include) and not any(
        fnmatchcase(name, pattern) for pattern in options.exclude
    )
