"""The server reads signatures as MLflow does, without it."""

from __future__ import annotations

import json
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Array

from tests.support.rooms import Rooms


@pytest.fixture(scope="module")
def signature(mlops: Rooms) -> ModuleType:
    package = mlops("project").PACKAGE
    return import_module(f"{package}.mlops.serving.signature")


def described(schema: Schema) -> str:
    return json.dumps(schema.to_dict())


def test_every_type_of_mlflow_is_known(signature: ModuleType) -> None:
    schema = Schema([ColSpec(kind, kind.name, required=kind.value % 2 == 0) for kind in DataType])
    columns = signature.columns_of_signature(described(schema))
    assert [column.name for column in columns] == schema.input_names()
    assert [column.type.name for column in columns] == [kind.name for kind in DataType]
    required = [column.name for column in columns if column.is_required]
    assert required == schema.required_input_names()
    assert {kind.name for kind in signature.DataType} == {kind.name for kind in DataType}


def test_numbers_have_the_types_that_mlflow_gives_them(signature: ModuleType) -> None:
    for kind, numpy_type in signature.NUMPY_TYPES.items():
        assert DataType[kind.name].to_numpy() == np.dtype(numpy_type)


@pytest.mark.parametrize(
    "schema",
    [
        Schema([ColSpec(DataType.double)]),
        Schema([ColSpec(Array(DataType.double), "lists")]),
        Schema([TensorSpec(np.dtype("float64"), (-1, 3))]),
        Schema([TensorSpec(np.dtype("float64"), (-1, 3), "named")]),
        None,
    ],
)
def test_what_is_no_table_of_values_has_no_columns(signature: ModuleType, schema: Any) -> None:
    assert signature.columns_of_signature(schema and described(schema)) is None
