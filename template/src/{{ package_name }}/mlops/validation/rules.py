"""The rules of a pandera model as NumPy checks them: all columns at once, yes or no.

pandera takes milliseconds for a table, however small, which is longer than a prediction. What
holds here surely holds for pandera; everything else is pandera's to judge, and to name.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import pandera.pandas as pa

# The statistics of pandera's checks that bound a number from below and from above.
_BOUNDS = {
    "greater_than": ("min_value", None),
    "greater_than_or_equal_to": ("min_value", None),
    "less_than": (None, "max_value"),
    "less_than_or_equal_to": (None, "max_value"),
    "in_range": ("min_value", "max_value"),
}


class Rules(NamedTuple):
    """What the columns of a table of floats must be.

    Attributes:
        low: the least that each column may hold.
        high: the most that each column may hold.
        codes: the columns that hold nothing but these numbers.
    """

    low: np.ndarray[Any, Any]
    high: np.ndarray[Any, Any]
    codes: tuple[tuple[int, np.ndarray[Any, Any]], ...]

    def hold(self, values: np.ndarray[Any, Any]) -> bool:
        """Tell whether every rule holds for all rows; a missing value breaks each."""
        return bool(
            ((values >= self.low) & (values <= self.high)).all()
            and all(np.isin(values[:, column], allowed).all() for column, allowed in self.codes)
        )


def rules_of(schema: pa.DataFrameSchema) -> Rules | None:
    """Read the rules of a pandera schema; none when it asks for more than can be checked here."""
    if not _asks_for_nothing_else(schema):
        return None
    columns = list(schema.columns.values())
    low, high = np.full(len(columns), -np.inf), np.full(len(columns), np.inf)
    codes = []
    for number, column in enumerate(columns):
        for check in column.checks:
            if not _is_plain(check):
                return None
            limits = check.statistics or {}
            if check.name == "isin":
                codes.append((number, np.array(sorted(limits["allowed_values"]), dtype=float)))
                continue
            least, most = _interval(check.name, limits)
            low[number], high[number] = max(low[number], least), min(high[number], most)
    return Rules(low, high, tuple(codes))


def _asks_for_nothing_else(schema: pa.DataFrameSchema) -> bool:
    """Tell whether a schema is one of columns of floats with checks, and nothing beyond."""
    columns = {
        name: pa.Column("float64", column.checks, nullable=column.nullable, **_in_words(column))
        for name, column in schema.columns.items()
    }
    return bool(schema == pa.DataFrameSchema(columns, name=schema.name, **_in_words(schema)))


def _in_words(described: pa.Column | pa.DataFrameSchema) -> dict[str, Any]:
    return {key: getattr(described, key) for key in ("title", "description", "metadata")}


def _is_plain(check: pa.Check) -> bool:
    """Tell whether a check is one of those known here, of numbers, with no option of its own."""
    limits = check.statistics or {}
    if check.name == "isin":
        numbers = list(limits.get("allowed_values", [None]))
    elif check.name in _BOUNDS:
        numbers = [limits.get(key) for key in _BOUNDS[check.name] if key]
    else:
        return False
    if not all(_is_finite(number) for number in numbers):
        return False
    return bool(check == getattr(pa.Check, check.name)(**limits))


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _interval(name: str, limits: dict[str, Any]) -> tuple[float, float]:
    """Give the least and the most number that a check lets through."""
    low_key, high_key = _BOUNDS[name]
    low = float(limits[low_key]) if low_key else -math.inf
    high = float(limits[high_key]) if high_key else math.inf
    if name == "greater_than" or not limits.get("include_min", True):
        low = math.nextafter(low, math.inf)
    if name == "less_than" or not limits.get("include_max", True):
        high = math.nextafter(high, -math.inf)
    return low, high
