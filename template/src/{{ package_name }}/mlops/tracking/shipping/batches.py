"""Batches: params, metrics and tags of many records in few log-batch calls."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, TypeVar

from ...redaction import MASK, mask
from ..capture.nodes import records_of
from ..journal import Record

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param, RunTag

_T = TypeVar("_T")

# https://mlflow.org/docs/latest/api_reference/rest-api.html#log-batch: 1,000 of all kinds together.
MAX_PARAMS = MAX_TAGS = 100
MAX_METRICS = 800

# How many characters of a long value are shown.
_SHOWN = 60


@dataclass(frozen=True)
class Batch:
    """What goes into one call."""

    metrics: "list[Metric]"
    params: "list[Param]"
    tags: "list[RunTag]"


def batches(records: list[Record]) -> Iterator[Batch]:
    """Gather the params, metrics and tags of records into the fewest batches."""
    from mlflow.entities import Metric, Param, RunTag

    params, tags = _items("params", records), _items("tags", records)
    metrics = [
        (name, value, record.time, step)
        for record in records_of("metrics", records)
        for name, value, step in record.data["values"]
    ]
    count = max(
        ceil(len(params) / MAX_PARAMS),
        ceil(len(metrics) / MAX_METRICS),
        ceil(len(tags) / MAX_TAGS),
    )
    for number in range(count):
        # MLflow's objects are large: those of one batch are enough at a time.
        yield Batch(
            [Metric(*each) for each in _part(metrics, number, MAX_METRICS)],
            [Param(*each) for each in _part(params, number, MAX_PARAMS)],
            [RunTag(*each) for each in _part(tags, number, MAX_TAGS)],
        )


def one_by_one(batch: Batch) -> Iterator[tuple[Batch, str]]:
    """Take a batch apart: each piece alone, and what it is."""
    for metric in batch.metrics:
        yield Batch([metric], [], []), f"the metric {metric.key}"
    for param in batch.params:
        yield Batch([], [param], []), f"the parameter {param.key}"
    for tag in batch.tags:
        yield Batch([], [], [tag]), f"the tag {tag.key}"


def _part(values: list[_T], number: int, size: int) -> list[_T]:
    return values[number * size : (number + 1) * size]


def _items(kind: str, records: list[Record]) -> list[tuple[str, str]]:
    return [item for record in records_of(kind, records) for item in record.data["values"].items()]


def without_known_parameters(
    records: list[Record], known: Mapping[str, str]
) -> tuple[list[Record], dict[str, tuple[str, str]]]:
    """Leave out the parameters that a run has already: with another value, MLflow refuses them.

    Returns:
        The records without these parameters, and the old and the new value of those that differ,
        secrets masked.
    """
    changed: dict[str, tuple[str, str]] = {}
    kept = [record for record in records if record.kind != "params"]
    for record in records_of("params", records):
        values = record.data["values"]
        new = {name: value for name, value in values.items() if name not in known}
        kept.append(Record(record.kind, record.time, {**record.data, "values": new}))
        for name in values.keys() & known.keys():
            # Whether a masked value has changed cannot be known.
            if values[name] != known[name] and MASK not in values[name]:
                changed[name] = _shown(mask(name, known[name])), _shown(values[name])
    return kept, changed


def describe_changes(changed: Mapping[str, Iterable[str]]) -> str:
    """Say which parameters a run keeps although this time they had another value."""
    listed = ", ".join(
        f"{name} = {old} (this time {new})" for name, (old, new) in sorted(changed.items())
    )
    return f"MLflow lets no run change its parameters, and this one keeps {listed}."


def _shown(value: str) -> str:
    return value if len(value) <= _SHOWN else f"{value[:_SHOWN]}..."
