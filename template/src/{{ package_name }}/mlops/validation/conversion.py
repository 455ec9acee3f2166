"""Columns as CSV, JSON or another reader gives them, in the types that a schema declares.

A value is converted where it can mean one thing only: the whole number 3 as a float, 3.0 as a whole
number, the text 2026-01-31 as a time. Nothing is guessed: 1 is neither true nor a text, 31/01/2026
is no time. A time without a zone is UTC.
"""

import re
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype, is_bool, is_scalar
from pandera.engines import pandas_engine

Values: TypeAlias = "pd.Series[Any]"  # Of a column.

_RULES = {
    "f": "must be a number",
    "i": "must be a whole number",
    "u": "must be a whole number",
    "b": "must be true or false",
    "U": "must be a text",
    "M": "must be a time, as 2026-01-31T12:00:00",
    "m": "must be a duration, as 1 days 02:30:00",
    "D": "must be a date, as 2026-01-31",
}
# As pandas reads and writes them in CSV.
_TRUTHS = dict.fromkeys(("true", "True", "TRUE"), True)
_TRUTHS |= dict.fromkeys(("false", "False", "FALSE"), False)


class Converted(NamedTuple):
    """A column in its declared type, or in one that can hold gaps where it has to."""

    values: Values
    wrong: list[int]  # Rows whose values cannot be converted, and are gaps now.


def convert(values: Values, declared: Any) -> Converted:
    """Convert a column to a type of pandera's; one that is not known here stays as it is."""
    kind, target = kind_of(declared), getattr(declared, "type", None)
    if not kind or (kind != "D" and values.dtype == target):
        return Converted(values, [])
    found = _CONVERSIONS[kind](values, target)
    gaps = found.isna()
    wrong = np.flatnonzero(gaps & values.notna()).tolist()
    if kind == "U" and isinstance(target, np.dtype):
        found = found.astype(object)
    elif kind != "D" and not (gaps.any() and holds_no_gaps(declared)):
        found = found.astype(target)
    return Converted(found, wrong)


def kind_of(declared: Any) -> str:
    """Return NumPy's letter for what a type of pandera's holds; C is a category, D a date."""
    target = getattr(declared, "type", None)
    if isinstance(declared, pandas_engine.Date):
        return "D"
    if isinstance(target, pd.CategoricalDtype):
        return "C"
    if isinstance(target, pd.StringDtype):
        return "U"
    if isinstance(target, pd.SparseDtype) or getattr(declared, "time_zone_agnostic", False):
        return ""
    kind = getattr(target, "kind", "")
    return kind if kind in _CONVERSIONS else ""


def holds_no_gaps(declared: Any) -> bool:
    """Return whether a type of pandera's has no value that stands for a missing one."""
    target = getattr(declared, "type", None)
    return isinstance(target, np.dtype) and target.kind in "iub"


def rule_of(declared: Any) -> str:
    """Say what values of a type have to be."""
    kind = kind_of(declared)
    if kind == "C" and declared.type.categories is not None:
        return f"must be {one_of(declared.type.categories)}"
    rule = _RULES.get(kind, f"must be of the type {declared}")
    if kind in ("i", "u") and (limits := _limits(declared.type)).dtype != "int64":
        return f"{rule} from {limits.min} to {limits.max}"
    return rule


def one_of(allowed: Iterable[Any]) -> str:
    """List the values that are allowed."""
    texts = [repr(value) if isinstance(value, str) else str(value) for value in allowed]
    if len(texts) > 12:
        texts[10:] = [f"{len(texts) - 10} others"]
    return " or ".join(texts)


def _each(values: Values, one: Callable[[Any], Any]) -> list[Any]:
    """Convert value by value; what cannot be converted becomes a gap, as gaps do."""

    def convert(value: Any) -> Any:
        try:
            return None if is_scalar(value) and pd.isna(value) else one(value)
        except (TypeError, ValueError, ArithmeticError):
            return None

    return [convert(value) for value in values]


def _numbers(values: Values, target: Any) -> Values:
    if values.dtype.kind in "iuf":
        floats = values.to_numpy("float64", na_value=np.nan)
    else:
        floats = np.array(_each(values, _number), dtype="float64")
    with np.errstate(over="ignore"):
        found = pd.Series(floats, values.index).astype(target)
    if target.itemsize < floats.itemsize:
        too_large = np.isinf(found.to_numpy("float64", na_value=np.nan)) & np.isfinite(floats)
        found = found.mask(too_large)
    return found


def _number(value: Any) -> float:
    # float(True) is 1.0, but an age is never "true"; float("1_0") is 10.0 for programmers alone.
    if is_bool(value) or "_" in str(value):
        raise ValueError(value)
    return float(value)


def _whole_numbers(values: Values, target: Any) -> Values:
    limits = _limits(target)
    if values.dtype.kind in "iuf":
        plain = values.to_numpy(getattr(values.dtype, "numpy_dtype", values.dtype), na_value=0)
        with np.errstate(invalid="ignore"):
            fits = (plain >= limits.min) & (plain < limits.max + 1) & (plain % 1 == 0)
        fits &= values.notna().to_numpy()
    else:
        found = _each(values, _whole_number)
        fits = np.array([one is not None and limits.min <= one <= limits.max for one in found])
        plain = np.array([one or 0 for one in found], dtype=object)
    whole = np.where(fits, plain, 0).astype(limits.dtype)
    return pd.Series(pd.arrays.IntegerArray(whole, ~fits), values.index)


def _whole_number(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]+\s*", value):
        return int(value)  # Exact, however large.
    number = value if isinstance(value, int | np.integer) else _number(value)
    if is_bool(value) or int(number) != number:
        raise ValueError(value)
    return int(number)


def _limits(target: Any) -> Any:
    return np.iinfo(getattr(target, "numpy_dtype", target))


def _booleans(values: Values, _: Any) -> Values:
    if values.dtype.kind != "b" and infer_dtype(values, skipna=True) != "boolean":
        found = _each(values, lambda value: bool(value) if is_bool(value) else _TRUTHS.get(value))
        return pd.Series(pd.array(found, dtype="boolean"), values.index)
    return values.astype("boolean")


def _texts(values: Values, _: Any) -> Values:
    texts = values.astype(object)
    if infer_dtype(texts, skipna=True) not in ("string", "empty"):
        texts = texts.where(texts.map(lambda value: isinstance(value, str)))
    return texts


def _times(values: Values, target: Any) -> Values:
    if values.dtype.kind == "M":
        times = values.dt.tz_convert("UTC") if values.dt.tz else values.dt.tz_localize("UTC")
    else:
        if not isinstance(values.dtype, pd.StringDtype):  # A number would be nanoseconds.
            values = values.where(values.map(lambda value: isinstance(value, str | date)))
        values = values.where(~values.isin(["now", "today"]))  # pandas knows what time it is.
        times = pd.to_datetime(values.astype(object), format="ISO8601", utc=True, errors="coerce")
    earliest, latest = (limit.tz_localize("UTC") for limit in (pd.Timestamp.min, pd.Timestamp.max))
    times = times.where(times.between(earliest, latest)).dt.as_unit("ns")
    zone = getattr(target, "tz", None)
    return times.dt.tz_convert(zone)  # None: as UTC has it, without a zone.


def _durations(values: Values, _: Any) -> Values:
    def is_duration(value: Any) -> bool:  # "5" would be nanoseconds.
        return isinstance(value, timedelta) or (
            isinstance(value, str) and bool(re.search("[a-zA-Z:]", value))
        )

    known = values.astype(object).where(values.map(is_duration))
    return pd.Series(pd.to_timedelta(known, errors="coerce"), values.index)


def _categories(values: Values, target: Any) -> Values:
    if target.categories is None:
        return values.astype("category")
    codes = target.categories.get_indexer(values)  # -1 for what is none of them.
    return pd.Series(pd.Categorical.from_codes(codes, dtype=target), values.index)


def _dates(values: Values, _: Any) -> Values:
    if infer_dtype(values, skipna=True) == "date":
        return values
    times = _times(values, None)
    return times.where(times == times.dt.normalize()).dt.date.astype(object)


_CONVERSIONS: dict[str, Callable[[Values, Any], Values]] = {
    "f": _numbers,
    "i": _whole_numbers,
    "u": _whole_numbers,
    "b": _booleans,
    "U": _texts,
    "M": _times,
    "m": _durations,
    "C": _categories,
    "D": _dates,
}
