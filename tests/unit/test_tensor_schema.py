"""The schema of an array: what becomes one of the training's type, and what is refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kedro.validation.exceptions import DataValidationError

from tests.support.rooms import Rooms

NAN, HUGE = float("nan"), 10**40


@pytest.mark.parametrize(
    ("dtype", "rows", "expected"),
    [
        ("float32", [[1, 2], [3, 4]], [[1.0, 2.0], [3.0, 4.0]]),
        ("float32", [[0.1, NAN], [True, False]], [[np.float32(0.1), NAN], [1.0, 0.0]]),
        ("float64", np.ones((1, 2), "float16"), [[1.0, 1.0]]),
        ("uint8", [[0, 255]], [[0, 255]]),
        ("int64", [[1.0, 2.0]], [[1, 2]]),
        ("bool", [[1, 0]], [[True, False]]),
    ],
)
def test_numbers_become_those_of_the_training(
    mlops: Rooms, dtype: str, rows: Any, expected: Any
) -> None:
    array = mlops("model.tensor_schema").TensorSchema(dtype, (2,)).conform(rows)
    assert array.dtype == dtype
    np.testing.assert_array_equal(array, np.array(expected, dtype))


@pytest.mark.parametrize(
    ("dtype", "rows", "rule"),
    [
        ("uint8", [[0, 256]], "values of another type"),
        ("uint8", [[0, -1]], "values of another type"),
        ("int64", [[0.5, 1]], "values of another type"),
        ("int64", [[NAN, 1]], "values of another type"),
        ("bool", [[2, 0]], "values of another type"),
        ("float32", [["1", 2]], "nothing but numbers or booleans"),
        ("float32", [[None, 2]], "nothing but numbers or booleans"),
        ("int64", [[HUGE, 2]], "nothing but numbers or booleans"),
        ("float32", [[1, 2], [3]], "or not each row"),
        ("float32", [[1, 2, 3]], "not of the shape [1, 3]"),
        ("float32", [1, 2], "not of the shape [2]"),
        ("float32", {"a": 1}, "nothing but numbers or booleans"),
    ],
)
def test_what_no_number_of_the_training_can_hold_is_refused(
    mlops: Rooms, dtype: str, rows: Any, rule: str
) -> None:
    schema = mlops("model.tensor_schema").TensorSchema(dtype, (2,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataValidationError) as refusal:
            schema.conform(rows)
    (failure,) = refusal.value.failures
    assert failure.message.startswith(
        f"the input must be an array of {dtype} with the shape [n, 2]"
    )
    assert rule in failure.message


def test_it_is_kept_and_read_by_models_and_signatures(mlops: Rooms, tmp_path: Path) -> None:
    kind = mlops("model.tensor_schema").TensorSchema
    schema = kind.of(np.zeros((5, 2, 3), "float32"))
    schema.write(tmp_path / "schema.json")
    found = mlops("model.schema").read_schema(tmp_path / "schema.json")
    assert (found.dtype, found.shape) == (np.dtype("float32"), (2, 3))
    signed = kind.of_signature(str(schema.signature().to_json()))
    assert (signed.dtype, signed.shape) == (found.dtype, found.shape)
    assert found.example().tolist() == [[[0.0] * 3] * 2]


def test_a_signature_of_several_tensors_or_of_columns_is_none_of_it(mlops: Rooms) -> None:
    of = mlops("model.tensor_schema").TensorSchema.of_signature
    spec = '{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, -1]}}'
    assert of(None) is None
    assert of(f"[{spec}, {spec}]") is None
    assert of(f"[{spec}]") is None  # Rows of any length have no shape that could be checked.
    assert of('[{"type": "long", "name": "a", "required": true}]') is None
