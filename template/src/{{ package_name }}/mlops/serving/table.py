"""The table that a model takes: its columns by the signature, filled from what a request holds.

MLflow would do so itself, later. But it drops unknown columns without a word, names neither column
nor row of a wrong value, and takes longer over it than a small model over its prediction. Its
import would take a second and a hundred megabytes in each worker.
"""

import base64
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .app import RefusalError, listed, shortened, shown

Values = Sequence[Any]
_NUMBERS = {float, int, type(None)}


class Column(NamedTuple):
    """A column of a table, of one of MLflow's types of a value."""

    name: str
    type: str
    is_required: bool


def columns_of_signature(text: str | None) -> list[Column]:
    """Read the inputs or outputs that MLmodel holds; none unless named, with one value per row."""
    described = json.loads(text or "[]")
    if not all("name" in each and each["type"] in _TYPES for each in described):
        return []
    return [Column(each["name"], each["type"], each.get("required", True)) for each in described]


class Table:
    """The columns that a model's signature names, in its order."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.types = {column.name: column.type for column in columns}
        self.names = list(self.types)
        self._required = frozenset(column.name for column in columns if column.is_required)
        self._only_floats = set(self.types.values()) == {"double"}

    def frame(self, columns: Mapping[str, Values]) -> pd.DataFrame:
        """Make the model's input of columns of equal length, or refuse their names or values."""
        self.check_names(columns.keys())
        names = [name for name in self.names if name in columns]
        if self._only_floats:
            # One block, in a tenth of the time that a column each takes.
            block = np.empty((len(columns[names[0]]), len(names)))
            for place, name in enumerate(names):
                block[:, place] = _floats(np.float64, name, columns[name])
            return pd.DataFrame(block, columns=names, copy=False)
        typed = {name: _TYPES[self.types[name]](name, columns[name]) for name in names}
        return pd.DataFrame(typed)

    def check_names(self, found: Collection[str]) -> None:
        """Refuse columns that are not the signature's, naming what is missing and unknown."""
        if found == self.types.keys():
            return
        missing = [name for name in self.names if name in self._required and name not in found]
        unexpected = [name for name in found if name not in self.types]
        problems = []
        if missing:
            problems.append(f"missing columns: {listed(missing)}")
        if unexpected:
            named = listed(unexpected, show=lambda name: _with_guess(name, missing))
            problems.append(f"unexpected columns: {named}")
        if problems:
            raise RefusalError(f"The data is refused: {'; '.join(problems)}.")


def _with_guess(name: str, missing: list[str]) -> str:
    near = get_close_matches(name[:60].strip().lower().replace(" ", "_"), missing, n=1)
    return f"{shown(name)} (is it {near[0]}?)" if near else shown(name)


def _refuse(name: str, rule: str, values: Values, is_right: Callable[[Any], bool]) -> None:
    """Name the first rows whose values break a rule."""
    wrong = [(row, value) for row, value in enumerate(values, 1) if not is_right(value)]
    if wrong:
        examples = listed(wrong, 3, lambda one: f"data row {one[0]}: {shown(one[1])}")
        raise RefusalError(f"The data is refused: {shortened(name, 60)} {rule} ({examples}).")


def _can(convert: Callable[[Any], Any], value: Any) -> bool:
    try:
        convert(value)
    except (ValueError, OverflowError):
        return False
    return True


def _floats(kind: Any, name: str, values: Values) -> Any:
    """Return numbers; a missing one becomes NaN, which is for the model to judge."""
    if not set(map(type, values)) <= _NUMBERS:  # True is 1.0 to NumPy, and "1" as well.
        _refuse(name, "must be a number", values, lambda value: type(value) in _NUMBERS)
    try:
        return np.array(values, dtype=kind)
    except OverflowError:
        _refuse(name, "is too large a number", values, lambda one: one is None or _can(float, one))
        raise


def _whole_numbers(kind: Any, name: str, values: Values) -> Any:
    limits = np.iinfo(kind)

    def is_right(value: Any) -> bool:
        is_whole = type(value) is int or (type(value) is float and value.is_integer())
        return is_whole and limits.min <= value <= limits.max

    _refuse(name, "must be a whole number", values, is_right)
    return np.array(values, dtype=kind)


def _booleans(name: str, values: Values) -> Any:
    _refuse(name, "must be true or false", values, lambda value: type(value) is bool)
    return np.array(values, dtype=bool)


def _texts(name: str, values: Values) -> Any:
    # Missing is null, and the NaN that an empty field of CSV is read as.
    values = [None if value is None or value != value else value for value in values]  # noqa: PLR0124
    _refuse(name, "must be a text", values, lambda value: value is None or type(value) is str)
    return pd.Series(values, dtype=object)


def _times(name: str, values: Values) -> Any:
    texts = _texts(name, values)
    read = partial(pd.to_datetime, utc=True, format="ISO8601")
    _refuse(name, "must be a time, as 2026-01-31T12:00:00", texts, partial(_can, read))
    return read(texts).dt.tz_localize(None).astype("datetime64[ns]")


def _bytes(name: str, values: Values) -> Any:
    texts = _texts(name, values)
    _refuse(name, "must be bytes in base64", texts, partial(_can, _decode))
    return texts.map(_decode)


def _decode(text: str | None) -> bytes:
    return base64.b64decode(text or "", validate=True)


# MLflow's types of a value, and what makes them of the values in a request.
_TYPES: dict[str, Callable[[str, Values], Any]] = {
    "boolean": _booleans,
    "integer": partial(_whole_numbers, np.int32),
    "long": partial(_whole_numbers, np.int64),
    "float": partial(_floats, np.float32),
    "double": partial(_floats, np.float64),
    "string": _texts,
    "binary": _bytes,
    "datetime": _times,
}
