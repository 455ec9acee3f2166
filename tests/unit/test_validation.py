"""Valid tables are not given to pandera, and pandera would have said the same."""

from __future__ import annotations

import itertools
import math
import re
import subprocess
import sys
from datetime import datetime, timezone
from importlib import import_module
from types import ModuleType
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kedro.validation import DataValidationError, ValidatorSpec, resolve_validator
from pandera.errors import SchemaErrors
from pandera.typing import Index

from tests.support.profiles import examples
from tests.support.rooms import PACKAGE, SOURCE, Rooms


class Measured(pa.DataFrameModel):
    """Every rule that is known, once."""

    free: float
    range_: float = pa.Field(in_range={"min_value": -1, "max_value": 2.5}, metadata={"unit": "m"})
    open_: float = pa.Field(
        in_range={"min_value": 0, "max_value": 1, "include_min": False, "include_max": False}
    )
    code: float = pa.Field(isin=[1, 2, 4.5])
    above: float = pa.Field(gt=0, le=10)
    below: float = pa.Field(ge=-3, lt=3)
    gap: float = pa.Field(ge=0, nullable=True)


NAMES = list(Measured.to_schema().columns)
VALID = {"free": 7.0, "range_": 2.5, "open_": 0.5, "code": 4.5, "above": 10.0, "below": -3.0}
VALID["gap"] = 0.0
LIMITS = [-3.0, -1.0, 0.0, 1.0, 2.0, 2.5, 3.0, 4.5, 10.0]
NEAR = [math.nextafter(limit, side) for limit in LIMITS for side in (-math.inf, math.inf)]
NUMBERS = st.one_of(
    st.sampled_from([*LIMITS, *NEAR, math.nan, math.inf, -math.inf, 5e-324, -0.0]), st.floats()
)
ANYTHING = st.one_of(
    NUMBERS, st.integers(-5, 12), st.sampled_from([None, pd.NA, True, "2", "two", "", [1.0]])
)


@st.composite
def columns(draw: st.DrawFn, name: str, count: int) -> Any:
    """A column: mostly valid, in one of the types that a column may have."""
    kind = draw(
        st.sampled_from(["valid", "valid", "valid", "floats", "whole", "object", "nullable"])
    )
    if kind == "valid":
        return np.full(count, VALID[name])
    if kind == "whole":
        dtype = draw(st.sampled_from(["int64", "int8", "uint8", "float32", "bool", "Int64"]))
        return pd.array(
            draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)), dtype=dtype
        )
    if kind == "object":
        values = draw(st.lists(ANYTHING, min_size=count, max_size=count))
        return pd.Series(values, dtype=object).to_numpy()
    values = draw(st.lists(NUMBERS, min_size=count, max_size=count))
    return pd.array(values, dtype="Float64") if kind == "nullable" else np.array(values)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """A table as a file or a request may hold it, right or wrong."""
    count = draw(st.integers(0, 3))
    table = pd.DataFrame({name: draw(columns(name, count)) for name in NAMES})
    if draw(st.integers(0, 9)) == 0:
        table = table[draw(st.lists(st.sampled_from(NAMES), min_size=5, max_size=8))]
    elif draw(st.booleans()):
        table = table[draw(st.permutations(NAMES))]
    return table.set_axis(draw(st.permutations("abc"[:count])), axis="index")


@pytest.fixture(scope="module")
def validation(mlops: Rooms) -> ModuleType:
    return mlops("validation.tables")


def outcome(validation: ModuleType, table: pd.DataFrame, model: Any = Measured) -> Any:
    try:
        return validation.validated(table, model)
    except DataValidationError as refused:
        return str(refused)


def by_pandera(validation: ModuleType, table: pd.DataFrame, model: Any = Measured) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation.Limits, "passed", lambda *_: None)
        patch.setattr(validation.Limits, "hold", lambda *_: False)
        return outcome(validation, table, model)


@settings(max_examples=examples(10, weekly=100), suppress_health_check=[HealthCheck.too_slow])
@given(numbers=st.lists(NUMBERS, min_size=20, max_size=20))
def test_row_by_row_the_rules_hold_where_pandera_finds_nothing(
    validation: ModuleType, numbers: list[float]
) -> None:
    numbers += [*LIMITS, *NEAR, math.inf, -math.inf]
    values = np.tile(list(VALID.values()), (len(NAMES) * len(numbers), 1))
    for row, (column, number) in enumerate(itertools.product(range(len(NAMES)), numbers)):
        values[row, column] = number
    # A gap may be; but where one is, pandera is asked.
    values[:, -1] = np.nan_to_num(values[:, -1])
    schema = Measured.to_schema()
    try:
        schema.validate(pd.DataFrame(values, columns=NAMES), lazy=True)
        broken = set()
    except SchemaErrors as errors:
        broken = set(errors.failure_cases["index"])
    holds = validation.limits_of(schema).block.holds
    assert broken == {row for row in range(len(values)) if not holds(values[[row]])}
    valid = list(VALID.values())
    pairs = [np.array([valid, row]) for row in values]
    assert broken == {row for row, pair in enumerate(pairs) if not holds(pair)}


@settings(max_examples=examples(20, weekly=500), suppress_health_check=[HealthCheck.too_slow])
@given(table=tables())
def test_what_pandera_says_of_any_table_is_what_is_said(
    validation: ModuleType, table: pd.DataFrame
) -> None:
    before = table.copy()
    found, expected = outcome(validation, table), by_pandera(validation, table)
    if isinstance(expected, str):
        assert found == expected
    else:
        pd.testing.assert_frame_equal(found, expected)
        found.iloc[:, 0] = 0.0
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize("dtype", ["float64", "float32", "mixed"])
def test_a_valid_table_is_not_given_to_pandera(
    validation: ModuleType, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    table = pd.DataFrame([VALID])
    table = table.astype({"free": "int64"} if dtype == "mixed" else dtype)

    def never(*_: Any, **__: Any) -> None:
        pytest.fail("pandera is asked")

    monkeypatch.setattr(pa.DataFrameSchema, "validate", never)
    for each in (table, table[NAMES[::-1]]):
        checked = validation.validated(each, Measured)
        assert list(checked.columns) == NAMES
        assert set(checked.dtypes.astype(str)) == {"float64"}


def a_model(annotation: Any = float, config: dict[str, Any] | None = None, **field: Any) -> Any:
    body = {"__annotations__": {"x": annotation}, "x": pa.Field(**field)}
    return type("Model", (pa.DataFrameModel,), body | {"Config": type("Config", (), config or {})})


class OfItsOwn(pa.DataFrameModel):
    x: float

    @pa.check("x")
    @classmethod
    def is_even(cls, x: Any) -> Any:
        return x % 2 == 0


class OfItsOwnUnderAKnownName(pa.DataFrameModel):
    x: float

    @pa.check("x")
    @classmethod
    def in_range(cls, x: Any) -> Any:
        return x > 2


class OfTheTable(pa.DataFrameModel):
    x: float

    @pa.dataframe_check
    @classmethod
    def is_short(cls, table: pd.DataFrame) -> bool:
        return len(table) < 2


class Parsed(pa.DataFrameModel):
    x: float

    @pa.parser("x")
    @classmethod
    def clip(cls, x: Any) -> Any:
        return x.clip(0)


class WithAnIndex(pa.DataFrameModel):
    x: float
    place: Index[int]


@pytest.mark.parametrize(
    "model",
    [
        a_model(ge=0, raise_warning=True),
        a_model(ge=0, ignore_na=False),
        a_model(ge=0, n_failure_cases=1),
        a_model(ge=math.inf),
        a_model(isin=["a"]),
        a_model(str, ge="a"),
        a_model(str, isin=[1]),
        a_model(int, isin=[1.5]),
        a_model(int, ge=2.0**60),
        a_model(np.float32, isin=[0.1]),
        a_model(datetime, ge=datetime(2020, 1, 1, tzinfo=timezone.utc)),
        a_model(datetime, isin=[datetime(2020, 1, 1)]),
        a_model(str, str_matches=re.compile("a", re.IGNORECASE)),
        a_model(bool, ge=False),
        a_model(pa.Category, isin=["a"]),
        a_model(object),
        a_model(Annotated[pd.PeriodDtype, "D"]),
        a_model(default=1.0),
        a_model(regex=True),
        a_model(config={"unique": ["x"]}),
        a_model(config={"dtype": "float32"}),
        a_model(config={"add_missing_columns": True}),
        a_model(config={"drop_invalid_rows": True}),
        a_model(config={"unique_column_names": True}),
        OfItsOwn,
        OfItsOwnUnderAKnownName,
        OfTheTable,
        Parsed,
        WithAnIndex,
    ],
)
def test_whatever_else_a_model_asks_for_is_panderas_to_judge(
    validation: ModuleType, model: Any
) -> None:
    assert validation.limits_of(model.to_schema()) is None


def test_the_bundled_models_need_no_pandera_for_valid_tables(
    validation: ModuleType, mlops: Rooms
) -> None:
    schemas = import_module(f"{mlops('project').PACKAGE}.pipelines.schemas")
    for model in (schemas.Instances, schemas.Records):
        assert validation.limits_of(model.to_schema()).block


class Closed(Measured):
    class Config:
        strict = True


class Open(Measured):
    class Config:
        strict = False


class BelowOpen(Open):
    class Config:
        name = "below"


@pytest.mark.parametrize("model", [Measured, Closed, Open, BelowOpen])
def test_a_validator_says_which_schema_it_checks_by(mlops: Rooms, model: Any) -> None:
    validation, tables = mlops("validation"), mlops("validation.tables")

    def plain(data: Any) -> Any:
        return tables.validated(data, model)

    def after_other_work(data: Any) -> Any:
        return tables.validated(data.rename(columns=str.lower).drop_duplicates(), model)

    schema = model.to_schema()
    assert validation.schema_of(model) is schema
    assert validation.schema_of(schema) is schema
    for function in (plain, after_other_work):
        found = validation.schema_of(function)
        assert (found.columns, found.name) == (schema.columns, schema.name)
        # What `validated` does, unless the model says otherwise.
        assert found.strict is (model in (Measured, Closed))
    spec = ValidatorSpec(f"{__name__}.{model.__name__}")
    assert validation.schema_of(resolve_validator(spec)) is schema
    assert schema.strict is (model is Closed)


@pytest.mark.parametrize("validator", [dict, Rooms, lambda data: data, lambda data: data["free"]])
def test_a_validator_of_another_kind_has_no_schema(mlops: Rooms, validator: Any) -> None:
    assert mlops("validation").schema_of(validator) is None


@pytest.mark.parametrize("count", [1, 1000, 1001, 3000])
def test_of_very_many_wrong_rows_all_are_counted_and_few_are_kept(
    mlops: Rooms, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = mlops("validation.refusals")
    kept: list[Any] = []
    case = refusals.Case

    def keep(*given: Any) -> Any:
        kept.append(given)
        return case(*given)

    monkeypatch.setattr(refusals, "Case", keep)
    table = pd.DataFrame({name: np.full(count + 1, VALID[name]) for name in NAMES})
    table.loc[1:, "above"] = 11.0
    with pytest.raises(DataValidationError) as refused:
        mlops("validation.tables").validated(table, Measured)
    (failure,) = refused.value.failures
    assert (failure.column, failure.failure_count) == ("above", count)
    assert failure.failure_examples[0] == "data row 2: 11"
    assert len(kept) <= 1000


def test_parameters_are_checked_without_pandas_and_pandera() -> None:
    script = (
        "import sys; from importlib import import_module\n"
        f"sys.path.insert(0, {str(SOURCE)!r})\n"
        f"assert import_module({PACKAGE + '.mlops'!r}).Parameters\n"
        "print(sorted({'numpy', 'pandas', 'pandera', 'mlflow'} & sys.modules.keys()))\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert shown.stdout.splitlines()[-1] == "[]"
