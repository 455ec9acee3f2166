"""The example of a model's input that is made from its schema alone: one row, of no real data.

It is stored with the model, shown by MLflow, and predicted by each worker of a server before its
first caller. So it has to pass the pipeline's validation, whose limits only the validator knows.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .predictions import form
from .schema import mlflow_type
from .tensor_schema import TensorSchema

if TYPE_CHECKING:
    from .columns import Column
    from .schema import Schema

_NUMBERS = (1, 10, 100, 0, 5, 50, 0.5, 1000, 20, 2, 30, 200, 3, -1, 0.1, 10_000)
# What is tried for a column, in this order, by its type; of a category each one.
_CANDIDATES: dict[str, tuple[Any, ...]] = {
    "double": _NUMBERS,
    "float": _NUMBERS,
    "long": tuple(each for each in _NUMBERS if each == int(each)),
    "integer": tuple(each for each in _NUMBERS if each == int(each)),
    "decimal": _NUMBERS,
    "boolean": (True, False),
    "string": ("text", ""),
    "datetime": ("2020-01-01T00:00:00", "2000-01-01T00:00:00"),
    "date": ("2020-01-01", "2000-01-01"),
    "timedelta": ("PT1H", "P1D"),
    "binary": ("Ynl0ZXM=",),
}
_IN_PANDAS = {"long": "int64", "boolean": "bool"}


def synthetic_row(schema: "Schema | TensorSchema", predict: Callable[[Any], Any]) -> Any:
    """Make one row that a model predicts for, a table or an array; none if that cannot be guessed.

    A column whose value the model's validation refuses by name gets another one. An array holds
    zeros.
    """
    if isinstance(schema, TensorSchema):
        try:
            predict(row := schema.example())
        except Exception:
            return None
        return row
    waiting = {column.name: _candidates(column) for column in schema.columns}
    values = {name: next(candidates) for name, candidates in waiting.items()}
    while True:
        row = schema.table({name: [value] for name, value in values.items()})
        try:
            predict(row)
            return for_mlflow(schema, row)
        except Exception as error:
            wrong = {str(failure.column) for failure in getattr(error, "failures", None) or ()}
        try:
            if not wrong or not wrong <= values.keys():
                return None
            values |= {name: next(waiting[name]) for name in wrong}
        except StopIteration:
            return None


def _candidates(column: "Column") -> Iterator[Any]:
    """Yield values of a column's type, beginning with those that its limits name."""
    limits = column.about
    yield from limits.get("enum", ())
    if "minimum" in limits and "maximum" in limits and column.type in ("double", "float"):
        yield (limits["minimum"] + limits["maximum"]) / 2
    yield from (limits[limit] for limit in ("minimum", "maximum") if limit in limits)
    yield from column.categories or _CANDIDATES[column.type]


def for_mlflow(schema: "Schema | TensorSchema", rows: Any) -> Any:
    """Return rows of the schema in the types that MLflow's signature has for them."""
    import pandas as pd

    if isinstance(schema, TensorSchema):
        return rows

    columns = {}
    for column in schema.columns:
        if column.label in rows.columns:
            values, kind = rows[column.label].to_list(), mlflow_type(column)
            if kind == "datetime":
                times = pd.to_datetime([form(each) for each in values], utc=True, format="ISO8601")
                columns[column.name] = times.tz_localize(None).as_unit("ns")
                continue
            if kind != "binary":
                values = [form(value) for value in values]
            dtype = "object" if None in values else _IN_PANDAS.get(kind, "object")
            columns[column.name] = pd.Series(values, dtype="float64" if kind == "double" else dtype)
    return pd.DataFrame(columns)
