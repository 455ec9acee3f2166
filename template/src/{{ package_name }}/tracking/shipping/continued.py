"""A run that was there before, and is continued: MLflow lets nobody change its parameters."""

from collections.abc import Iterable, Mapping

from ..capture.record import records_of
from ..journal import Record
from ..redaction import MASK, mask

# Of a long value, as much as fits on a line with others.
_SHOWN = 60


def without_known_parameters(
    records: list[Record], known: Mapping[str, str]
) -> tuple[list[Record], dict[str, tuple[str, str]]]:
    """Leave out the parameters that a run has already: with another value, MLflow refuses them.

    Args:
        records: what is about to be delivered to the run.
        known: the parameters that the run has.

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
            # Of what is masked nobody can tell whether it has changed.
            if values[name] != known[name] and MASK not in values[name]:
                changed[name] = _shown(mask(name, known[name])), _shown(values[name])
    return kept, changed


def told(changed: Mapping[str, Iterable[str]]) -> str:
    """Say which parameters a run keeps although this time they had another value."""
    listed = ", ".join(
        f"{name} = {old} (this time {new})" for name, (old, new) in sorted(changed.items())
    )
    return f"MLflow lets no run change its parameters, and this one keeps {listed}."


def _shown(value: str) -> str:
    return value if len(value) <= _SHOWN else f"{value[:_SHOWN]}..."
