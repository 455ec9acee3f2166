"""A column of the model's input: what its values may be, and the array that training had of such.

A value is read alone, and may be wrong. What the array is made of is decided by all of them: whole
numbers are floats if one is missing or has a fraction, which is what pandas reads from a file.
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

_ISO_TIME = re.compile(
    r"\d{4}-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d([.,]\d+)?)?)?\s?(Z|[+-]\d\d(:?\d\d)?)?)?)?"
)
_DURATION = re.compile(r"[+-]?P.+|[+-]?\d+ days?.*|[+-]?\d+:\d\d.*")
_MOST_LISTED = 5
_MOST_WRONG = 100
_LENGTH_OF_DATE = 10


Builder = Callable[["Column", Sequence[Any]], Any]


class WrongValuesError(Exception):
    """Values that are none of a column's: the rule in words, and their rows, counted from 1."""

    def __init__(self, rule: str, cases: Sequence[tuple[int, Any]]) -> None:
        super().__init__(rule)
        self.rule, self.cases = rule, cases


@dataclass(frozen=True)
class Column:
    """A column: its values are of a type, and its array has the dtype that training had."""

    name: str
    type: str
    dtype: str = "object"
    nullable: bool = True  # Training had gaps, or the schema allows them.
    required: bool = True
    is_id: bool = False  # Passes to the predictions.
    strict: bool = False  # Neither gaps nor fractions, as the model's signature has it.
    gap: str = "nan"  # What a missing value is in an array of objects: "nan" or "none".
    number: int | None = None  # Its name in the table, where that is a number.
    categories: tuple[Any, ...] = ()
    of: str = ""  # The dtype of the categories.
    ordered: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)  # Limits and texts, as in JSON Schema.

    @property
    def label(self) -> Any:
        """The column's name in the table."""
        return self.name if self.number is None else self.number

    @cached_property
    def pandas_dtype(self) -> Any:
        """The dtype in this pandas: before version 3 texts are objects."""
        if self.type == "category":
            categories = pd.Index(self.categories, dtype=_dtype(self.of))
            return pd.CategoricalDtype(categories, self.ordered)
        return _dtype(self.dtype)

    @cached_property
    def by_text(self) -> Mapping[str, Any]:
        """The categories by their texts."""
        return {str(category): category for category in self.categories}

    @property
    def rule(self) -> str:
        """What its values must be, in words."""
        if self.type != "category":
            is_any = self.type in ("long", "integer") and not self.strict
            return _RULES["double" if is_any else self.type]
        more = len(self.categories) - _MOST_LISTED
        listed = ", ".join(map(str, self.categories[:_MOST_LISTED]))
        return f"must be one of {listed}{f' and {more} more' if more > 0 else ''}"


def _dtype(text: str) -> Any:
    dtype = pd.api.types.pandas_dtype(text)
    return np.dtype("object") if dtype.kind in "US" else dtype


_RULES = {
    "boolean": "must be true or false",
    "integer": "must be a whole number",
    "long": "must be a whole number",
    "float": "must be a number",
    "double": "must be a number",
    "decimal": "must be a number",
    "string": "must be a text",
    "datetime": "must be a time, as 2026-01-31T12:00:00",
    "date": "must be a date, as 2026-01-31",
    "timedelta": "must be a duration, as P1DT2H or in seconds",
    "binary": "must be bytes in base64",
}


def array_of(column: Column, values: Sequence[Any], is_file: bool = False) -> Any:
    """Make a column's array of values from JSON, or of a file, where texts may be numbers.

    A WrongValuesError names the values that are of another type.
    """
    return built(_BUILDERS[column.type], column, read_values(column, values, is_file))


def read_values(column: Column, values: Sequence[Any], is_file: bool = False) -> Sequence[Any]:
    """Read each value as the column's type has it; a missing one is None or NaN."""
    fast = set() if column.strict else _FAST.get(column.type, set())
    if set(map(type, values)) <= fast:
        return values
    read = _READERS[column.type]
    clean: list[Any] = []
    wrong: list[tuple[int, Any]] = []
    for row, value in enumerate(values, 1):
        if type(value) in fast:
            clean.append(value)
            continue
        try:
            if is_gap(value):
                if column.strict:
                    raise ValueError
                clean.append(None)
            else:
                clean.append(read(column, value, is_file))
        except (ValueError, TypeError, ArithmeticError, AttributeError):
            wrong.append((row, value))
    if wrong:
        raise WrongValuesError(column.rule, wrong)
    return clean


def is_gap(value: Any) -> bool:
    """Return whether a value is missing: None, NaN, pandas' NA and NaT."""
    if type(value) is str:  # The usual one, which nothing below is.
        return False
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    return isinstance(value, float | np.floating | np.datetime64 | Decimal) and value != value  # noqa: PLR0124


def built(build: Builder, column: Column, values: Sequence[Any]) -> Any:
    """Build an array of values; a WrongValuesError names those that it cannot hold."""
    try:
        return build(column, values)
    except Exception as error:  # Polars' own have no base in common with Python's.
        wrong = _outside(column, values)
        rows = {row for row, _ in wrong}
        try:
            build(column, [None if row in rows else one for row, one in enumerate(values, 1)])
        except Exception:
            wrong = _wrong(build, column, values)
        rule = "is too large a number" if isinstance(error, OverflowError) else column.rule
        raise WrongValuesError(rule, wrong or list(enumerate(values, 1))) from error


def _outside(column: Column, values: Sequence[Any]) -> list[tuple[int, Any]]:
    """List numbers and times that are beyond what the column's type holds, of any count at once."""
    if column.type == "datetime":
        times = pd.to_datetime(list(values), utc=True, format="ISO8601", errors="coerce")
        found = enumerate(zip(values, times.isna(), strict=True), 1)
        return [(row, value) for row, (value, is_lost) in found if is_lost and not is_gap(value)]
    name = column.dtype.partition("[")[0].lower()
    if column.type not in _OF_NUMBERS or name not in np.sctypeDict:
        return []
    dtype = np.dtype(name)
    limits: Any = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo("float64")
    lowest, highest = int(limits.min), int(limits.max)
    if isinstance(column.pandas_dtype, np.dtype):  # Beyond it, the array is one of int64.
        lowest, highest = min(lowest, -(2**63)), max(highest, 2**63 - 1)
    return [
        (row, value)
        for row, value in enumerate(values, 1)
        if not is_gap(value) and value == value // 1 and not lowest <= value <= highest
    ]


def _wrong(
    build: Builder, column: Column, values: Sequence[Any], first: int = 1
) -> list[tuple[int, Any]]:
    """Find what cannot be built by halves: one value alone takes as long as hundreds together."""
    with suppress(Exception):
        build(column, values)
        return []
    if len(values) == 1:
        return [(first, values[0])]
    half = len(values) // 2
    found = _wrong(build, column, values[:half], first)
    if len(found) >= _MOST_WRONG:
        return found
    return found + _wrong(build, column, values[half:], first + half)


# --- One value ---


def _number(column: Column, value: Any, is_file: bool) -> Any:
    if isinstance(value, bool | np.bool):  # It is 1 to Python, and an age is never "true".
        raise TypeError
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Decimal) or (is_file and isinstance(value, str)):
        value = float(value)
    if not isinstance(value, int | float):
        raise TypeError
    if column.strict:
        limits = np.iinfo(column.dtype)
        if value != int(value) or not limits.min <= value <= limits.max:
            raise ValueError
        return int(value)
    return value


def _boolean(_: Column, value: Any, is_file: bool) -> bool:
    if is_file and value in _WORDS:
        return _WORDS[value]
    return bool(value) if isinstance(value, bool | np.bool) else _refuse(value)


_WORDS = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}


def _refuse(value: Any) -> Any:
    raise ValueError(value)


def _text(_: Column, value: Any, __: bool) -> str:
    return value if isinstance(value, str) else _refuse(value)


def _time(_: Column, value: Any, __: bool) -> Any:
    if isinstance(value, str):
        return value if _ISO_TIME.fullmatch(value) else _refuse(value)
    return value if isinstance(value, date | np.datetime64) else _refuse(value)


def _date(_: Column, value: Any, __: bool) -> date:
    if isinstance(value, str) and len(value) > _LENGTH_OF_DATE:
        value = datetime.fromisoformat(value)  # MLflow's clients write midnight.
    if isinstance(value, str):
        return date.fromisoformat(value)
    if isinstance(value, datetime):
        whole = value.date()
        return whole if pd.Timestamp(value) == pd.Timestamp(whole) else _refuse(value)
    return value if isinstance(value, date) else _refuse(value)


def _duration(_: Column, value: Any, __: bool) -> pd.Timedelta:
    if isinstance(value, bool | str) and not (isinstance(value, str) and _DURATION.match(value)):
        raise ValueError
    unit = {"unit": "s"} if isinstance(value, int | float) else {}
    return pd.Timedelta(value, **unit) if isinstance(value, _DURATIONS) else _refuse(value)


_DURATIONS = (int, float, str, timedelta, np.timedelta64)


def _decimal(_: Column, value: Any, __: bool) -> Decimal:
    if isinstance(value, bool):
        raise TypeError
    return value if isinstance(value, Decimal) else Decimal(str(value))


def _bytes(_: Column, value: Any, __: bool) -> bytes:
    if isinstance(value, bytes):
        return value
    return base64.b64decode(value.replace("\n", ""), validate=True)  # MLflow's clients write lines.


def _category(column: Column, value: Any, _: bool) -> Any:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = value if str(value) in column.by_text else int(value)  # A column with gaps.
    try:
        return column.by_text[str(value)]
    except KeyError:
        raise ValueError from None


_OF_NUMBERS = ("double", "float", "long", "integer")
# Of these all values are right as they are.
_FAST: dict[str, set[type]] = {
    **{kind: {float, int, type(None)} for kind in _OF_NUMBERS},
    "boolean": {bool, type(None)},
    "string": {str, type(None)},
}
_READERS: dict[str, Callable[[Column, Any, bool], Any]] = {
    **dict.fromkeys(_OF_NUMBERS, _number),
    "boolean": _boolean,
    "string": _text,
    "datetime": _time,
    "date": _date,
    "timedelta": _duration,
    "decimal": _decimal,
    "binary": _bytes,
    "category": _category,
}


# --- All values of a column ---


def _objects(column: Column, values: Sequence[Any]) -> Any:
    gap: Any = None if column.gap == "none" else np.nan
    if column.dtype == "bytes":  # MLflow has them so.
        gap = b""
    found = np.empty(len(values), dtype=object)
    found[:] = [gap if is_gap(value) else value for value in values]
    return pd.Series(found, dtype=object)  # A plain array of texts would be no objects in pandas 3.


def _numbers(column: Column, values: Sequence[Any]) -> Any:
    dtype = column.pandas_dtype
    if isinstance(dtype, np.dtype) and dtype.kind == "f":
        return np.array(values, dtype=dtype)
    if dtype == "object":
        return _objects(column, values)
    gaps = any(value is None or value != value for value in values)  # noqa: PLR0124
    if not all(value is None or value == value // 1 for value in values if not is_gap(value)):
        # Fractions, and infinities, where training had none.
        kind = "float64" if isinstance(dtype, np.dtype) else "Float64"
        return _floats(kind, values)
    if isinstance(dtype, np.dtype):
        return _floats("float64", values) if gaps else _whole(dtype, values)
    if dtype.kind == "f":
        return _floats(dtype, values)
    return pd.array([None if is_gap(value) else int(value) for value in values], dtype=dtype)


def _floats(dtype: Any, values: Sequence[Any]) -> Any:
    plain = np.array(values, dtype="float64")
    return plain if dtype == "float64" else pd.Series(plain).astype(dtype).array


def _whole(dtype: Any, values: Sequence[Any]) -> Any:
    numbers = [int(value) for value in values]
    try:
        return np.array(numbers, dtype=dtype)
    except OverflowError:
        return np.array(numbers, dtype="int64")


def _booleans(column: Column, values: Sequence[Any]) -> Any:
    dtype = column.pandas_dtype
    if isinstance(dtype, np.dtype):
        if dtype == "object" or any(value is None for value in values):
            return _objects(column, values)
        return np.array(values, dtype=bool)
    return pd.array(values, dtype=dtype)


def _texts(column: Column, values: Sequence[Any]) -> Any:
    if column.pandas_dtype == "object":
        return _objects(column, values)
    return pd.array(values, dtype=column.pandas_dtype)


def _times(column: Column, values: Sequence[Any]) -> Any:
    found = pd.DatetimeIndex(pd.to_datetime(list(values), utc=True, format="ISO8601"))
    dtype = column.pandas_dtype
    if dtype == "object":
        return _objects(column, found.tz_localize(None).to_pydatetime())
    zone = getattr(dtype, "tz", None)
    unit = dtype.unit if zone else np.datetime_data(dtype)[0]
    return in_unit(found.tz_convert(zone), unit)


def in_unit(index: Any, unit: str) -> Any:
    """Return times or durations in a unit, unless it is too coarse for them."""
    found = index.as_unit(unit)
    return found if (found == index)[~index.isna()].all() else index


def _durations(column: Column, values: Sequence[Any]) -> Any:
    found = pd.TimedeltaIndex([pd.NaT if value is None else value for value in values])
    return in_unit(found, np.datetime_data(column.pandas_dtype)[0])


def _categories(column: Column, values: Sequence[Any]) -> Any:
    return pd.Categorical(values, dtype=column.pandas_dtype)


_BUILDERS: dict[str, Builder] = {
    **dict.fromkeys(_OF_NUMBERS, _numbers),
    "boolean": _booleans,
    "string": _texts,
    "datetime": _times,
    "date": _objects,
    "timedelta": _durations,
    "decimal": _objects,
    "binary": _objects,
    "category": _categories,
}
