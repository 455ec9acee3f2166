"""Reads a model's schema from its validator and from the tables that training has read."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..backend.client import muted
from ..errors import TrackingError
from ..tracking.capture.foreign import is_a
from ..tracking.capture.inputs import is_table
from .columns import Column
from .frames import polars_dtype_text
from .schema import Schema
from .tensor_schema import TensorSchema

if TYPE_CHECKING:
    from mlflow.types import Schema as Signature
    from pandera.pandas import DataFrameSchema

# What pandas finds in objects, and a column's type.
_OF_OBJECTS = {
    "string": "string",
    "empty": "string",
    "boolean": "boolean",
    "integer": "double",
    "floating": "double",
    "mixed-integer-float": "double",
    "decimal": "decimal",
    "bytes": "binary",
    "date": "date",
    "datetime": "datetime",
}
_OF_KINDS = {"b": "boolean", "i": "long", "u": "long", "f": "double", "M": "datetime"}
_OF_KINDS |= {"m": "timedelta"}
_OF_POLARS = {
    "String": "string",
    "Categorical": "category",
    "Enum": "category",
    "Boolean": "boolean",
    "Date": "date",
    "Datetime": "datetime",
    "Duration": "timedelta",
    "Binary": "binary",
    "Decimal": "decimal",
    "Null": "string",
}


def model_schema(
    rows: Any, pandera: "DataFrameSchema | None" = None, trained_on: Iterable[Schema] = ()
) -> Schema | TensorSchema:
    """Return the schema of a model's input, of which `rows` are a table or an array.

    Types are those of the pandera schema, or else of the first table of the training that has all
    of its columns or most of them, or else of these rows, all of them.
    """
    if isinstance(rows, np.ndarray):
        return TensorSchema.of(rows)
    if not is_table(rows):
        raise TrackingError(
            f"The model's input is of the class {type(rows).__name__}: a model takes a table of "
            "pandas or Polars, or an array of NumPy."
        )
    found = of_table(rows)
    best: Mapping[str, Column] = {}
    for known in trained_on:
        columns = {name: known.by_name[name] for name in found.names if name in known.by_name}
        if known.library == found.library and len(columns) > len(best):
            best = columns
        if len(best) == len(found.names):
            break
    found = Schema(
        (replace(best.get(each.name, each), number=each.number) for each in found.columns),
        found.library,
    )
    return of_pandera(pandera, found) if pandera is not None else found


def signature_of(prediction: Any) -> "Signature | None":
    """Return what MLflow's signature says of a prediction; None if it has no words for it."""
    from mlflow.models import infer_signature

    if is_table(prediction):
        with suppress(TrackingError):
            return of_table(prediction).signature()
    quiet = muted("mlflow.models.signature")  # It warns about what it has no type for.
    with quiet, warnings.catch_warnings(), suppress(Exception):
        # 13 lines about integer columns, whatever the training data hold.
        warnings.filterwarnings("ignore", "Hint: Inferred schema", UserWarning)
        found: Signature | None = infer_signature(None, prediction).outputs
        return found
    return None


def of_table(table: Any) -> Schema:
    """Read the schema of a table of pandas or Polars, from all of its rows.

    A TrackingError names a column of a type that no request can carry.
    """
    if len({str(label) for label in table.columns}) < len(table.columns):
        raise TrackingError("Several columns of the model's input have the same name.")
    if is_a(table, "polars", "DataFrame"):
        return Schema(map(_of_polars, table.iter_columns()), "polars")
    columns = []
    for place, label in enumerate(table.columns):
        if not isinstance(label, str | int | np.integer):
            raise TrackingError(
                f"A column of the model's input is named {label!r}, which is neither a text nor a "
                "whole number: rename it."
            )
        column = _of_pandas(str(label), table.iloc[:, place])
        columns.append(replace(column, number=_number(label)))
    return Schema(columns)


def _number(label: Any) -> int | None:
    return int(label) if isinstance(label, int | np.integer) else None


def _of_pandas(name: str, series: pd.Series) -> Column:
    dtype, gaps = series.dtype, bool(series.hasnans)
    if isinstance(dtype, pd.CategoricalDtype):
        values, of = dtype.categories.tolist(), str(dtype.categories.dtype)
        if not all(isinstance(each, str | int | float) for each in values):
            raise _no_type(name, f"categories of the type {of}")
        return Column(
            name,
            "category",
            "category",
            gaps,
            categories=tuple(values),
            of=of,
            ordered=bool(dtype.ordered),
        )
    if isinstance(dtype, pd.StringDtype):
        return Column(name, "string", str(dtype), gaps)
    if dtype == "object":
        found = pd.api.types.infer_dtype(series, skipna=True)
        if found not in _OF_OBJECTS:
            raise _no_type(name, f"objects ({found})")
        has_none = gaps and any(value is None for value in series[series.isna()])
        return Column(name, _OF_OBJECTS[found], "object", gaps, gap="none" if has_none else "nan")
    if dtype.kind not in _OF_KINDS or not _is_known(dtype):
        raise _no_type(name, f"values of the type {dtype}")
    return Column(name, _OF_KINDS[dtype.kind], str(dtype), gaps)


def _is_known(dtype: Any) -> bool:
    with suppress(TypeError, ValueError, NotImplementedError):
        return bool(pd.api.types.pandas_dtype(str(dtype)) == dtype)
    return False


def _of_polars(series: Any) -> Column:
    dtype, gaps = series.dtype, series.null_count() > 0
    text = polars_dtype_text(dtype)
    kind = text.partition("[")[0]
    if dtype.is_integer() or dtype.is_float():
        return Column(series.name, "long" if dtype.is_integer() else "double", text, gaps)
    if kind not in _OF_POLARS:
        raise _no_type(series.name, f"values of the type {dtype}")
    categories: Sequence[str] = ()
    if kind == "Enum":
        categories = dtype.categories.to_list()
    elif kind == "Categorical":
        categories = sorted(series.drop_nulls().cast(str).unique())
    return Column(series.name, _OF_POLARS[kind], text, gaps, categories=tuple(categories), of="str")


def _no_type(name: str, what: str) -> TrackingError:
    return TrackingError(
        f"The column '{name}' of the model's input holds {what}, which no request can carry: make "
        "it numbers, texts, booleans, times or categories before it is the input."
    )


# --- pandera ---


def of_pandera(schema: "DataFrameSchema", table: Schema) -> Schema:
    """Let a pandera schema decide what it says of the columns of a table.

    Of a column whose type it leaves open, or says as the table has it, the table's is more exact.
    Columns that only the table has stay, unless the schema refuses or drops them.
    """
    found: dict[str, Column] = {}
    for pattern, declared in schema.columns.items():
        matching = _matching(pattern, table) if declared.regex else [str(pattern)]
        for name in matching:
            found[name] = _declared(name, declared, table.by_name.get(name))
    if schema.strict is False:
        found = {column.name: found.pop(column.name, column) for column in table.columns} | found
    return Schema(found.values(), table.library)


def _matching(pattern: Any, table: Schema) -> list[str]:
    return [str(name) for name in pd.Index(table.names)[pd.Index(table.names).str.match(pattern)]]


def _declared(name: str, declared: Any, known: Column | None) -> Column:
    column = known
    if dtype := getattr(declared.dtype, "type", None):
        open_ended = dtype == "object" or (str(dtype) == "category" and dtype.categories is None)
        if not (known and open_ended):
            column = _of_dtype(name, dtype)
            if known and known.type == column.type and not column.categories:
                column = known
    if column is None:
        raise TrackingError(
            f"The type of the column '{name}' of the model's input is not known: its schema leaves "
            "it open, and no table of the training has it."
        )
    about = dict(_about(declared, column))
    return replace(
        column,
        nullable=bool(declared.nullable) or declared.default is not None,
        required=bool(declared.required),
        is_id=bool((declared.metadata or {}).get("id")),
        about=about,
    )


def _of_dtype(name: str, dtype: Any) -> Column:
    if isinstance(dtype, type) or not hasattr(dtype, "kind"):  # One of Polars.
        return _of_polars(import_module("polars").Series(name, [], dtype=dtype))
    return _of_pandas(name, pd.Series([], dtype=dtype))


def _about(declared: Any, column: Column) -> Iterable[tuple[str, Any]]:
    """Yield what a pandera column says, in the words of JSON Schema."""
    for word in ("title", "description"):
        if text := getattr(declared, word):
            yield word, str(text)
    if column.type in ("long", "integer"):
        yield "type", "integer"
    if unit := (declared.metadata or {}).get("unit"):
        yield "x-unit", str(unit)
    for check in declared.checks:
        limits: Mapping[str, Any] = check.statistics or {}
        has_low, has_high = limits.get("include_min", True), limits.get("include_max", True)
        names = {
            "greater_than": {"min_value": "exclusiveMinimum"},
            "less_than": {"max_value": "exclusiveMaximum"},
            "greater_than_or_equal_to": {"min_value": "minimum"},
            "less_than_or_equal_to": {"max_value": "maximum"},
            "in_range": {
                "min_value": "minimum" if has_low else "exclusiveMinimum",
                "max_value": "maximum" if has_high else "exclusiveMaximum",
            },
            "str_length": {"min_value": "minLength", "max_value": "maxLength"},
            "str_matches": {"pattern": "pattern"},
            "isin": {"allowed_values": "enum"},
        }.get(check.name, {})
        for limit, word in names.items():
            value = limits.get(limit)
            if isinstance(value, str | int | float):
                yield word, value
            elif word == "enum" and value and all(isinstance(e, str | int | float) for e in value):
                yield word, sorted(value)
