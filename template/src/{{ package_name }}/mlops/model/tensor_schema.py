"""The schema of a model whose input is an array: images, embeddings, windows of a series.

The first axis counts the rows, as many as there are; the others are as in training.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from kedro.validation.exceptions import CheckFailure, DataValidationError

from ..errors import TrackingError

if TYPE_CHECKING:
    from mlflow.types import Schema as Signature

# Kinds of NumPy: booleans, whole numbers and fractions. JSON has no other arrays.
_KINDS = "biuf"
_MOST_AXES = 9


class TensorSchema:
    """The shape of a row and the type of its values; it takes the place of a table's `Schema`."""

    library = "numpy"
    columns: Sequence[Any] = ()
    names: Sequence[str] = ()
    ids: Sequence[str] = ()
    by_name: Mapping[str, Any] = {}

    def __init__(self, dtype: str, shape: Sequence[int]) -> None:
        self.dtype, self.shape = np.dtype(dtype), tuple(shape)

    @classmethod
    def of(cls, array: Any) -> "TensorSchema":
        """Read the schema of an array of rows; a TrackingError says why no request can carry it."""
        if array.ndim == 0 or array.dtype.kind not in _KINDS:
            raise TrackingError(
                f"An array of the type {array.dtype} and the shape {list(array.shape)} cannot be "
                "the model's input: a model takes rows of numbers or booleans."
            )
        return cls(array.dtype.name, array.shape[1:])

    @classmethod
    def of_signature(cls, text: str | None) -> "TensorSchema | None":
        """Read the tensor of a signature in MLmodel; none unless it is the only input."""
        described = json.loads(text or "[]")
        if len(described) != 1 or "tensor-spec" not in described[0] or "name" in described[0]:
            return None
        spec = described[0]["tensor-spec"]
        return cls(spec["dtype"], spec["shape"][1:]) if -1 not in spec["shape"][1:] else None

    def write(self, path: Path) -> None:
        """Write it as JSON, which `read_schema` reads."""
        content = {"library": self.library, "dtype": self.dtype.name, "shape": self.shape}
        path.write_text(json.dumps(content), encoding="utf-8")

    def signature(self) -> "Signature":
        """Return it in MLflow's types."""
        from mlflow.types import Schema as Signature
        from mlflow.types import TensorSpec

        return Signature([TensorSpec(self.dtype, (-1, *self.shape))])

    def conform(self, rows: Any) -> Any:
        """Turn an array, or the nested lists of JSON, into one of the training's type.

        A DataValidationError says what is wrong with its shape or its values.
        """
        array = self._array(rows) if isinstance(rows, list) else np.asarray(rows)
        if array.size and array.dtype.kind not in _KINDS:
            raise _refused(f"must be {self.described()}, and nothing but numbers or booleans")
        if array.ndim != 1 + len(self.shape) or array.shape[1:] != self.shape:
            raise _refused(f"must be {self.described()}, not of the shape {list(array.shape)}")
        if array.dtype == self.dtype:
            return array
        with np.errstate(invalid="ignore"):  # NaN is no whole number, and is refused below.
            converted = array.astype(self.dtype)
        # A fraction may lose digits, as training's do; a whole number may not become another.
        if self.dtype.kind != "f" and not np.array_equal(converted, array):
            raise _refused(f"must be {self.described()}: it has values of another type")
        return converted

    def _array(self, rows: list[Any]) -> Any:
        """Make an array of nested lists: of texts, NumPy's would have the width of the longest."""
        values = rows
        for size in self.shape:
            if not all(isinstance(each, list) and len(each) == size for each in values):
                found = f"not of the shape {_shape_of(rows)}"
                raise _refused(f"must be {self.described()}, {found}, or not each row")
            values = list(chain.from_iterable(values))
        try:
            return numbers(values).reshape(len(rows), *self.shape)
        except TypeError:
            rule = f"must be {self.described()}, and nothing but numbers or booleans"
            raise _refused(rule) from None

    def add_ids(self, rows: Any, predictions: Any) -> Any:
        """Return predictions as they are: an array has no columns."""
        return predictions

    def described(self) -> str:
        """Say in a few words what it takes."""
        axes = ", ".join(map(str, ("n", *self.shape)))
        return f"an array of {self.dtype} with the shape [{axes}]"

    def example(self) -> Any:
        """Make a row of zeros."""
        return np.zeros((1, *self.shape), self.dtype)


def _shape_of(rows: Any) -> list[int]:
    """Return the lengths of the first lists."""
    shape: list[int] = []
    while isinstance(rows, list) and len(shape) < _MOST_AXES:
        shape.append(len(rows))
        rows = rows[0] if rows else None
    return shape


def numbers(values: Sequence[Any]) -> Any:
    """Return an array of numbers and booleans; a TypeError if there is anything else."""
    if not set(map(type, values)) <= {int, float, bool}:
        raise TypeError
    try:
        return np.array(values)
    except OverflowError:  # A whole number of hundreds of digits, beside a fraction.
        raise TypeError from None


def _refused(rule: str) -> DataValidationError:
    return DataValidationError(
        "The data is refused", failures=[CheckFailure(f"the input {rule}", failure_count=1)]
    )
