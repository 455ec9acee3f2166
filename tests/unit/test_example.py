"""The example of a model's input: made from its schema, and accepted by its validation."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from kedro.validation.exceptions import CheckFailure, DataValidationError
from mlflow.models import infer_signature
from mlflow.types import ColSpec, Schema
from mlflow.types.schema import AnyType

from tests.support.rooms import Rooms

TYPES = ["double", "float", "long", "integer", "boolean", "string", "datetime", "binary"]


def limits(**bounds: tuple[float, float]) -> Any:
    """A model that refuses what is out of bounds, by its columns' names."""

    def predict(rows: pd.DataFrame) -> pd.DataFrame:
        wrong = [
            CheckFailure(f"{name} must be in bounds", column=name)
            for name, (low, high) in bounds.items()
            if not low <= rows[name].iloc[0] <= high
        ]
        if wrong:
            raise DataValidationError("The data is refused", failures=wrong)
        return rows

    return predict


def schema_of(**kinds: str) -> Schema:
    return Schema([ColSpec(kind, name) for name, kind in kinds.items()])


@pytest.mark.parametrize("kind", TYPES)
def test_a_row_has_the_types_of_the_schema(mlops: Rooms, kind: str) -> None:
    schema = schema_of(x=kind)
    row = mlops("model.example").synthetic_row(schema, limits())
    assert len(row) == 1
    assert infer_signature(row).inputs == schema


@pytest.mark.parametrize(
    "bounds",
    [
        (0, 120),
        (10, 80),
        (50, 600),
        (2, 8),
        (20, 600),
        (1, 2),
        (0.05, 0.95),
        (-1, -0.5),
        (200, 260),
    ],
)
@pytest.mark.parametrize("kind", ["double", "long"])
def test_a_value_that_the_model_refuses_is_exchanged(
    mlops: Rooms, kind: str, bounds: tuple[float, float]
) -> None:
    predict = limits(x=bounds, y=(1, 1))
    row = mlops("model.example").synthetic_row(schema_of(x=kind, y="double"), predict)
    if kind == "long" and bounds == (0.05, 0.95):  # No whole number is between.
        assert row is None
    else:
        assert bounds[0] <= row["x"].iloc[0] <= bounds[1]
        assert row["y"].iloc[0] == 1


def broken(rows: pd.DataFrame) -> Any:
    raise KeyError("no such category")


@pytest.mark.parametrize(
    ("schema", "predict"),
    [
        (schema_of(x="double"), broken),
        (schema_of(x="double"), limits(x=(3.3, 3.4))),
        (Schema([ColSpec(AnyType(), "x")]), limits()),
        (Schema([ColSpec("double")]), limits()),
    ],
    ids=["refused without a column", "no value fits", "of any type", "without names"],
)
def test_where_none_can_be_guessed_there_is_none(mlops: Rooms, schema: Any, predict: Any) -> None:
    assert mlops("model.example").synthetic_row(schema, predict) is None
