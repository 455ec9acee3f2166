"""What a model remembers of its training data: shares, and nothing of one person."""

from __future__ import annotations

import json
import math
import re
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.support.answers import REPOSITORY
from tests.support.profiles import examples
from tests.support.rooms import room

reference = room("monitoring.reference")
Distribution = reference.Distribution

NUMBERS = st.lists(
    st.one_of(
        st.integers(-50, 50).map(float),
        st.floats(allow_infinity=True, allow_nan=True, width=64),
        st.sampled_from([0.0, 1.0, math.nan]),
    ),
    max_size=200,
)
TEXTS = st.lists(st.sampled_from(["a", "b", "c", None, *"defghij"]), max_size=120)


# --- nothing about one person ---


@given(NUMBERS)
@example([float(number) for number in range(100)])  # Short numbers, each of one row.
@example([*map(float, range(60)), *[math.inf, -math.inf] * 60])
@example([number * 1e306 for number in range(-90, 90)])  # No float holds how far they are apart.
@settings(max_examples=examples(50, weekly=500))
def test_no_number_of_few_rows_and_no_small_bucket_is_in_it(values: list[float]) -> None:
    column = pd.Series(values, dtype=float)
    found = reference.distribution_of(column, "double")
    counts = found.count(column)
    often = column.value_counts()
    for bound in found.bounds:
        assert often.get(bound, 0) == 0  # Not the value of any row.
    for name in found.names:
        assert often[float(name)] >= 10
    if found.bounds or found.names:
        assert all(count == 0 or count >= 10 for count in counts.buckets)
    assert sum(counts.buckets) + counts.missing == len(values)


@given(TEXTS)
def test_no_text_of_few_rows_is_in_it_nor_known_by_subtraction(values: list[str | None]) -> None:
    column = pd.Series(values, dtype=object)
    found = reference.distribution_of(column, "string")
    for name in found.names:
        assert values.count(name) >= 10
    if found.names:
        *_, others = found.count(column).buckets
        assert others == 0 or others >= 10
    if found.missing:
        assert values.count(None) >= 10


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_one_row_more_or_less_is_not_seen_in_any_name(data: st.DataObject) -> None:
    """An outlier, a rare text, a person without an answer: each alone in its column."""
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    rows = data.draw(st.integers(30, 400))
    table = pd.DataFrame(
        {
            "income": random.normal(40_000, 9_000, rows).round(2),
            "job": random.choice(["nurse", "teacher"], rows),
            "height": random.normal(170, 9, rows).round(1),
        }
    )
    rich = {"income": 987_654_321.12, "job": "astronaut", "height": math.nan}
    with_one = pd.concat([table, pd.DataFrame([rich])], ignore_index=True)
    text = written(with_one, {"income": "double", "job": "string", "height": "double"})
    assert "987" not in text
    assert "astronaut" not in text
    content = json.loads(text)["groups"][""]
    assert content["columns"]["height"]["missing"] == 0
    assert all(bound < 100_000 for bound in content["columns"]["income"]["bounds"])
    for bound in content["columns"]["income"]["bounds"]:
        assert bound not in set(with_one["income"])


def written(
    table: pd.DataFrame,
    kinds: dict[str, str],
    slices: tuple[str, ...] = (),
    ids: tuple[str, ...] = (),
) -> str:
    schema_room, column = room("model.schema"), room("model.columns").Column
    columns = [column(name, kind, "object", is_id=name in ids) for name, kind in kinds.items()]
    schema = schema_room.Schema(columns)
    made = reference.reference_of(reference.as_columns(table), schema, {}, slices)
    with TemporaryDirectory() as folder:
        path = Path(folder, "reference.json")
        made.write(path)
        return path.read_text("utf-8")


def test_a_small_group_is_no_slice_nor_known_by_subtraction() -> None:
    sexes = ["f"] * 60 + ["m"] * 40 + ["x"] * 3
    table = pd.DataFrame({"age": np.arange(103.0), "sex": sexes})
    content = json.loads(written(table, {"age": "double", "sex": "string"}, ("sex",)))
    # With the men named, what all have less those two groups would be the three.
    assert list(content["groups"]) == ["", "sex=f"]
    assert content["groups"]["sex=f"]["columns"]["age"]["bounds"]


def test_nothing_in_it_has_more_than_two_digits() -> None:
    """The difference of two references would tell of the rows that one has more."""
    random = np.random.default_rng(5)
    numbers = random.normal(0, 1, 1013)
    numbers[:137], numbers[200:217] = math.nan, 1e6
    table = pd.DataFrame({"x": numbers, "s": random.choice(["a", "b", "c"], 1013)})
    content = json.loads(written(table, {"x": "double", "s": "string"}, ("s",)))["groups"]
    assert len(content) == 4
    for about in content.values():
        found = [about["rows"]]
        for column in about["columns"].values():
            found += [*column["shares"], column["missing"], column["outside"]]
        assert [float(f"{each:.2g}") for each in found] == found
    of_all = content[""]["columns"]["x"]
    assert (of_all["missing"], of_all["outside"]) == (0.14, 0.019)


def test_an_id_is_not_described_nor_what_is_no_prediction() -> None:
    table = pd.DataFrame({"patient": ["a"] * 50, "x": np.arange(50.0)})
    content = json.loads(written(table, {"patient": "string", "x": "double"}, ids=("patient",)))
    assert [*content["groups"][""]["columns"]] == ["x"]
    predicted = table.assign(y=1.0, model_version=1, model_run_id="a")
    rows = reference.as_columns(table)
    found = reference.predictions_by_group(reference.as_columns(predicted), rows, (), ["patient"])
    assert [*found[""]] == ["x", "y"]


@pytest.mark.parametrize("kind", ["double", "string", "datetime"])
@pytest.mark.parametrize(
    ("missing", "known", "share"),
    [(9, 91, 0.0), (10, 90, 0.1), (90, 10, 0.9), (91, 9, 1.0), (5, 5, 0.0), (10, 0, 1.0)],
)
def test_gaps_are_told_where_neither_they_nor_the_others_are_few(
    kind: str, missing: int, known: int, share: float
) -> None:
    values = {"double": 1.5, "string": "a", "datetime": pd.Timestamp("2020-01-01")}
    column = pd.Series([None] * missing + [values[kind]] * known, dtype=object)
    assert reference.distribution_of(column, kind).missing == share


@pytest.mark.parametrize(("beyond", "share"), [(9, 0.0), (10, 0.0099), (50, 0.048)])
def test_few_numbers_beyond_the_fence_are_not_told(beyond: int, share: float) -> None:
    column = pd.Series([*np.linspace(0, 1, 1000), *[50.0 + n for n in range(beyond)]])
    assert reference.distribution_of(column, "double").outside == share


def test_a_category_that_is_a_secret_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    known = room("redaction").KNOWN
    known.add({"CANARY-of-a-customer"})
    try:
        table = pd.DataFrame({"s": ["CANARY-of-a-customer"] * 20})
        assert "CANARY" not in written(table, {"s": "string"}, ("s",))
    finally:
        known.clear()


# --- what it is good for ---


def test_what_the_training_had_already_is_no_drift() -> None:
    """Rare texts, numbers far outside and gaps, in as many of a hundred rows as before."""
    options = room("monitoring.options").MonitoringOptions()
    rare = [f"rare {n}" for n in range(200)]
    texts = pd.Series(["a"] * 400 + ["b"] * 300 + rare + [None] * 100, dtype=object)
    far = np.linspace(0, 1, 800).tolist() + [50.0 + n for n in range(70)] + [math.nan] * 130
    for column, kind, share in [
        (texts, "string", "unseen"),
        (pd.Series(far), "double", "out_of_range"),
    ]:
        found = reference.distribution_of(column, kind)
        measured = found.drift(1000, found.count(column))
        assert min(measured[share], measured["missing"]) > 0.07
        assert options.broken("x", measured, found.before, 1000) == {}
        assert {*options.broken("x", measured, {}, 1000)} == {"missing", share}


def test_the_twenty_most_frequent_categories_have_a_name() -> None:
    values = [text for n in range(30) for text in [f"c{n:02}"] * (40 - n)]
    found = reference.distribution_of(pd.Series(values, dtype=object), "string")
    assert found.names == [f"c{n:02}" for n in range(20)]
    assert found.buckets[-1] == "(other)"


def test_numbers_are_cut_into_deciles_at_short_numbers() -> None:
    values = pd.Series(np.random.default_rng(7).normal(50, 10, 2000))
    found = reference.distribution_of(values, "double")
    assert len(found.shares) == 10
    assert found.shares == pytest.approx([0.1] * 10, abs=0.021)
    assert max(len(str(bound)) for bound in found.bounds) <= 4
    assert found.bounds == pytest.approx(np.quantile(values, np.arange(1, 10) / 10), abs=0.7)
    low, high = found.fence
    assert -10 < low < 25
    assert 75 < high < 110


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    one = Distribution([0.5, 0.5], 0.1, [3.5], [])
    two = Distribution([0.3, 0.7], 0.0, [], ["a"])
    made = reference.Reference(
        {"": reference.Group(100, {"x": one}, {"y": two}), "s=a": reference.Group(30, {"x": two})}
    )
    made.write(tmp_path / "reference.json")
    assert reference.Reference.read(tmp_path / "reference.json") == made


KINDS = [
    ([1.0, 2.0, math.nan, 1e9], Distribution([0.5, 0.5], 0, [1.5]), [1, 2], 1, 0),
    ([1, "2", None, "x"], Distribution([0.5, 0.5], 0, [1.5]), [1, 1], 2, 0),
    ([1.5, 1.5, 1.4], Distribution([0.5, 0.5], 0, [1.5]), [1, 2], 0, 0),  # "from 1.5"
    ([-9.0, 5.0, 99.0], Distribution([0.2, 0.6, 0.2], 0, [4, 6]), [1, 1, 1], 0, 2),
    (["a", "b", None, "z"], Distribution([0.5] * 3, 0, (), ["a", "b"]), [1, 1, 1], 1, 1),
    ([True, False, None], Distribution([0.5] * 3, 0, (), ["true", "false"]), [1, 1, 0], 1, 0),
    # As JSON and as pandas have it.
    ([1, 1.0, "1", 3], Distribution([0.5, 0.5], 0, (), ["1"]), [3, 1], 0, 1),
    ([1.0, 1.0, 3.0], Distribution([0.5, 0.5], 0, (), ["1"]), [2, 1], 0, 1),  # Without a gap.
    ([["a"], {"b": 1}], Distribution([0.5, 0.5], 0, (), ["a"]), [0, 2], 0, 2),
    ([pd.Timestamp("2020-01-01"), None], Distribution(), [1], 1, 0),
]


@pytest.mark.parametrize(("values", "distribution", "buckets", "missing", "beyond"), KINDS)
def test_each_kind_of_value_is_counted(
    values: list[Any], distribution: Any, buckets: list[int], missing: int, beyond: int
) -> None:
    found = distribution.count(pd.Series(values, dtype=object))
    assert found == (buckets, missing, beyond)
    assert len(distribution.buckets) == len(distribution.shares)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pd.Series([True, False]), "category"),
        (pd.Series(["a", "b"], dtype="category"), "category"),
        (pd.Series([1, 2]), "double"),
        (pd.Series([1, None], dtype="Int64"), "double"),
        (pd.Series(["a", None]), "string"),
        (pd.Series(["a", "b"], dtype="string"), "string"),
        (pd.Series(["a", 1], dtype=object), ""),
        (pd.Series([["a"], ["b"]]), ""),
        (pd.Series([date(2020, 1, 1)] * 2), ""),
        (pd.to_datetime(pd.Series(["2020-01-01"])), ""),
    ],
    ids=lambda each: str(each.dtype) if isinstance(each, pd.Series) else each,
)
def test_predictions_are_described_by_what_they_are(values: pd.Series[Any], kind: str) -> None:
    assert reference.kind_of(values) == kind


def test_a_shift_is_measured_and_the_same_data_are_not_one() -> None:
    random = np.random.default_rng(3)
    before = pd.Series(random.normal(0, 1, 1000))
    found = reference.distribution_of(before, "double")
    same = found.drift(1000, found.count(pd.Series(random.normal(0, 1, 300))))
    moved = found.drift(1000, found.count(pd.Series(random.normal(1.5, 1, 300))))
    assert same["psi"] < 0.15
    assert same["p_value"] > 0.01
    assert moved["psi"] > 0.5
    assert moved["p_value"] < 1e-6


def test_the_rules_of_a_new_project_are_those_without_a_file() -> None:
    path = REPOSITORY / "template/conf/base/monitoring.yml.jinja"
    content = yaml.safe_load(re.sub(r"{{.*}}", "[]", path.read_text("utf-8")))
    options = room("monitoring.options").MonitoringOptions()
    assert options.model_dump() == content
    assert type(options).model_validate({"rules": None, "columns": None}) == options


def test_a_rule_that_nobody_knows_is_refused() -> None:
    options = room("monitoring.options").MonitoringOptions
    cases: list[Any] = [{"rules": {"ps": 1}}, {"columns": {"a": {"ps": 1}}}, {"rule": {}}]
    for wrong in cases:
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            options.model_validate(wrong)


def test_rules_that_are_broken() -> None:
    options = room("monitoring.options").MonitoringOptions(
        rules={"psi": 0.2}, columns={"b": {"missing": 0.5}, "c": {"psi": None}}
    )
    far = {"psi": 0.3, "p_value": 0.001, "missing": 0.2, "unseen": 0.2}
    assert options.broken("a", far, {}, 1000) == {"psi": 0.2, "missing": 0.05, "unseen": 0.05}
    assert options.broken("a", far, {"missing": 0.18}, 1000) == {"psi": 0.2, "unseen": 0.05}
    assert "unseen" not in options.broken("a", far, {"unseen": 0.18}, 1000)
    assert options.broken("b", far, {}, 1000) == {"psi": 0.2, "unseen": 0.05}
    assert options.broken("c", far, {}, 1000) == {"missing": 0.05, "unseen": 0.05}
    # A limit is the most that may be, and what the training did not have at all is none.
    assert "psi" not in options.broken("a", {**far, "psi": 0.2}, {}, 1000)
    assert options.broken("a", {"missing": 1.0}, {"missing": 1.0}, 1000) == {}
    # Ten rows look like a shift now and then, and one of them is more than five in a hundred.
    few = {"psi": 0.3, "p_value": 0.2, "missing": 0.1, "unseen": 0.1}
    assert options.broken("a", few, {}, 10) == {}
    assert options.broken("a", {**far, "p_value": 0.2}, {"missing": 0.2}, 1000) == {"unseen": 0.05}
