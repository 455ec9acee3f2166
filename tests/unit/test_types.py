"""Columns of every type: what is taken, what is refused, in words, and as pandera has it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from types import ModuleType
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kedro.io import DataCatalog
from kedro.validation import DataValidationError
from pandera.errors import SchemaErrors

from tests.support.profiles import examples
from tests.support.rooms import Rooms

TIMES = "datetime64[ns]"
UTC = pd.DatetimeTZDtype("ns", "UTC")
BERLIN = pd.DatetimeTZDtype("ns", "Europe/Berlin")
PLANS = pd.CategoricalDtype(["basic", "plus"])


@pytest.fixture(scope="module")
def tables(mlops: Rooms) -> ModuleType:
    return mlops("validation.tables")


def schema(declared: Any, *checks: pa.Check, **options: Any) -> pa.DataFrameSchema:
    return pa.DataFrameSchema({"x": pa.Column(declared, list(checks), **options)}, strict=True)


def outcome(tables: ModuleType, table: pd.DataFrame, described: pa.DataFrameSchema) -> Any:
    try:
        return tables.checked(table, tables.Expected.by(described))
    except DataValidationError as refused:
        return [
            f"{failure.column}: {failure.check} ({', '.join(failure.failure_examples)})"
            for failure in refused.failures
        ]


# --- one column ---

TIME = "must be a time, as 2026-01-31T12:00:00"
NOON = pd.Timestamp("2026-01-31T12:00:00")


@pytest.mark.parametrize(
    ("declared", "data", "values"),
    [
        (float, [1, 2], [1.0, 2.0]),
        (float, ["1", " 2.5e1 "], [1.0, 25.0]),
        (float, pd.array([1, 2], "Int64"), [1.0, 2.0]),
        (np.float32, [0.5, 2], [0.5, 2.0]),
        ("Float64", [1, 2], [1.0, 2.0]),
        (int, [1.0, -2.0], [1, -2]),
        (int, ["1", "9007199254740993"], [1, 9007199254740993]),
        (int, [True - 1, 3], [0, 3]),
        (np.uint8, [255, 0], [255, 0]),
        ("Int64", [1.0, 2.0], [1, 2]),
        (bool, ["true", "False"], [True, False]),
        (bool, np.array([True, False], dtype=object), [True, False]),
        ("boolean", ["TRUE", "false"], [True, False]),
        (str, np.array(["a", "b"], dtype=object), ["a", "b"]),
        (str, pd.Categorical(["a", "b"]), ["a", "b"]),
        (datetime, ["2026-01-31T12:00:00", "2026-01-31 13:00:00+01:00"], [NOON, NOON]),
        (datetime, ["2026-01-31", "20260131"], [NOON.normalize()] * 2),
        (datetime, [NOON.as_unit("s")] * 2, [NOON, NOON]),
        (datetime, [NOON.tz_localize("Asia/Tokyo")] * 2, [NOON - pd.Timedelta(hours=9)] * 2),
        (datetime, [date(2026, 1, 31)] * 2, [NOON.normalize()] * 2),
        (UTC, ["2026-01-31T12:00:00", "2026-01-31T12:00:00Z"], [NOON.tz_localize("UTC")] * 2),
        (
            BERLIN,
            ["2026-01-31T12:00:00", NOON],
            [NOON.tz_localize("UTC").tz_convert(BERLIN.tz)] * 2,
        ),
        (timedelta, ["1 days", "00:30:00"], [timedelta(1), timedelta(minutes=30)]),
        (PLANS, ["plus", "basic"], ["plus", "basic"]),
        (pd.CategoricalDtype([1, 2]), [2.0, 1.0], [2, 1]),
        (pa.Category, ["a", "b"], ["a", "b"]),
        (date, ["2026-01-31", NOON.normalize()], [date(2026, 1, 31)] * 2),
        (object, [1, "a"], [1, "a"]),
        (None, [1, "a"], [1, "a"]),
    ],
)
def test_what_can_mean_one_thing_only_is_converted(
    tables: ModuleType, declared: Any, data: Any, values: list[Any]
) -> None:
    described = schema(declared)
    table = pd.DataFrame({"x": data}, index=["b", "a"])
    found = outcome(tables, table, described)
    assert isinstance(found, pd.DataFrame), found
    assert found["x"].tolist() == values
    assert list(found.index) == ["b", "a"]
    pd.testing.assert_frame_equal(described.validate(found), found)
    if declared is str:
        assert found["x"].dtype == pd.Series(["a"]).dtype  # As pandas itself has texts.


@pytest.mark.parametrize(
    ("declared", "data", "sentence"),
    [
        (float, ["high", 2], "must be a number (data row 1: 'high')"),
        (float, [1, True], "must be a number (data row 2: True)"),
        (float, [1, "1_0"], "must be a number (data row 2: '1_0')"),
        (np.float32, [1e300, 1], "must be a number (data row 1: 1e+300)"),
        (int, [1.5, 2], "must be a whole number (data row 1: 1.5)"),
        (int, [1, "2.5"], "must be a whole number (data row 2: '2.5')"),
        (int, [True, 2], "must be a whole number (data row 1: True)"),
        (int, [2.0**63, 1], "must be a whole number (data row 1: 9.22337203685478e+18)"),
        (int, [float("inf"), 1], "must be a whole number (data row 1: inf)"),
        (
            np.int8,
            [128, -129],
            "must be a whole number from -128 to 127 (data row 1: 128, data row 2: -129)",
        ),
        (np.uint8, [-1, 1], "must be a whole number from 0 to 255 (data row 1: -1)"),
        (bool, [1, 0], "must be true or false (data row 1: 1, data row 2: 0)"),
        (bool, ["yes", "true"], "must be true or false (data row 1: 'yes')"),
        ("boolean", ["1", "true"], "must be true or false (data row 1: '1')"),
        (str, [1, 2], "must be a text (data row 1: 1, data row 2: 2)"),
        (str, ["a", True], "must be a text (data row 2: True)"),
        (datetime, ["31/01/2026", "2026-01-31"], f"{TIME} (data row 1: '31/01/2026')"),
        (datetime, [20260131, 1], f"{TIME} (data row 1: 20260131, data row 2: 1)"),
        (datetime, ["now", 5], f"{TIME} (data row 1: 'now', data row 2: 5)"),
        (
            datetime,
            ["9999-12-31", "2026-02-30"],
            f"{TIME} (data row 1: '9999-12-31', data row 2: '2026-02-30')",
        ),
        (UTC, ["noon", "2026-01-31"], f"{TIME} (data row 1: 'noon')"),
        (
            timedelta,
            ["5", 5],
            "must be a duration, as 1 days 02:30:00 (data row 1: '5', data row 2: 5)",
        ),
        (PLANS, ["gold", "plus"], "must be 'basic' or 'plus' (data row 1: 'gold')"),
        (
            pd.CategoricalDtype(["1", "2"]),
            [1, 2],
            "must be '1' or '2' (data row 1: 1, data row 2: 2)",
        ),
        (
            date,
            ["2026-01-31T12:00:00", "x"],
            "must be a date, as 2026-01-31 (data row 1: '2026-01-31T12:00:00', data row 2: 'x')",
        ),
        (Annotated[int, "coerce"], ["a", 1], "must be a whole number (data row 1: 'a')"),
    ],
)
def test_what_is_not_of_the_type_is_refused(
    tables: ModuleType, declared: Any, data: Any, sentence: str
) -> None:
    described = (
        schema(int, coerce=True) if declared == Annotated[int, "coerce"] else schema(declared)
    )
    assert outcome(tables, pd.DataFrame({"x": data}), described) == [f"x: {sentence}"]


@pytest.mark.parametrize(
    ("declared", "data"),
    [
        (float, [1.5, None]),
        ("Float64", [1.5, None]),
        ("Int64", [1.0, None]),
        ("boolean", [True, None]),
        ("boolean", ["true", None]),
        (str, ["a", None]),
        (str, [None, None]),
        (datetime, ["2026-01-31", None]),
        (UTC, ["2026-01-31", None]),
        (timedelta, ["1 days", None]),
        (PLANS, ["plus", None]),
        (pa.Category, ["plus", None]),
        (date, ["2026-01-31", None]),
    ],
)
def test_a_gap_is_taken_where_it_may_be(tables: ModuleType, declared: Any, data: Any) -> None:
    table = pd.DataFrame({"x": data})
    found = outcome(tables, table, schema(declared, nullable=True))
    assert isinstance(found, pd.DataFrame), found
    assert found["x"].isna().tolist() == table["x"].isna().tolist()
    gaps = np.flatnonzero(table["x"].isna())
    rows = ", ".join(f"data row {row + 1}" for row in gaps)
    assert outcome(tables, table, schema(declared)) == [f"x: must not be empty ({rows})"]


@pytest.mark.parametrize(
    ("declared", "data", "rule"),
    [
        (int, [1.0, None], "int64 holds no gap, Int64 does"),
        (np.uint8, [1.0, None], "uint8 holds no gap, UInt8 does"),
        (bool, [True, None], "bool holds no gap, boolean does"),
    ],
)
def test_a_type_that_holds_no_gaps_says_which_one_does(
    tables: ModuleType, declared: Any, data: Any, rule: str
) -> None:
    table = pd.DataFrame({"x": data})
    refused = outcome(tables, table, schema(declared, nullable=True))
    assert refused == [f"x: must not be empty: {rule} (data row 2)"]
    assert outcome(tables, table, schema(declared)) == ["x: must not be empty (data row 2)"]


@pytest.mark.parametrize(
    ("described", "data", "sentence"),
    [
        (schema(float, pa.Check.gt(0)), [0], "must be more than 0 (data row 1: 0)"),
        (schema(float, pa.Check.ge(0)), [-0.5], "must be at least 0 (data row 1: -0.5)"),
        (schema(int, pa.Check.lt(9)), [9], "must be less than 9 (data row 1: 9)"),
        (schema(int, pa.Check.le(9)), [12345678], "must be at most 9 (data row 1: 12345678)"),
        (
            schema(float, pa.Check.in_range(0, 1, False)),
            [0],
            "must be from 0 to 1, but not 0 (data row 1: 0)",
        ),
        (
            schema(float, pa.Check.in_range(0, 1, False, False)),
            [1],
            "must be from 0 to 1, but not 0 or 1 (data row 1: 1)",
        ),
        (
            schema(float, pa.Check.in_range(0, 1), metadata={"unit": "m"}),
            [2],
            "must be from 0 to 1 m (data row 1: 2)",
        ),
        (
            schema(int, pa.Check.isin(range(20))),
            [20],
            "must be 0 or 1 or 2 or 3 or 4 or 5 or 6 or 7 or 8 or 9 or 10 others (data row 1: 20)",
        ),
        (schema(str, pa.Check.isin(["a", "b"])), ["c"], "must be 'a' or 'b' (data row 1: 'c')"),
        (schema(str, pa.Check.notin(["a"])), ["a"], "must not be 'a' (data row 1: 'a')"),
        (schema(str, pa.Check.eq("a")), ["b"], "must be 'a' (data row 1: 'b')"),
        (schema(int, pa.Check.ne(1)), [1], "must not be 1 (data row 1: 1)"),
        (
            schema(str, pa.Check.str_matches("^p[0-9]$")),
            ["q"],
            "must match '^p[0-9]$' (data row 1: 'q')",
        ),
        (schema(str, pa.Check.str_contains("p")), ["q"], "must contain 'p' (data row 1: 'q')"),
        (schema(str, pa.Check.str_startswith("p")), ["q"], "must start with 'p' (data row 1: 'q')"),
        (schema(str, pa.Check.str_endswith("p")), ["q"], "must end with 'p' (data row 1: 'q')"),
        (
            schema(str, pa.Check.str_length(2, 3)),
            ["q"],
            "must have from 2 to 3 characters (data row 1: 'q')",
        ),
        (
            schema(str, pa.Check.str_length(max_value=1)),
            ["qq"],
            "must have at most 1 characters (data row 1: 'qq')",
        ),
        (
            schema(datetime, pa.Check.ge(datetime(2026, 1, 1))),
            ["2025-12-31"],
            "must be at least 2026-01-01 00:00:00 (data row 1: 2025-12-31 00:00:00)",
        ),
        (
            schema(str, unique=True),
            ["a", "b", "a"],
            "must be unique (data row 1: 'a', data row 3: 'a')",
        ),
        (schema(str, unique=True, nullable=True), [None, None], "must be unique ()"),
        (
            schema(int, pa.Check(lambda x: x % 2 == 0, name="is_even")),
            [1],
            "breaks the rule is_even (data row 1: 1)",
        ),
        (
            schema(int, pa.Check(lambda x: x % 2 == 0, name="e", error="must be even")),
            [1],
            "must be even (data row 1: 1)",
        ),
        (schema(int, pa.Check.ge(2, error="too few")), [1], "too few (data row 1: 1)"),
        (
            schema(int, pa.Check(lambda x: x.sum() < 9, name="sum", error="sum must be below 9")),
            [9],
            "sum must be below 9 ()",
        ),
        (schema(float, pa.Check.ge(0), coerce=True), ["-1"], "must be at least 0 (data row 1: -1)"),
        (schema("period[D]"), [1], "must be of the type period[D] (data row 1: 1)"),
    ],
)
def test_a_rule_is_said_in_words(
    tables: ModuleType, described: pa.DataFrameSchema, data: Any, sentence: str
) -> None:
    assert outcome(tables, pd.DataFrame({"x": data}), described) == [f"x: {sentence}"]


# --- a table ---


def two(**options: Any) -> pa.DataFrameSchema:
    return pa.DataFrameSchema({"a": pa.Column(int), "b": pa.Column(str)}, **options)


AB = pd.DataFrame({"b": ["x", "y"], "a": [1, 2]})
MORE = AB.assign(c=[0.5, 1.5])
LESS = pa.Check(lambda table: table["a"] < table["c"], name="a_below_c")


@pytest.mark.parametrize(
    ("described", "data", "expected"),
    [
        (two(strict=True), AB, ["a", "b"]),
        (two(strict=True), MORE, ["None: None ()"]),
        (two(), MORE, ["a", "b", "c"]),
        (two(strict="filter"), MORE, ["a", "b"]),
        (two(), MORE[["c", "b", "c", "a"]], ["a", "b", "c", "c"]),
        (two(), AB[["b", "a", "b"]], ["None: None ()"]),
        (two(strict=True).update_column("a", required=False), AB[["b"]], ["b"]),
        (two(ordered=True), AB[["a", "b"]], ["a", "b"]),
        (
            two(ordered=True),
            AB,
            [
                "b: must come in the order of the schema ()",
                "a: must come in the order of the schema ()",
            ],
        ),
        (
            two(unique=["a", "b"]),
            AB.iloc[[0, 0]],
            ["None: must be unique together: a, b (data row 1, data row 2)"],
        ),
        (two(checks=LESS), MORE, ["None: breaks the rule a_below_c (data row 1, data row 2)"]),
        (
            two(checks=pa.Check(lambda table: len(table) > 2, name="many")),
            AB,
            ["None: breaks the rule many ()"],
        ),
        (
            two().add_columns({"c[0-9]": pa.Column(float, regex=True)}),
            AB.assign(c1=1, c2="2"),
            ["a", "b", "c1", "c2"],
        ),
        (
            two().add_columns({"c[0-9]": pa.Column(float, regex=True)}),
            AB.assign(c1="z"),
            ["c1: must be a number (data row 1: 'z', data row 2: 'z')"],
        ),
        (two(add_missing_columns=True).update_column("a", default=7), AB[["b"]], ["a", "b"]),
        (two().update_column("a", default=7), AB.assign(a=[None, 2.0]), ["a", "b"]),
        (
            two(index=pa.Index(int, pa.Check.ge(1))),
            AB,
            ["the index: must be at least 1 (data row 1: 0)"],
        ),
        (two(coerce=True), AB.assign(b=[1, 2]), ["a", "b"]),
        (two(), AB.iloc[:0], ["None: None ()"]),
    ],
)
def test_columns_and_rows_are_judged_as_the_schema_says(
    tables: ModuleType, described: pa.DataFrameSchema, data: pd.DataFrame, expected: list[str]
) -> None:
    found = outcome(tables, data, described)
    assert (list(found.columns) if isinstance(found, pd.DataFrame) else found) == expected


def test_rows_that_may_be_dropped_are(tables: ModuleType) -> None:
    described = schema(int, pa.Check.ge(0)).update_column("x", drop_invalid_rows=False)
    described.drop_invalid_rows = True
    found = outcome(tables, pd.DataFrame({"x": [1, -1, 2]}, index=[5, 6, 7]), described)
    assert (found["x"].tolist(), found.index.tolist()) == ([1, 2], [5, 7])


def test_a_value_that_is_refused_for_its_type_is_refused_once(tables: ModuleType) -> None:
    described = pa.DataFrameSchema(
        {"a": pa.Column(int, pa.Check.ge(0)), "b": pa.Column(int)},
        checks=pa.Check(lambda table: table["a"] <= table["b"], name="ordered"),
    )
    data = pd.DataFrame({"a": ["x", -1, 5, 1], "b": [1, 1, 2, 3]})
    assert outcome(tables, data, described) == [
        "a: must be a whole number (data row 1: 'x')",
        "a: must be at least 0 (data row 2: -1)",
    ]
    assert outcome(tables, data.iloc[1:], described) == [
        "a: must be at least 0 (data row 1: -1)",
        "None: breaks the rule ordered (data row 2)",
    ]


# --- the same as pandera ---

WORDS = st.text(st.sampled_from("ab1p٣ \n"), max_size=3)
NEAR = [0, 1, -1, 2.5, 0.1, 0.7, 1e9, 2**53, 2**53 + 1, 127, 255]
FLOATS = st.sampled_from([*map(float, NEAR), float("inf"), float("nan"), -0.0]) | st.floats()
WHOLE = st.sampled_from([int(each) for each in NEAR]) | st.integers(-(2**63), 2**63 - 1)
MOMENTS = st.datetimes(datetime(2019, 12, 31), datetime(2020, 1, 2)).map(pd.Timestamp)
FIRST = datetime(2020, 1, 1)
AWARE = pd.Timestamp(FIRST, tz="UTC")
NUMBER_CHECKS = st.sampled_from(
    [
        pa.Check.ge(0),
        pa.Check.gt(0.1),
        pa.Check.le(0.7),
        pa.Check.lt(127),
        pa.Check.ge(2**53 + 1),
        pa.Check.in_range(-1, 255, False),
        pa.Check.eq(1),
        pa.Check.ne(1),
        pa.Check.isin([0, 1, 127]),
        pa.Check.isin([0.1, 2.5]),
        pa.Check.notin([2.5]),
    ]
)
TEXT_CHECKS = st.sampled_from(
    [
        pa.Check.isin(["a", "b", ""]),
        pa.Check.notin(["p"]),
        pa.Check.eq("a"),
        pa.Check.ne("a"),
        pa.Check.str_matches(r"^[ap]\w*$"),
        pa.Check.str_matches(r"a|b"),
        pa.Check.str_contains(r"\d"),
        pa.Check.str_contains("b$"),
        pa.Check.str_startswith("a"),
        pa.Check.str_endswith("1"),
        pa.Check.str_length(1, 2),
        pa.Check.str_length(max_value=2),
        pa.Check.str_length(2),
    ]
)
TIME_CHECKS = [pa.Check.ge("2020-01-01"), pa.Check.lt(FIRST), pa.Check.in_range(FIRST, FIRST)]
SPAN = timedelta(hours=1)
TYPES: dict[Any, tuple[Any, Any]] = {
    "float64": (FLOATS, NUMBER_CHECKS),
    "float32": (st.floats(width=32) | st.sampled_from(NEAR[:6]), NUMBER_CHECKS),
    "Float64": (FLOATS.filter(pd.notna), NUMBER_CHECKS),
    "int64": (WHOLE, NUMBER_CHECKS),
    "int8": (st.integers(-128, 127), NUMBER_CHECKS),
    "uint8": (st.integers(0, 255), NUMBER_CHECKS),
    "Int64": (WHOLE, NUMBER_CHECKS),
    "bool": (st.booleans(), st.sampled_from([pa.Check.isin([True]), pa.Check.eq(False)])),
    "boolean": (st.booleans(), st.sampled_from([pa.Check.isin([True]), pa.Check.eq(False)])),
    str: (WORDS, TEXT_CHECKS),
    TIMES: (MOMENTS, st.sampled_from(TIME_CHECKS)),
    UTC: (
        MOMENTS.map(lambda one: one.tz_localize("UTC")),
        st.sampled_from([pa.Check.ge(AWARE), *TIME_CHECKS[:1]]),
    ),
    "timedelta64[ns]": (st.timedeltas(-SPAN, SPAN), st.just(pa.Check.ge(timedelta(0)))),
    PLANS: (st.sampled_from(["basic", "plus"]), st.just(pa.Check.isin(["plus"]))),
    pa.Category: (st.sampled_from(["basic", "plus"]), st.just(pa.Check.isin(["plus"]))),
    date: (st.dates(date(2020, 1, 1), date(2020, 1, 3)), st.nothing()),
}
HOLDS_NO_GAPS = ("int64", "int8", "uint8", "bool")


@st.composite
def cases(draw: st.DrawFn) -> tuple[pa.DataFrameSchema, pd.DataFrame]:
    """A schema of columns of any types, and a table with these types that may break its rules."""
    columns, arrays = {}, {}
    count = draw(st.integers(1, 4))
    for number, declared in enumerate(
        draw(st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=4))
    ):
        values, checks = TYPES[declared]
        nullable, unique = draw(
            st.sampled_from([(False, False)] * 2 + [(True, False), (True, True), (False, True)])
        )
        chosen = (
            draw(st.lists(checks, max_size=2))
            if declared is not date and draw(st.booleans())
            else []
        )
        column = pa.Column(
            declared, chosen, nullable=nullable, unique=unique, coerce=draw(st.integers(0, 5)) == 0
        )
        columns[f"c{number}"] = column
        if draw(st.integers(0, 2)) == 0 and declared not in HOLDS_NO_GAPS:
            values = values | st.none()
        if chosen or unique:  # Else few tables of random values would keep the rules.
            values = st.sampled_from(draw(st.lists(values, min_size=1, max_size=2)))
        dtype = column.dtype.type if declared is not pa.Category else "category"
        drawn = draw(st.lists(values, min_size=count, max_size=count))
        arrays[f"c{number}"] = pd.Series(drawn, dtype=dtype)
    strict = draw(st.sampled_from([True, False, "filter"]))
    return pa.DataFrameSchema(columns, strict=strict), pd.DataFrame(arrays)


@settings(max_examples=examples(25, weekly=1500), suppress_health_check=list(HealthCheck))
@given(case=cases())
def test_a_table_is_accepted_as_pandera_accepts_it(
    tables: ModuleType, case: tuple[pa.DataFrameSchema, pd.DataFrame]
) -> None:
    described, table = case
    try:
        expected = described.validate(table, lazy=True)
    except SchemaErrors:
        expected = None
    found = outcome(tables, table, described)
    if expected is None:
        assert isinstance(found, list)
    else:
        assert isinstance(found, pd.DataFrame), found
        pd.testing.assert_frame_equal(found, expected)


@settings(max_examples=examples(15, weekly=1000), suppress_health_check=list(HealthCheck))
@given(case=cases(), how=st.sampled_from(["object", "convert_dtypes", "shuffled"]))
def test_what_is_known_here_changes_no_verdict_of_panderas(
    tables: ModuleType, case: tuple[pa.DataFrameSchema, pd.DataFrame], how: str
) -> None:
    described, table = case
    if how == "shuffled":
        table = table[list(table.columns)[::-1]].assign(more=1)
    else:
        table = table.astype(object) if how == "object" else table.convert_dtypes()
    found = outcome(tables, table, described)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables.Limits, "passed", lambda *_: None)
        patch.setattr(tables.Limits, "hold", lambda *_: False)
        expected = outcome(tables, table, described)
    if isinstance(expected, list):
        assert found == expected
    else:
        assert isinstance(found, pd.DataFrame), found
        pd.testing.assert_frame_equal(found, expected)


# --- Polars ---


def test_a_table_of_polars_is_refused_in_the_same_words(tables: ModuleType) -> None:
    pl = pytest.importorskip("polars")
    pp = pytest.importorskip("pandera.polars")

    described = pp.DataFrameSchema(
        {
            "id": pp.Column(str, unique=True),
            "n": pp.Column(int, pp.Check.ge(0)),
            "f": pp.Column(float, nullable=True),
            "plan": pp.Column(str, pp.Check.isin(["a", "b"])),
        },
        strict=True,
    )
    data = pl.DataFrame({"f": [1, None, 3], "id": ["x", "y", "z"], "n": [1.0, 2.0, 3.0]})
    good = data.with_columns(plan=pl.lit("a"))
    found = outcome(tables, good, described)
    assert found.schema == {"id": pl.String, "n": pl.Int64, "f": pl.Float64, "plan": pl.String}
    assert outcome(tables, data, described) == ["None: None ()"]

    bad = pl.DataFrame({"id": ["x", "x", "z"], "n": [1, -1, 2], "f": ["1", "2", "3"]})
    bad = bad.with_columns(plan=pl.Series(["a", "c", None]))
    assert outcome(tables, bad, described) == [
        "id: must be unique (data row 1: 'x', data row 2: 'x')",
        "n: must be at least 0 (data row 2: -1)",
        "f: must be of the type Float64 ()",
        "plan: must not be empty (data row 3)",
        "plan: must be 'a' or 'b' (data row 2: 'c')",
    ]


def test_a_table_and_a_model_of_two_libraries_do_not_fit(tables: ModuleType) -> None:
    pl = pytest.importorskip("polars")
    pp = pytest.importorskip("pandera.polars")
    for table, described in [
        (pl.DataFrame({"x": [1]}), schema(int)),
        (pd.DataFrame({"x": [1]}), pp.DataFrameSchema({"x": pp.Column(int)})),
    ]:
        with pytest.raises(DataValidationError, match=r"a table of \w+, and its model is one of"):
            tables.checked(table, tables.Expected.by(described))


# --- the doors ---


class Members(pa.DataFrameModel):
    """The columns that the documentation shows."""

    id: str = pa.Field(unique=True, str_matches="^m[0-9]+$")
    plan: str = pa.Field(isin=["basic", "plus"])
    signup: datetime = pa.Field(ge="2020-01-01")
    children: pd.Int64Dtype = pa.Field(nullable=True, ge=0)
    smoker: bool

    class Config:
        strict = True


MEMBERS = """id,plan,signup,children,smoker
m1,basic,2026-01-31,,true
m2,plus,2026-01-31T12:00:00,2,false
"""
WRONG = """m1,gold,31/01/2026,1.5,1
"""
REFUSED = [
    "signup must be a time, as 2026-01-31T12:00:00",
    "children must be a whole number",
    "smoker must be true or false",
    "id must be unique",
    "plan must be 'basic' or 'plus'",
    "signup must not be empty",
]


def by_catalog(mlops: Rooms, path: Any) -> Any:
    mlops("validation").refuse_in_words()
    entry = {"type": "pandas.CSVDataset", "filepath": str(path)}
    entry["validator"] = f"{__name__}.Members"
    return DataCatalog.from_config({"members": entry}).load("members")


def by_plan(mlops: Rooms, path: Any) -> Any:
    validate = mlops("model.plan").input_validator("members", f"{__name__}.Members")
    return validate(pd.read_csv(path))


def by_function(mlops: Rooms, path: Any) -> Any:
    return mlops("validation.tables").validated(pd.read_csv(path), Members)


@pytest.mark.parametrize("door", [by_catalog, by_plan, by_function])
def test_training_batch_and_serving_say_the_same(
    mlops: Rooms, tmp_path: Any, door: Callable[[Rooms, Any], Any]
) -> None:
    file = tmp_path / "members.csv"
    file.write_text(MEMBERS)
    types = {name: column.dtype.type for name, column in Members.to_schema().columns.items()}
    assert door(mlops, file).dtypes.to_dict() == types
    file.write_text(MEMBERS + WRONG)
    with pytest.raises(DataValidationError) as refused:
        door(mlops, file)
    assert [failure.message for failure in refused.value.failures] == REFUSED[:-1]


# Type, dtype, a right value and one that no array of them holds.
BUILT = [
    ("datetime", "datetime64[ns]", "2026-01-31", "2026-13-01"),
    ("datetime", "datetime64[s]", None, "2026-02-30"),
    ("datetime", "datetime64[us, UTC]", "2026-01-31", "2026-01-31T25:00"),
    ("long", "int64", 1, 2**63),
    ("integer", "int32", -(2**63), -(2**63) - 1),
    ("long", "uint64", 2**64 - 1, 2**64),
    ("long", "Int64", 2**63 - 1, 2**70),
    ("integer", "Int8", 1.0, 300),
    ("integer", "Int8", None, -129.0),
    ("integer", "UInt8", 255, -1),
    ("double", "float64", float("inf"), 10**400),
    ("float", "Float32", None, -(10**400)),
]
WRONG_ONES = [[], [0], [999], [3, 500, 501], list(range(250)), list(range(1000))]


@pytest.mark.parametrize(("kind", "dtype", "right", "bad"), BUILT, ids=str)
@pytest.mark.parametrize("wrong", WRONG_ONES, ids=len)
def test_of_any_number_of_values_the_wrong_ones_are_counted(
    mlops: Rooms,
    wrong: list[int],
    kind: str,
    dtype: str,
    right: Any,
    bad: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One alone takes as long as hundreds together, and there may be a hundred thousand."""
    columns = mlops("model.columns")
    values = [right if row not in wrong else bad for row in range(1000)]
    column = columns.Column("x", kind, dtype)
    builds: list[int] = []
    usual = columns._BUILDERS[kind]

    def build(column: Any, values: Any) -> Any:
        builds.append(len(values))
        return usual(column, values)

    monkeypatch.setitem(columns._BUILDERS, kind, build)
    if not wrong:
        assert len(columns.array_of(column, values)) == 1000
        return
    with pytest.raises(columns.WrongValuesError) as refused:
        columns.array_of(column, values)
    assert refused.value.cases == [(row + 1, bad) for row in wrong]
    assert len(builds) < 10


@pytest.mark.parametrize("wrong", [[0], [999], [3, 500, 501], list(range(1000))], ids=len)
def test_what_only_its_library_refuses_is_found_by_halves(mlops: Rooms, wrong: list[int]) -> None:
    columns = mlops("model.columns")
    values = [Decimal(row in wrong) for row in range(1000)]
    builds: list[int] = []

    def build(column: Any, values: Any) -> Any:
        builds.append(len(values))
        if any(values):
            raise ValueError

    with pytest.raises(columns.WrongValuesError) as refused:
        columns.built(build, columns.Column("x", "decimal", "object"), values)
    rows = [row for row, _ in refused.value.cases]
    assert rows == [row + 1 for row in wrong][: len(rows)]
    assert len(rows) == len(wrong) or len(rows) >= 100
    assert len(builds) < 300
