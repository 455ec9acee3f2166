"""What goes from one process to another comes back as it was, and nothing is pickled."""

from __future__ import annotations

import datetime as dt
import math
import pickle
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rooms import Rooms

ZONE = "Europe/Berlin"
COLUMNS: dict[str, Any] = {
    "float": [1.5, math.nan, math.inf, -0.0],
    "float32": np.array([1.5, 2, 3, 4], "float32"),
    "int8": np.array([1, 2, 3, 4], "int8"),
    "uint64": np.array([1, 2, 3, 2**64 - 1], "uint64"),
    "bool": [True, False, True, False],
    "Int64": pd.array([1, None, 3, 2**62], "Int64"),
    "boolean": pd.array([True, None, False, True], "boolean"),
    "Float32": pd.array([1.5, None, 3, 4], "Float32"),
    "string": pd.array(["a", None, "", "ü"], "string"),
    "str": pd.Series(["a", None, "", "NA"]),
    "category": pd.Categorical(["b", None, "a", "b"], ["b", "a", "unused"], ordered=True),
    "category of numbers": pd.Categorical([1, 2, 1, 2]),
    "datetime": pd.to_datetime(["2020-01-01", None, "1900-01-01", "2262-01-01"]),
    "zone": pd.to_datetime(["2020-01-01", None, "2020-07-01", "2021-01-01"]).tz_localize(ZONE),
    "seconds": pd.to_datetime(["2020-01-01"] * 4).as_unit("s"),
    "timedelta": pd.to_timedelta(["1D", None, "2s", "3ns"]),
    "period": pd.period_range("2020", periods=4, freq="M"),
    "interval": pd.arrays.IntervalArray.from_breaks([0, 1, 2, 3, 4]),
    "mixed": pd.Series([1, "a", None, math.nan], dtype=object),
    "integers in objects": pd.Series([1, 2, None, 3], dtype=object),
    "dates": pd.Series([dt.date(2020, 1, 1), None, pd.NaT, pd.NA], dtype=object),
    "times": pd.Series(
        [dt.datetime(2020, 1, 1, 2), dt.time(3), pd.Timestamp(1, tz=ZONE), 4], dtype=object
    ),
    "decimals": pd.Series([Decimal("1.10"), b"bytes", np.float32(1.5), True], dtype=object),
    "lists": pd.Series([[1, [2]], (3, None), {"a": 1, 2: "b"}, np.array([1.5])], dtype=object),
}
INDEXES: dict[str, Any] = {
    "range": pd.RangeIndex(3, 11, 2, name="n"),
    "numbers": pd.Index([7, 7, 1, 0], name=("a", 1)),
    "texts": pd.Index(["a", None, "c", "d"]),
    "times": pd.date_range("2020-01-01", periods=4, tz=ZONE, name="day"),
    "categories": pd.CategoricalIndex(["a", "b", "a", "b"]),
    "levels": pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["x", None]),
    "objects": pd.Index([1, "a", None, (2, 3)], dtype=object),
}


@pytest.fixture
def back(mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a value and reads it; nothing may be pickled on the way."""
    transfer, count = mlops("model.transfer"), iter(range(10_000))

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("pickled")

    for name in ("dump", "dumps", "load", "loads"):
        monkeypatch.setattr(pickle, name, refuse)

    def through(value: Any) -> Any:
        folder = tmp_path / str(next(count))
        transfer.write(value, folder)
        return transfer.read(folder)

    return through


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_keeps_its_type_and_its_gaps(back: Any, kind: str) -> None:
    table = pd.DataFrame({kind: COLUMNS[kind], "other": 1})
    found = back(table)
    assert found.dtypes.equals(table.dtypes)
    pd.testing.assert_frame_equal(found, table)
    for value, original in zip(found[kind], table[kind], strict=True):
        assert type(value) is type(original)
    series = table[kind]
    pd.testing.assert_series_equal(back(series), series)


@pytest.mark.parametrize("kind", INDEXES)
def test_a_table_keeps_its_index_and_the_names_of_its_columns(back: Any, kind: str) -> None:
    index = INDEXES[kind]
    table = pd.DataFrame({"x": range(4)}, index=index)
    pd.testing.assert_frame_equal(back(table), table, check_freq=False)
    assert type(back(table).index) is type(index)
    across = pd.DataFrame([[1, 2.5, "a", None]], columns=index)
    pd.testing.assert_frame_equal(back(across), across, check_freq=False)
    assert back(index).identical(index) or kind == "times"


@pytest.mark.parametrize(
    "value",
    [
        np.zeros((2, 3, 4), "float32"),
        np.array(5),
        np.array(["a", "bc"]),
        np.array(["2020"], "datetime64[D]"),
        np.array([[1, None], ["a", 2.5]], object),
        np.array([], object),
        {"class": np.array([1]), "probability": pd.DataFrame({"a": [0.5]})},
        [np.float64(1.5), np.int8(1), np.datetime64("2020", "ns"), np.bool_(True)],
        (None, [], {}, (), "", 0, 1.5, True, b""),
        {1: {2: [3]}, (4, 5): None},
    ],
    ids=range(10),
)
def test_what_is_no_table_comes_back_too(back: Any, value: Any) -> None:
    found = back(value)
    assert repr(found) == repr(value)
    if isinstance(value, np.ndarray):
        assert (found.dtype, found.shape) == (value.dtype, value.shape)


def test_tables_without_rows_or_columns_or_with_a_name_twice(back: Any) -> None:
    for table in (
        pd.DataFrame(),
        pd.DataFrame(index=[3, 4]),
        pd.DataFrame({"a": []}, dtype="Int64"),
        pd.DataFrame([[1, 2.5]], columns=["a", "a"]),
        pd.DataFrame([[1, "b"]], columns=[1, None]),
    ):
        pd.testing.assert_frame_equal(back(table), table)


class Own(pd.DataFrame):
    """A table of an owner's class."""


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (object(), "a builtins.object"),
        ({1, 2}, "a builtins.set"),
        ([{"deep": pytest}], "a builtins.module"),
        (Own({"x": [1]}), "Own"),
        (pd.DataFrame({"x": [1 + 2j]}), "columns of complex128"),
        (pd.DataFrame({"x": pd.arrays.SparseArray([1])}), "columns of Sparse"),
        (np.zeros(1, [("a", object)]), "a numpy.ndarray"),
    ],
    ids=range(7),
)
def test_what_such_files_cannot_hold_is_refused_by_name(back: Any, value: Any, named: str) -> None:
    with pytest.raises(TypeError, match=named):
        back(value)


def test_polars_keeps_its_own_types(back: Any) -> None:
    polars = pytest.importorskip("polars")
    table = polars.DataFrame({"x": [1, None], "c": ["a", "b"]}, schema_overrides={"c": polars.Enum})
    assert back(table).equals(table)
    assert back(table.lazy()).collect().equals(table)
    assert back(table["x"]).equals(table["x"])


SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary()),
    *(st.dates(), st.decimals(allow_nan=False)),
    st.datetimes().map(lambda moment: moment.replace(fold=0)),
)


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_any_tree_of_values_comes_back(mlops: Rooms, value: Any) -> None:
    with TemporaryDirectory() as scratch:
        mlops("model.transfer").write(value, Path(scratch, "x"))
        assert repr(mlops("model.transfer").read(Path(scratch, "x"))) == repr(value)
