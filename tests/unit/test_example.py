"""The example of a model's input: made from its schema, and accepted by its validation."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from kedro.validation.exceptions import CheckFailure, DataValidationError
from mlflow.models.utils import _enforce_schema

from tests.support.rooms import Rooms

TYPES = {
    "double": "float64",
    "float": "float64",
    "long": "int64",
    "integer": "int64",
    "boolean": "bool",
    "string": "object",
    "datetime": "datetime64[ns]",
    "timedelta": "object",
    "date": "datetime64[ns]",
    "decimal": "float64",
    "binary": "object",
}
# As training may have had them.
DTYPES = {"double": "float32", "float": "float32", "long": "int32", "integer": "int64"}
DTYPES |= {"boolean": "bool", "datetime": "datetime64[us, UTC]", "timedelta": "timedelta64[us]"}


def limits_of(**bounds: tuple[float, float]) -> Any:
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


def schema_of(mlops: Rooms, **kinds: str) -> Any:
    column = mlops("model.columns").Column
    columns = [
        column(name, kind, DTYPES.get(kind, "object"), nullable=False)
        for name, kind in kinds.items()
    ]
    return mlops("model.schema").Schema(columns)


@pytest.mark.parametrize("kind", TYPES)
def test_a_row_has_the_types_of_the_schema_as_mlflow_has_them(mlops: Rooms, kind: str) -> None:
    schema = schema_of(mlops, x=kind)
    seen: list[pd.DataFrame] = []
    row = mlops("model.example").synthetic_row(schema, seen.append)
    assert seen[0].dtypes.to_list() == [DTYPES.get(kind, "object")]
    assert str(row["x"].dtype).replace("str", "object") == TYPES[kind]
    _enforce_schema(row, schema.signature())


def test_a_row_keeps_the_limits_that_are_known(mlops: Rooms) -> None:
    column = mlops("model.columns").Column
    limits = {"minimum": 3.3, "maximum": 3.4}
    columns = [
        column("a", "double", "float64", about=limits),
        column("b", "string", "object", about={"enum": ["x", "y"]}),
        column("c", "category", "category", categories=("k", "l"), of="object"),
        column("d", "long", "int64", about={"minimum": 30}),
    ]
    row = mlops("model.example").synthetic_row(
        mlops("model.schema").Schema(columns), limits_of(a=(3.3, 3.4), d=(30, 40))
    )
    assert row.to_dict("records") == [{"a": pytest.approx(3.35), "b": "x", "c": "k", "d": 30}]


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
    predict = limits_of(x=bounds, y=(1, 1))
    row = mlops("model.example").synthetic_row(schema_of(mlops, x=kind, y="double"), predict)
    if kind == "long" and bounds == (0.05, 0.95):  # No whole number is between.
        assert row is None
    else:
        assert bounds[0] <= row["x"].iloc[0] <= bounds[1]
        assert row["y"].iloc[0] == 1


def broken(rows: pd.DataFrame) -> Any:
    raise KeyError("no such category")


@pytest.mark.parametrize(
    "predict",
    [broken, limits_of(x=(3.3, 3.4))],
    ids=["refused without a column", "no value fits"],
)
def test_where_none_can_be_guessed_there_is_none(mlops: Rooms, predict: Any) -> None:
    schema = schema_of(mlops, x="double")
    assert mlops("model.example").synthetic_row(schema, predict) is None
