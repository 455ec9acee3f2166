"""The example of a model's input that is made from its schema alone: one row, of no real data.

It is stored with the model, shown by MLflow, and predicted by each worker of a server before its
first caller. So it has to pass the pipeline's validation, whose limits only the validator knows.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.types import Schema

_NUMBERS = (1, 10, 100, 0, 5, 50, 0.5, 1000, 20, 2, 30, 200, 3, -1, 0.1, 10_000)
# What is tried for a column, in this order, by the name of its type in a signature.
_CANDIDATES: dict[str, tuple[Any, ...]] = {
    "double": _NUMBERS,
    "float": _NUMBERS,
    "long": tuple(each for each in _NUMBERS if each == int(each)),
    "integer": tuple(each for each in _NUMBERS if each == int(each)),
    "boolean": (True, False),
    "string": ("text", ""),
    "datetime": (datetime(2020, 1, 1), datetime(2000, 1, 1)),
    "binary": (b"bytes",),
}
_TYPES = {
    "double": "float64",
    "float": "float32",
    "long": "int64",
    "integer": "int32",
    "boolean": "bool",
    "datetime": "datetime64[ns]",
}


def synthetic_row(schema: "Schema", predict: Callable[[Any], Any]) -> "pd.DataFrame | None":
    """Make a table of one row that a model predicts for; none if that cannot be guessed.

    A column whose value the model's validation refuses by name gets another one.
    """
    kinds = {str(column.name): str(column.type).removeprefix("DataType.") for column in schema}
    if not schema.has_input_names() or not set(kinds.values()) <= _CANDIDATES.keys():
        return None
    waiting = {name: iter(_CANDIDATES[kind]) for name, kind in kinds.items()}
    values = {name: next(candidates) for name, candidates in waiting.items()}
    while True:
        row = _table(values, kinds)
        try:
            predict(row)
            return row
        except Exception as error:
            wrong = {str(failure.column) for failure in getattr(error, "failures", None) or ()}
        try:
            if not wrong or not wrong <= kinds.keys():
                return None
            values |= {name: next(waiting[name]) for name in wrong}
        except StopIteration:
            return None


def _table(values: dict[str, Any], kinds: dict[str, str]) -> "pd.DataFrame":
    import pandas as pd

    table = pd.DataFrame({name: [value] for name, value in values.items()})
    return table.astype({name: _TYPES[kind] for name, kind in kinds.items() if kind in _TYPES})
