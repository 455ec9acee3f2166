"""What a model returns, as JSON and as tensors: one form of each value, in every protocol.

A missing value, NaN and infinity are null. Times, dates and durations are texts as ISO 8601 has
them, bytes are base64, categories and intervals are their texts.
"""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import pandas as pd

from .columns import is_gap


class Tensor(NamedTuple):
    """An output of KServe's protocol: its data are in one list, whatever its shape."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


def records(prediction: Any) -> Any:
    """Return a prediction for JSON: a table as one record per row, as MLflow does."""
    if isinstance(prediction, pd.Series):
        prediction = prediction.to_frame()
    if (columns := _columns(prediction)) is None:
        return _values(prediction) if isinstance(prediction, np.ndarray) else prediction
    names = [str(name) for name, _ in columns]
    rows = zip(*(values.to_list() for _, values in columns), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def _values(array: Any) -> Any:
    """Return an array as lists; NumPy would make whole numbers of times."""
    if array.dtype.kind in "mM":
        forms = [form(each) for each in array.reshape(-1)]
        array = np.array(forms, dtype=object).reshape(array.shape)
    return array.tolist()


def _columns(prediction: Any) -> list[tuple[Any, Any]] | None:
    """Return the columns of a table of pandas or Polars; None for anything else."""
    if isinstance(prediction, pd.DataFrame):
        return [(name, prediction.iloc[:, place]) for place, name in enumerate(prediction)]
    if _is_of_polars(prediction):
        table = prediction if hasattr(prediction, "iter_columns") else prediction.to_frame()
        return [(series.name, series) for series in table.iter_columns()]
    return None


def _is_of_polars(value: Any) -> bool:
    return f"{type(value).__module__}.".startswith("polars.") and hasattr(value, "to_dummies")


def encoded(content: Any) -> bytes:
    """Write JSON; a TypeError names the class of a value that has no form there."""
    try:
        return _strict.encode(content).encode()
    except (ValueError, TypeError):  # NaN, or a key that is no text.
        return _strict.encode(form(content)).encode()


def form(value: Any) -> Any:
    """Return a value as JSON has it; a TypeError names the class of one that it has not."""
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if is_gap(value):
        return None
    for kinds, convert in _FORMS:
        if isinstance(value, kinds):
            return convert(value)
    if _is_of_polars(value):
        return form(records(value) if hasattr(value, "columns") else value.to_list())
    raise TypeError(f"the class {type(value).__name__} has no form in JSON")


_strict = json.JSONEncoder(allow_nan=False, default=form)
_AS_THEY_ARE = {str, int, bool, type(None)}

# The first that fits.
_FORMS: list[tuple[Any, Any]] = [
    (Enum, lambda value: form(value.value)),
    (bool | str, lambda value: value),
    (int, int),
    (float, lambda value: value if math.isfinite(value) else None),
    (np.datetime64, lambda value: pd.Timestamp(value).isoformat()),
    (np.timedelta64, lambda value: pd.Timedelta(value).isoformat()),
    (np.generic, lambda value: form(value.item())),
    (Decimal, lambda value: form(float(value))),
    (date | time, lambda value: value.isoformat()),  # A Timestamp is a date too.
    (timedelta, lambda value: pd.Timedelta(value).isoformat()),
    (bytes, lambda value: base64.b64encode(value).decode()),
    (pd.Interval | pd.Period | UUID, str),
    (Mapping, lambda value: {str(key): form(one) for key, one in value.items()}),
    (list | tuple | set | frozenset, lambda value: [form(one) for one in value]),
    (np.ndarray, lambda value: form(_values(value))),
    (pd.Index | pd.api.extensions.ExtensionArray, lambda value: form(value.tolist())),
    (pd.Series, lambda value: form(value.to_list())),
    (pd.DataFrame, lambda value: form(records(value))),
]


# --- Tensors ---

# All datatypes of KServe's protocol; what is returned has a few of them.
DATATYPES = {
    *("BOOL", "BYTES", "FP16", "FP32", "FP64", "INT8", "INT16", "INT32", "INT64"),
    *("UINT8", "UINT16", "UINT32", "UINT64"),
}


def tensors(prediction: Any) -> list[Tensor]:
    """Return a prediction as tensors: a table or a dictionary as one each column.

    A ValueError says why it cannot be any.
    """
    if isinstance(prediction, list | tuple) and prediction and isinstance(prediction[0], Mapping):
        prediction = pd.DataFrame(list(prediction))
    if (columns := _columns(prediction)) is not None:
        return [_tensor(str(name), values.to_list(), _kind(values)) for name, values in columns]
    if isinstance(prediction, Mapping):
        return [_of_any(str(name), values) for name, values in prediction.items()]
    return [_of_any(str(getattr(prediction, "name", None) or "predict"), prediction)]


def _of_any(name: str, values: Any) -> Tensor:
    if isinstance(values, pd.Series | pd.Index):
        return _tensor(name, values.tolist(), _kind(values))
    if isinstance(values, np.ndarray):
        data = _values(values.reshape(-1))
        return _tensor(name, data, _kind(values), [*values.shape] or [1])
    if isinstance(values, list | tuple):
        if any(isinstance(each, Mapping) for each in values):
            raise ValueError(f"'{name}' holds objects")
        is_nested = any(isinstance(each, list | tuple | np.ndarray) for each in values)
        try:
            array = np.array(values) if is_nested else None
        except ValueError:
            raise ValueError(f"'{name}' holds lists of unequal length") from None
        return _tensor(name, list(values), "") if array is None else _of_any(name, array)
    if isinstance(values, Mapping):
        raise ValueError(f"'{name}' holds objects")
    return _tensor(name, [values], "")


def _kind(values: Any) -> str:
    return str(getattr(values.dtype, "kind", ""))


def _tensor(name: str, data: list[Any], kind: str, shape: list[int] | None = None) -> Tensor:
    """Make a tensor of values; which datatype it has, objects say themselves."""
    clean = [form(value) for value in data]
    datatype = _DATATYPES.get(kind) or _datatype_of(clean)
    if datatype == "BYTES":
        clean = [
            each if each is None or isinstance(each, str) else json.dumps(each) for each in clean
        ]
    return Tensor(name, shape or [len(data)], datatype, clean)


_DATATYPES = {"b": "BOOL", "i": "INT64", "u": "UINT64", "f": "FP64"}


def datatype_of(kind: str) -> str:
    """Return the datatype of values of a kind of NumPy."""
    return _DATATYPES.get(kind, "BYTES")


def _datatype_of(values: Sequence[Any]) -> str:
    kinds = {type(value) for value in values if value is not None}
    kinds_of: dict[str, set[type]] = {"BOOL": {bool}, "INT64": {int}, "FP64": {int, float}}
    fitting = [datatype for datatype, known in kinds_of.items() if kinds and kinds <= known]
    return fitting[0] if fitting else "BYTES"
