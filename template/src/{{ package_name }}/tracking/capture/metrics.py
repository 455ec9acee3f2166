"""Metrics: numbers, and dictionaries of nothing but numbers, that a node returns."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

from .limits import mend_name
from .parameters import flatten


def metrics_of(dataset: str, value: Any) -> dict[str, float]:
    """Read the metrics of one node output.

    Args:
        dataset: the output's name in the catalog.
        value: what the node returned for it.

    Returns:
        Values by name: ``dataset`` for a number, ``dataset/key`` for a dictionary (MLflow's page
        groups metrics by what stands before a slash). Empty when the output is anything else, or
        holds anything but numbers.
    """
    if _is_number(value):
        return {mend_name(dataset): float(value)}
    if not isinstance(value, Mapping) or not value:
        return {}
    leaves = dict(flatten(value, "/"))
    if not all(_is_number(leaf) for leaf in leaves.values()):
        return {}
    return {mend_name(f"{dataset}/{name}"): float(leaf) for name, leaf in leaves.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
