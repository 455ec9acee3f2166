"""Batches: params, metrics and tags of many records in few log-batch calls."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

from ...redaction import MASK, mask
from ..capture.nodes import records_of
from ..journal import Record

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param, RunTag

# https://mlflow.org/docs/latest/api_reference/rest-api.html#log-batch: 1,000 of all kinds together.
LIMITS = {"metrics": 800, "params": 100, "tags": 100}
# How many characters of a long value are shown.
_SHOWN = 60


class Batch(NamedTuple):
    """What goes into one call."""

    metrics: "Sequence[Metric]" = ()
    params: "Sequence[Param]" = ()
    tags: "Sequence[RunTag]" = ()


def batches(records: list[Record]) -> Iterator[Batch]:
    """Gather the params, metrics and tags of records into the fewest batches."""
    from mlflow.entities import Metric, Param, RunTag

    items: dict[str, list[Any]] = {
        kind: [item for each in records_of(kind, records) for item in each.data["values"].items()]
        for kind in ("params", "tags")
    }
    items["metrics"] = [
        (name, value, record.time, step, *record.data.get("measures", ()))
        for record in records_of("metrics", records)
        for name, value, step in record.data["values"]
    ]
    entities = {"metrics": Metric, "params": Param, "tags": RunTag}
    for number in range(max(ceil(len(items[kind]) / most) for kind, most in LIMITS.items())):
        # MLflow's objects are large: those of one batch are enough at a time.
        parts = {
            kind: items[kind][number * most : (number + 1) * most] for kind, most in LIMITS.items()
        }
        yield Batch(**{kind: [entities[kind](*item) for item in parts[kind]] for kind in parts})


def one_by_one(batch: Batch) -> Iterator[tuple[Batch, str]]:
    """Take a batch apart: each piece alone, and what it is."""
    names = {"metrics": "metric", "params": "parameter", "tags": "tag"}
    for kind, pieces in batch._asdict().items():
        for piece in pieces:
            yield Batch(**{kind: [piece]}), f"the {names[kind]} {piece.key}"


def without_known_parameters(
    records: list[Record], known: Mapping[str, str]
) -> tuple[list[Record], dict[str, tuple[str, str]]]:
    """Leave out the parameters that a run has already: with another value, MLflow refuses them.

    Also return the old and the new value of those that differ, secrets masked.
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
