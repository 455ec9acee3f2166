"""A column of a table of pandas or Polars, turned into what training had of it."""

import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from .columns import Column, array_of, built, is_gap, read_values

_NUMBERS = {"double", "float", "long", "integer"}


def column_of(column: Column, series: Any, library: str) -> Any:
    """Return a column of a file, or of a caller's table, as that library has it in training.

    A WrongValuesError names values that it cannot hold.
    """
    if library == "polars":
        is_right = not isinstance(series, pd.Series) and series.dtype == _polars_dtype(column)
        return series if is_right else polars_series(column, series.to_list(), is_file=True)
    found = _converted(column, series) if isinstance(series, pd.Series) else None
    return array_of(column, series.to_list(), is_file=True) if found is None else found


def _converted(column: Column, series: pd.Series) -> Any:
    """Convert a column as a whole, where nothing can be wrong with any value; else return None."""
    dtype, has = column.pandas_dtype, series.dtype
    if has == "object" or column.strict:
        return _objects(column, series) if column.dtype == "object" else None
    if column.type == "category":
        known = isinstance(has, pd.CategoricalDtype) and has.categories.isin(dtype.categories).all()
        return series.cat.set_categories(dtype.categories, dtype.ordered).array if known else None
    if has == dtype:
        return series.array
    if isinstance(dtype, np.dtype):
        if column.type in _NUMBERS and isinstance(has, np.dtype) and has.kind in "iuf":
            return _numbers(dtype, series.to_numpy())
    elif column.type == "string" and isinstance(has, pd.StringDtype):
        return series.astype(dtype).array
    return None


def _numbers(dtype: Any, values: Any) -> Any:
    if dtype.kind == "f":
        return values.astype(dtype)
    if values.dtype.kind == "f" and not (np.isfinite(values) & (values == np.trunc(values))).all():
        return values.astype("float64")
    limits = np.iinfo(dtype)
    fits = not len(values) or (limits.min <= values.min() and values.max() <= limits.max)
    return values.astype(dtype) if fits else None


def _objects(column: Column, series: pd.Series) -> Any:
    """Return objects that are all of the column's type, with its mark for a gap; else None."""
    kinds = {"string": "string", "binary": "bytes", "date": "date", "decimal": "decimal"}
    kind = pd.api.types.infer_dtype(series, skipna=True)
    if kind not in (kinds.get(column.type), "empty"):
        return None
    values = series.to_numpy(copy=True)
    values[series.isna().to_numpy()] = None if column.gap == "none" else np.nan
    return pd.Series(values, dtype=object)


# --- Polars ---


def polars_series(column: Column, values: Sequence[Any], is_file: bool = False) -> Any:
    """Make a column of Polars of values from JSON or a file."""
    pl: Any = import_module("polars")
    dtype = _polars_dtype(column)
    if column.type in ("datetime", "timedelta"):
        # By way of pandas, which reads texts, zones and parts of a second.
        match = re.search(r"\[(\w+)", column.dtype)
        kind = "datetime64" if column.type == "datetime" else "timedelta64"
        plain = Column(column.name, column.type, f"{kind}[{match[1] if match else 'us'}]")
        series = pl.Series(column.name, np.asarray(array_of(plain, values, is_file)))
        if zone := getattr(dtype, "time_zone", None):
            series = series.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
        return series.cast(dtype)
    read = read_values(column, values, is_file)
    return built(_series, column, [None if is_gap(each) else each for each in read])


def _series(column: Column, values: Sequence[Any]) -> Any:
    pl: Any = import_module("polars")
    dtype = _polars_dtype(column)
    if column.type in _NUMBERS:
        fractions = any(value is not None and value != value // 1 for value in values)
        dtype = pl.Float64 if fractions and dtype.is_integer() else dtype
        number = int if dtype.is_integer() else float
        values = [None if value is None else number(value) for value in values]
    return pl.Series(column.name, values, dtype=dtype)


def _polars_dtype(column: Column) -> Any:
    pl: Any = import_module("polars")
    name, _, more = column.dtype.rstrip("]").partition("[")
    if name in ("Datetime", "Duration"):
        return getattr(pl, name)(*more.split(", "))
    if name == "Enum":
        return pl.Enum(column.categories)
    if name == "Decimal":
        return pl.Decimal(*map(int, more.split(", ")))
    kind = getattr(pl, name)
    if not (isinstance(kind, type) and issubclass(kind, pl.DataType)):  # A file says so.
        raise TypeError(f"{name} is no data type of Polars")
    return kind()


def polars_dtype_text(dtype: Any) -> str:
    """Write a data type of Polars as a column's dtype, with what it is made with."""
    name = str(dtype.base_type().__name__)
    parts = {"Datetime": ("time_unit", "time_zone"), "Duration": ("time_unit",)}
    parts["Decimal"] = ("precision", "scale")
    found = [getattr(dtype, part) for part in parts.get(name, ())]
    made = ", ".join(str(each) for each in found if each is not None)
    return f"{name}[{made}]" if made else name
