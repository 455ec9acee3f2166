"""Columns: whether a table, or another version, has those that a version of the model reads."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..backend.artifacts import read_model
from ..errors import TrackingError
from ..tracking.capture.inputs import describe_table

Columns = Mapping[str, str]  # By name what a column holds, as far as that is known.

_MOST_NAMES = 10
_KINDS = {"double": "number", "float": "number", "long": "number", "integer": "number"}
_KINDS |= {"string": "text", "datetime": "time"}


def columns_of(model: Path) -> Columns | None:
    """Read which columns a version must be given, from its MLmodel; none if it does not say."""
    from mlflow.exceptions import MlflowException

    try:
        schema = read_model(model).get_input_schema()
    except (MlflowException, OSError):
        return None
    if schema is None or schema.is_tensor_spec() or not schema.has_input_names():
        return None
    return {
        str(column.name): _KINDS.get(str(column.type).removeprefix("DataType."), "")
        for column in schema
        if column.required
    }


def columns_in(data: Any) -> Columns | None:
    """List the columns of a table; none for anything else."""
    schema = describe_table(data)["schema"]
    return None if schema is None else dict.fromkeys((name for name, _ in schema), "")


def lacking(wanted: Columns | None, offered: Columns | None) -> list[str]:
    """List the columns that are wanted and not offered, or hold something else there."""
    if wanted is None or offered is None:
        return []
    return [
        name
        for name, kind in wanted.items()
        if name not in offered or (kind and offered[name] and kind != offered[name])
    ]


def difference(reads: Sequence[Columns | None], champion: str) -> str:
    """Say which columns a version reads that the champion does not, and which it no longer does."""
    ours, theirs = reads
    new, gone = lacking(ours, theirs), lacking(theirs, ours)
    parts = [f"reads {listed(new)}, which version {champion} does not read"] if new else []
    parts += [f"does not read {listed(gone)}, which version {champion} reads"] if gone else []
    return f"It {', and '.join(parts)}." if parts else ""


def listed(names: Collection[str]) -> str:
    """Name columns in a sentence; of very many the first."""
    first = list(names)[:_MOST_NAMES]
    more = f" and {len(names) - len(first)} more" if len(names) > len(first) else ""
    return f"the column{'s' if len(names) > 1 else ''} {', '.join(first)}{more}"


@dataclass(frozen=True)
class RequiredColumns:
    """Refuses, in a sentence, rows of a data set that lack columns which a version reads."""

    name: str  # Of the data set.
    version: str
    columns: Columns | None

    def __call__(self, rows: Any) -> None:
        """Raise a TrackingError if they do."""
        if missing := lacking(self.columns, columns_in(rows)):
            raise TrackingError(
                f"{self.version} reads {listed(missing)}, which the data set '{self.name}' does "
                "not have: the version was trained on other data. Score with a version of these "
                "data, by `--params model_version=N`, or make it the champion: `kedro mlflow "
                "promote --version N --new-champion --reason TEXT`."
            )
