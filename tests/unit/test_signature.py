"""The server reads signatures as MLflow does, without it."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Array

from tests.support.rooms import Rooms


@pytest.fixture(scope="module")
def schema(mlops: Rooms) -> ModuleType:
    return mlops("model.schema")


def described(signature: Schema) -> str:
    return json.dumps(signature.to_dict())


def test_every_type_of_mlflow_is_known(schema: ModuleType) -> None:
    known = Schema([ColSpec(kind, kind.name, required=kind.value % 2 == 0) for kind in DataType])
    columns = schema.Schema.of_signature(described(known)).columns
    assert [column.name for column in columns] == known.input_names()
    assert [column.type for column in columns] == [kind.name for kind in DataType]
    required = [column.name for column in columns if column.required]
    assert required == known.required_input_names()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (DataType.boolean, True),
        (DataType.integer, 1),
        (DataType.long, 1),
        (DataType.float, 1),
        (DataType.double, 1),
        (DataType.string, "a"),
        (DataType.binary, "YQ=="),
        (DataType.datetime, "2026-01-31T12:00:00+02:00"),
    ],
)
def test_values_have_the_types_that_mlflow_gives_them(
    schema: ModuleType, kind: DataType, value: Any
) -> None:
    columns = schema.Schema.of_signature(described(Schema([ColSpec(kind, "x")])))
    frame = columns.table({"x": [value]})
    assert frame.dtypes["x"] == (object if kind == DataType.string else kind.to_pandas())


@pytest.mark.parametrize(
    "signature",
    [
        Schema([ColSpec(DataType.double)]),
        Schema([ColSpec(Array(DataType.double), "lists")]),
        Schema([TensorSpec(np.dtype("float64"), (-1, 3))]),
        Schema([TensorSpec(np.dtype("float64"), (-1, 3), "named")]),
        None,
    ],
)
def test_what_is_no_table_of_values_has_no_columns(schema: ModuleType, signature: Any) -> None:
    assert schema.Schema.of_signature(signature and described(signature)) is None
