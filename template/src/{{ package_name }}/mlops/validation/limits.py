"""The usual rules of a pandera schema, checked without pandera.

It takes milliseconds for a table, however small, which is longer than a prediction. What is
accepted here pandera would accept, unchanged; all else is left to it: a rule that is not known, a
value that is not sure, a table of many rows, for which its milliseconds are few.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
import pandera.pandas as pa

from ..mlflow_internals import column_arrays
from .conversion import kind_of

# Of a table that is checked value by value.
_MAX_ROWS = 1_000
_COPY_ON_WRITE = int(pd.__version__.partition(".")[0]) >= 3
_EXACT = 2**53  # Whole numbers beyond are none that a float can be.

Test = Callable[[Any], bool]


class Limits(NamedTuple):
    """The rules of all columns of a schema."""

    columns: Mapping[str, "Limit"]
    names: list[str]
    block: "Block | None"  # If all are floats.

    def passed(self, data: pd.DataFrame) -> pd.DataFrame | None:
        """Return a copy of a table that has the declared columns and types and keeps all rules.

        A table of numbers may hold whole ones where floats are declared.
        """
        if data.columns.tolist() != self.names:
            return None
        if self.block:
            values = data.to_numpy()
            if values.dtype.kind in "iuf":
                values = np.array(values, dtype="float64")
                if self.block.holds(values):
                    return pd.DataFrame(values, data.index, data.columns, copy=False)
            return None
        if len(data) <= _MAX_ROWS and all(
            map(Limit.holds, self.columns.values(), column_arrays(data))
        ):
            return data.copy(deep=not _COPY_ON_WRITE)
        return None

    def hold(self, table: pd.DataFrame) -> bool:
        """Return whether columns in any order have the declared types and keep the rules, for sure.

        Columns that are not known may be any.
        """
        if self.block and table.columns.tolist() == self.names:
            values = table.to_numpy()
            if values.dtype == "float64" and self.block.holds(values):
                return True
        known = (
            (self.columns.get(name), each)
            for name, each in zip(table.columns, column_arrays(table), strict=True)
        )
        return len(table) <= _MAX_ROWS and all(limit.holds(each) for limit, each in known if limit)


class Limit(NamedTuple):
    """What values of one column may be."""

    type: Any  # Of pandas.
    test: Test
    is_unique: bool
    is_category: bool
    is_text: bool

    def holds(self, array: Any) -> bool:
        """Return whether the array of a column has the type, and each value passes the test."""
        if self.is_category:
            return (
                isinstance(array.dtype, pd.CategoricalDtype)
                and (self.type.categories is None or array.dtype == self.type)
                and all(map(self.test, array.codes.tolist()))
            )
        if array.dtype != self.type:
            return False
        # Texts are Arrow's, which makes its own a list in a tenth of the time that pandas takes.
        values = array.__arrow_array__().to_pylist() if self.is_text else array.tolist()
        try:
            return all(map(self.test, values)) and not (
                self.is_unique and len(set(values)) < len(values)
            )
        except (TypeError, AttributeError):  # Of a gap.
            return False


class Block(NamedTuple):
    """The bounds of each column of a table of floats, and columns that hold only some numbers."""

    low: np.ndarray[Any, Any]
    high: np.ndarray[Any, Any]
    allowed: tuple[tuple[int, np.ndarray[Any, Any]], ...]

    def holds(self, values: np.ndarray[Any, Any]) -> bool:
        """Return whether every rule holds for all rows; a missing value breaks each."""
        return bool(
            ((values >= self.low) & (values <= self.high)).all()
            and all(np.isin(values[:, column], numbers).all() for column, numbers in self.allowed)
        )


def limits_of(schema: pa.DataFrameSchema) -> Limits | None:
    """Return the rules of a pandera schema; none if it asks for more than is known here."""
    if not schema.columns or schema.index is not None or schema != _plain(schema):
        return None
    limits = {name: _limit(column, schema.coerce) for name, column in schema.columns.items()}
    known = {name: limit for name, limit in limits.items() if limit}
    return Limits(known, list(known), _block(schema)) if len(known) == len(limits) else None


def _plain(schema: pa.DataFrameSchema) -> pa.DataFrameSchema:
    """Return a schema of the same columns and checks, each without options, and nothing beyond."""

    def same(described: Any, *names: str) -> dict[str, Any]:
        texts = ("name", "title", "description", "metadata")
        return {name: getattr(described, name) for name in (*names, *texts)}

    columns = {}
    for name, column in schema.columns.items():
        known = [check for check in column.checks if check.name in _TESTS and check.statistics]
        checks = [getattr(pa.Check, check.name)(**check.statistics) for check in known]
        options = same(column, "nullable", "unique", "coerce", "required", "report_duplicates")
        columns[name] = pa.Column(column.dtype, checks, **options)
    return pa.DataFrameSchema(columns, **same(schema, "strict", "coerce", "ordered"))


def _limit(column: pa.Column, is_coerced: bool) -> Limit | None:
    kind, declared = kind_of(column.dtype), getattr(column.dtype, "type", None)
    if not kind or (kind in "CD" and (column.checks or column.unique)):
        return None
    try:
        tests = [_TESTS[check.name](check.statistics, kind, declared) for check in column.checks]
    except (TypeError, ValueError, OverflowError):
        return None
    may_miss = column.nullable and not column.unique  # Two gaps are the same to pandera.
    if kind == "C":
        return Limit(declared, lambda code: may_miss or code >= 0, False, True, False)
    if isinstance(declared, np.dtype) and kind in "UD":  # To pandas, these are any objects.
        if is_coerced or column.coerce:  # Which changes what stands for a gap.
            return None
        declared, only = np.dtype(object), str if kind == "U" else date
        tests.insert(0, lambda value: type(value) is only)
    is_text = getattr(declared, "storage", "") == "pyarrow"
    return Limit(declared, _joined(tests, may_miss), column.unique, False, is_text)


def _joined(tests: list[Test], may_miss: bool) -> Test:
    test = tests[0] if len(tests) == 1 else lambda value: all(each(value) for each in tests)
    # What stands for a missing value is not equal to itself, or says that it does not know.
    if may_miss:
        return lambda value: (
            value is None or value is pd.NA or value != value or test(value)  # noqa: PLR0124
        )
    return lambda value: value is not None and value == value and test(value)  # noqa: PLR0124


def _range(limits: Mapping[str, Any], kind: str, declared: Any, is_open: bool = False) -> Test:
    if kind not in "iufMm":
        raise TypeError(kind)
    low, high = (
        cast(Any, _comparable(limits[name], kind, declared) if name in limits else None)
        for name in ("min_value", "max_value")
    )
    above = operator.gt if is_open or not limits.get("include_min", True) else operator.ge
    below = operator.lt if is_open or not limits.get("include_max", True) else operator.le
    if low is None:
        return lambda value: below(value, high)
    if high is None:
        return lambda value: above(value, low)
    return lambda value: above(value, low) and below(value, high)


def _member(limits: Mapping[str, Any], kind: str, declared: Any) -> Test:
    values = [limits["value"]] if "value" in limits else next(iter(limits.values()))
    if kind not in "iufUb" or isinstance(values, str) or (kind == "f" and declared.itemsize < 8):
        raise TypeError(kind)
    members = frozenset(_comparable(value, kind, declared) for value in values)
    if kind in "iu" and any(isinstance(value, float) for value in members):
        raise TypeError(kind)
    return members.__contains__


def _no_member(*arguments: Any) -> Test:
    is_member = _member(*arguments)
    return lambda value: not is_member(value)


def _text(limits: Mapping[str, Any], kind: str, _: Any, *, holds: Callable[..., bool]) -> Test:
    if kind != "U":
        raise TypeError(kind)
    return lambda value: holds(value, **limits)


def _has_length(
    text: str,
    min_value: int | None = None,
    max_value: int | None = None,
    exact_value: int | None = None,
) -> bool:
    length = len(text)
    if exact_value is not None:
        return length == exact_value
    return (min_value or 0) <= length and (max_value is None or length <= max_value)


def _pattern(limits: Mapping[str, Any], kind: str, _: Any, *, anywhere: bool) -> Test:
    if kind != "U" or not isinstance(limits["pattern"], str):
        raise TypeError(kind)
    pattern = re.compile(limits["pattern"])
    find = pattern.search if anywhere else pattern.match
    # Arrow, by which pandas may search, has other digits, letters, spaces and ends of a line.
    return lambda text: text.isascii() and text.isprintable() and find(text) is not None


def _comparable(value: Any, kind: str, declared: Any) -> Any:
    """Return a limit as pandas compares it with values of a type; an error if that is not sure."""
    if kind == "f" and _is_number(value):
        value = float(getattr(declared, "numpy_dtype", declared).type(value))
        is_sure = math.isfinite(value)
    elif kind in "iu" and _is_number(value):
        is_sure = abs(value) <= _EXACT and (kind == "i" or value >= 0)
    elif kind == "M" and isinstance(value, str | datetime):
        zone = getattr(declared, "tz", None)
        value = pd.Timestamp(value, tz=zone) if isinstance(value, str) else pd.Timestamp(value)
        is_sure = (value.tz is None) == (zone is None)
    elif kind == "m" and isinstance(value, timedelta):
        is_sure = True
    else:
        is_sure = type(value) is {"U": str, "b": bool}.get(kind)
    if not is_sure:
        raise ValueError(value)
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_open = partial(_range, is_open=True)
_TESTS: dict[str | None, Callable[..., Test]] = {
    "in_range": _range,
    "greater_than": _open,
    "less_than": _open,
    "greater_than_or_equal_to": _range,
    "less_than_or_equal_to": _range,
    "isin": _member,
    "equal_to": _member,
    "notin": _no_member,
    "not_equal_to": _no_member,
    "str_matches": partial(_pattern, anywhere=False),
    "str_contains": partial(_pattern, anywhere=True),
    "str_startswith": partial(_text, holds=lambda text, string: text.startswith(string)),
    "str_endswith": partial(_text, holds=lambda text, string: text.endswith(string)),
    "str_length": partial(_text, holds=_has_length),
}


def _block(schema: pa.DataFrameSchema) -> Block | None:
    columns = list(schema.columns.values())
    checks = [(number, check) for number, column in enumerate(columns) for check in column.checks]
    is_plain = all(column.dtype.type == "float64" and not column.unique for column in columns)
    if not is_plain or not all(check.name == "isin" or _bounds(check) for _, check in checks):
        return None
    low, high = np.full(len(columns), -np.inf), np.full(len(columns), np.inf)
    allowed = []
    for number, check in checks:
        if bounds := _bounds(check):
            low[number], high[number] = max(low[number], bounds[0]), min(high[number], bounds[1])
        else:
            values = sorted(check.statistics["allowed_values"])
            allowed.append((number, np.array(values, dtype=float)))
    return Block(low, high, tuple(allowed))


def _bounds(check: pa.Check) -> tuple[float, float] | None:
    """Return the least and the most number that a check accepts."""
    test = _TESTS[check.name]
    if test not in (_range, _open):
        return None
    limits: Mapping[str, Any] = check.statistics or {}
    low = float(limits.get("min_value", -math.inf))
    high = float(limits.get("max_value", math.inf))
    if test is _open or not limits.get("include_min", True):
        low = math.nextafter(low, math.inf) if low > -math.inf else low
    if test is _open or not limits.get("include_max", True):
        high = math.nextafter(high, -math.inf) if high < math.inf else high
    return low, high
