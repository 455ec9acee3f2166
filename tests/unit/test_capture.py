"""What of parameters and node outputs is captured, and under which names."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline
from matplotlib.figure import Figure
from mlflow.utils.validation import (
    MAX_ENTITY_KEY_LENGTH,
    MAX_PARAM_VAL_LENGTH,
    MAX_TAG_VAL_LENGTH,
    _validate_metric_name,
    _validate_param_name,
)
from pydantic import BaseModel
from sklearn.linear_model import Ridge

from tests.support.rooms import Rooms


def identity(*values: Any) -> Any:
    return values


class Typed(BaseModel):
    alpha: float
    steps: list[int]


@dataclass
class Plain:
    depth: int


def test_only_parameters_that_nodes_take_are_captured(mlops: Rooms) -> None:
    values = {"params:model": Typed(alpha=1.5, steps=[1]), "params:tree": Plain(3), "params:x": 1}
    catalog = DataCatalog({name: MemoryDataset(value) for name, value in values.items()})
    nodes = pipeline([node(identity, ["params:model", "params:tree", "data"], "out")])
    captured = dict(mlops("tracking.capture.values").consumed_parameters(nodes, catalog))
    assert captured == {"model": {"alpha": 1.5, "steps": [1]}, "tree": {"depth": 3}}


def test_a_node_that_takes_all_parameters_has_all_captured(mlops: Rooms) -> None:
    everything = {"seed": 3, "db": {"host": "h", "password": "CANARY"}}
    catalog = DataCatalog({"parameters": MemoryDataset(everything)})
    nodes = pipeline([node(identity, ["parameters"], "out")])
    captured = dict(mlops("tracking.capture.values").consumed_parameters(nodes, catalog))
    assert captured == {"seed": 3, "db": {"host": "h", "password": "********"}}


def test_keys_of_parameters_may_be_numbers(mlops: Rooms) -> None:
    values = mlops("tracking.capture.values")
    catalog = DataCatalog({"parameters": MemoryDataset({2020: 1.5, "by_year": {2021: 2.5}})})
    nodes = pipeline([node(identity, ["parameters"], "out")])
    captured = dict(values.consumed_parameters(nodes, catalog))
    assert captured == {"2020": 1.5, "by_year": {2021: 2.5}}
    flat, _ = to_mlflow(mlops, captured, dict_params={"flatten": True})
    assert flat == {"2020": "1.5", "by_year.2021": "2.5"}


class Secretive(BaseModel):
    """A parameter that does not say what it holds."""

    alpha: float

    def model_dump(self, **_: Any) -> dict[str, Any]:
        raise RuntimeError("no dump")


def test_a_parameter_of_a_strange_class_is_its_classs_name(mlops: Rooms) -> None:
    assert to_mlflow(mlops, {"p": object(), "q": [1, Ridge()], "r": {Typed}}) == (
        {"p": "object", "q": "[1, Ridge]", "r": "{ModelMetaclass}"},
        {},
    )
    catalog = DataCatalog({"params:s": MemoryDataset(Secretive(alpha=1), copy_mode="assign")})
    nodes = pipeline([node(identity, ["params:s"], "out")])
    captured = mlops("tracking.capture.values").consumed_parameters(nodes, catalog)
    assert dict(captured) == {"s": "Secretive"}


def test_a_parameter_that_is_part_of_another_one_is_captured_once(mlops: Rooms) -> None:
    values = {"params:model": {"alpha": 1, "x": {"y": 2}}, "params:model.x.y": 2, "params:mod": 3}
    catalog = DataCatalog({name: MemoryDataset(value) for name, value in values.items()})
    nodes = pipeline([node(identity, list(values), "out")])
    captured = list(mlops("tracking.capture.values").consumed_parameters(nodes, catalog))
    assert captured == [("mod", 3), ("model", {"alpha": 1, "x": {"y": 2}})]


def test_a_part_that_is_read_without_the_whole_is_captured_by_its_path(mlops: Rooms) -> None:
    values = {"params:model.alpha": 0.5, "params:model.tree.depth": 3, "params:model2": 1}
    catalog = DataCatalog({name: MemoryDataset(value) for name, value in values.items()})
    nodes = pipeline([node(identity, list(values), "out")])
    captured = dict(mlops("tracking.capture.values").consumed_parameters(nodes, catalog))
    assert captured == {"model.alpha": 0.5, "model.tree.depth": 3, "model2": 1}


def to_mlflow(mlops: Rooms, values: dict[str, Any], **options: Any) -> Any:
    """Apply `tracking.params` of mlflow.yml to parameters."""
    parsed = mlops("config").ParamsOptions(**options)
    made: dict[str, dict[str, str]] = {"params": {}, "tags": {}}
    for kind, name, text in mlops("tracking.capture.values").to_mlflow(values.items(), parsed):
        made[kind][name] = text
    return made["params"], made["tags"]


def test_nested_parameters_are_flattened_as_deep_as_configured(mlops: Rooms) -> None:
    values = {"a": {"b": {1: "x"}, "none": {}}, "c": None}
    flat, _ = to_mlflow(mlops, values, dict_params={"flatten": True, "sep": "/"})
    assert flat == {"a/b/1": "x", "a/none": "{}", "c": "None"}
    first, _ = to_mlflow(mlops, values, dict_params={"flatten": True, "recursive": False})
    assert first == {"a.b": "{1: 'x'}", "a.none": "{}", "c": "None"}
    whole, _ = to_mlflow(mlops, values)
    assert whole == {"a": "{'b': {1: 'x'}, 'none': {}}", "c": "None"}


def test_the_limits_are_those_of_the_installed_mlflow(mlops: Rooms) -> None:
    limits = mlops("tracking.capture.values")
    assert limits.MAX_PARAM_LENGTH == MAX_PARAM_VAL_LENGTH
    assert limits.MAX_NAME_LENGTH == MAX_ENTITY_KEY_LENGTH
    assert limits.MAX_TAG_LENGTH == MAX_TAG_VAL_LENGTH


def test_a_value_at_the_limit_is_kept_whole_and_one_above_it_as_configured(
    mlops: Rooms,
) -> None:
    fits, long = "x" * MAX_PARAM_VAL_LENGTH, "x" * (MAX_PARAM_VAL_LENGTH + 1)
    assert to_mlflow(mlops, {"p": fits}) == ({"p": fits}, {})
    with pytest.raises(mlops("errors").TrackingError, match=r"'p' is 6001 .*strategy"):
        to_mlflow(mlops, {"p": long})
    assert to_mlflow(mlops, {"p": long}, long_params_strategy="truncate") == ({"p": fits}, {})
    assert to_mlflow(mlops, {"p": long}, long_params_strategy="tag") == ({}, {"p": long})
    longest, too_long = "x" * MAX_TAG_VAL_LENGTH, "x" * (MAX_TAG_VAL_LENGTH + 1)
    assert to_mlflow(mlops, {"p": too_long}, long_params_strategy="tag") == ({}, {"p": longest})


@given(st.text(st.characters() | st.sampled_from("./ ab"), max_size=300))
@example("x" * 249 + "/y")
@example("..a/.")
def test_mended_names_are_names_that_mlflow_takes(mlops: Rooms, name: str) -> None:
    mended = mlops("tracking.capture.values").valid_name(name)
    _validate_param_name(mended)
    _validate_metric_name(mended)
    assert len(mended) <= MAX_ENTITY_KEY_LENGTH


@pytest.mark.parametrize("name", ["model.alpha", "evaluation/sex_1/r2", "a b-c:d", "größe"])
def test_a_name_that_mlflow_takes_stays_as_it_is(mlops: Rooms, name: str) -> None:
    assert mlops("tracking.capture.values").valid_name(name) == name


def metrics_of(mlops: Rooms, value: Any, **options: Any) -> Any:
    """Read metrics of an output `m` as `tracking.metrics` of mlflow.yml says."""
    findings, parsed = mlops("tracking.capture.findings"), mlops("config").MetricsOptions(**options)
    names = mlops("tracking.capture.values").Names()
    return findings.metrics_of("m", findings.find(value, parsed), parsed, names)


def left_out(mlops: Rooms, value: Any, **options: Any) -> Any:
    findings, parsed = mlops("tracking.capture.findings"), mlops("config").MetricsOptions(**options)
    return findings.left_out(findings.find(value, parsed))


class Score(float):
    """A number that says nothing true of itself."""

    def __float__(self) -> float:
        raise RuntimeError("no number")


class Label(str, Enum):
    GOOD = "good"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, [("m", 3.0, 0)]),
        (True, [("m", 1.0, 0)]),
        (np.float32(0.5), [("m", 0.5, 0)]),
        (np.bool_(False), [("m", 0.0, 0)]),
        (np.array(2.5), [("m", 2.5, 0)]),
        (Decimal("0.25"), [("m", 0.25, 0)]),
        (Fraction(1, 4), [("m", 0.25, 0)]),
        (Score(0.5), [("m", 0.5, 0)]),
        ({"a": 1, "b": {"c": np.int64(2)}}, [("m/a", 1.0, 0), ("m/b/c", 2.0, 0)]),
        (OrderedDict(a=1), [("m/a", 1.0, 0)]),
        ({"inf": math.inf}, [("m/inf", math.inf, 0)]),
        ({Label.GOOD: 1, ("x", 2): 2}, [("m/Label.GOOD", 1.0, 0), ("m/__x__ 2_", 2.0, 0)]),
        # Histories.
        ([0.5, 0.25], [("m", 0.5, 0), ("m", 0.25, 1)]),
        ([True, False], [("m", 1.0, 0), ("m", 0.0, 1)]),
        ([(10, 0.5), (np.int64(20), 1)], [("m", 0.5, 10), ("m", 1.0, 20)]),
        ([[10, 0.5]], [("m", 0.5, 10)]),
        ({"loss": [1.0, -math.inf]}, [("m/loss", 1.0, 0), ("m/loss", -math.inf, 1)]),
        ({"loss": [1.0, None, 0.5]}, [("m/loss", 1.0, 0), ("m/loss", 0.5, 2)]),
        # As kedro-mlflow has them.
        ({1: 0.1, 2: 0.2}, [("m", 0.1, 1), ("m", 0.2, 2)]),
        ({"loss": {np.int64(1): 0.1, 2: None}}, [("m/loss", 0.1, 1)]),
        ({"value": 0.1, "step": 3}, [("m", 0.1, 3)]),
        ({"auc": {"value": 0.1, "step": 3}}, [("m/auc", 0.1, 3)]),
        (
            {"train": [{"value": 0.1, "step": 1}, {"value": 0.2, "step": 2, "timestamp": 9}]},
            [("m/train", 0.1, 1), ("m/train", 0.2, 2)],
        ),
        # Of a mixed dictionary the numbers.
        ({"rmse": 1.5, "auc": None}, [("m/rmse", 1.5, 0)]),
        ({"rmse": 1.5, "loss": []}, [("m/rmse", 1.5, 0)]),
        ({"rmse": 2.0, "best_model": "ridge"}, [("m/rmse", 2.0, 0)]),
        ({"a": 1, "b": True}, [("m/a", 1.0, 0), ("m/b", 1.0, 0)]),
        ({"a": 1, "folds": [{"rmse": 2}], "x": np.ones(3)}, [("m/a", 1.0, 0)]),
        ({1: 0.5, 2: "text"}, [("m/1", 0.5, 0)]),
        ({0: {"recall": 0.5}}, [("m/0/recall", 0.5, 0)]),
        ({"value": 0.1}, [("m/value", 0.1, 0)]),
        ({"value": "x", "step": 3}, [("m/step", 3.0, 0)]),
        ({"a": 1, "huge": 10**400}, [("m/a", 1.0, 0)]),
        # Data.
        ("3", []),
        ({}, []),
        ([], []),
        ([1.0, "text"], []),
        ([(0.5, 1.0)], []),
        ([(1, 2, 3)], []),
        ([{"id": 1, "name": "x"}], []),
        ((3.0, 4.0), []),
        (np.array([1.0]), []),
        (np.timedelta64(5, "s"), []),
        (1j, []),
        (None, []),
        (iter([1.0]), []),
    ],
)
def test_numbers_histories_and_dictionaries_of_them_are_metrics(
    mlops: Rooms, value: Any, expected: list[Any]
) -> None:
    assert metrics_of(mlops, value) == expected


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"rmse": 1.5, "auc": None, "best": "ridge"}, "auc (None), best (str)"),
        ({"rmse": 1.5, "loss": []}, "loss (list)"),
        ({"a": {"b": 1, "c": [1, "x"]}}, "a/c (list of 2 entries)"),
        ({"a": 1, "x": np.ones(3)}, "x (ndarray of 3 entries)"),
        ({"loss": [1.0, None]}, "loss (None at 1 of 2 steps)"),
        ({"a": 1, "big": dict.fromkeys("abcdef", 1)}, "big (dict of 6 entries)"),
        ({"a": 1, "long": [0.5] * 8}, "long (list of 8 entries)"),
        (dict.fromkeys("abcdef", 1), "dict of 6 entries"),
        ([0.5] * 8, "list of 8 entries"),
        ({"a": {"b": 1, "c": 2}, "d": {"e": 3, "f": 4}}, "more than 5 entries"),
        ({"a": 1, "model": Ridge(), "figure": Figure()}, ""),
        # Data of which nobody expects to see them.
        ("text", ""),
        (["a", "b"], ""),
        ({"a": "x", "b": None}, ""),
        (dict.fromkeys("abcdef", "x"), ""),
        (["x"] * 8, ""),
    ],
)
def test_what_is_left_out_of_an_output_with_numbers_is_named(
    mlops: Rooms, value: Any, said: str
) -> None:
    assert left_out(mlops, value, max_names=5, max_history=7) == said


def test_of_very_many_entries_some_are_named(mlops: Rooms) -> None:
    value: dict[str, Any] = {"a": 1} | {f"t{number}": "text" for number in range(12)}
    assert left_out(mlops, value).endswith("t9 (str) and 2 more")


def test_an_output_of_more_entries_than_the_limit_is_data(mlops: Rooms) -> None:
    many = {f"n{number}": number for number in range(1001)}
    assert metrics_of(mlops, many) == []
    assert len(metrics_of(mlops, many, max_names=1001)) == 1001
    assert metrics_of(mlops, {"rmse": 1.5, "lookup": many}) == [("m/rmse", 1.5, 0)]
    halves = {"a": dict(list(many.items())[:600]), "b": dict(list(many.items())[:600])}
    assert metrics_of(mlops, halves) == []


def test_a_dictionary_that_holds_itself_is_read_once(mlops: Rooms) -> None:
    value: dict[str, Any] = {"rmse": 1.5}
    value["self"] = value
    assert metrics_of(mlops, value) == [("m/rmse", 1.5, 0)]


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ({"hit@5": 0.5, "hit#5": 0.9}, ["m/hit_5", "m/hit_5_2"]),
        ({"hit@5": 0.5, "hit_5": 0.9}, ["m/hit_5_2", "m/hit_5"]),
        ({"a/b": 1, "a": {"b": 2}}, ["m/a/b", "m/a/b_2"]),
        ({"x" * 300: 1, "x" * 301: 2}, [f"m/{'x' * 248}", f"m/{'x' * 246}_2"]),
        ({"a": 1, "A": 2}, ["m/a", "m/A"]),
        ({"a@": 1, "a#": 2, "a__2": 3, "a_": 4}, ["m/a__3", "m/a__4", "m/a__2", "m/a_"]),
    ],
)
def test_two_names_that_mlflow_would_make_one_stay_two(
    mlops: Rooms, value: Any, names: list[str]
) -> None:
    assert [name for name, _, _ in metrics_of(mlops, value)] == names
    for name in names:
        _validate_metric_name(name)


@given(
    st.lists(st.tuples(st.integers(0, 900), st.sampled_from("abc")), max_size=800),
    st.integers(1, 300),
)
def test_a_thing_keeps_its_name_and_no_other_gets_it(
    mlops: Rooms, things: list[tuple[int, str]], different: int
) -> None:
    names = mlops("tracking.capture.values").Names("m0")
    expected: dict[tuple[int, str], str] = {}
    taken = {"m0"}
    for thing in things:
        wanted = name = f"m{thing[0] % different}"
        number = 1
        while thing not in expected and name in taken:
            number += 1
            name = f"{wanted}_{number}"
        taken.add(expected.setdefault(thing, name))
        assert names.name(thing, wanted) == expected[thing]


def test_nan_is_a_metric(mlops: Rooms) -> None:
    assert math.isnan(metrics_of(mlops, math.nan)[0][1])
    assert math.isnan(metrics_of(mlops, [1.0, math.nan])[1][1])


def test_a_list_that_is_too_long_for_a_history_is_data(mlops: Rooms) -> None:
    assert len(metrics_of(mlops, [1.0] * 10_000)) == 10_000
    assert metrics_of(mlops, [1.0] * 10_001) == []
    assert metrics_of(mlops, [1.0] * 3, max_history=2) == []


def test_metrics_are_kept_by_patterns_of_their_names(mlops: Rooms) -> None:
    value = {"train": {"r2": 1, "mae": 2}, "test": {"r2": 3}}

    def names(**options: Any) -> list[str]:
        return [name for name, _, _ in metrics_of(mlops, value, **options)]

    assert names() == ["m/train/r2", "m/train/mae", "m/test/r2"]
    assert names(include=["*/r2"]) == ["m/train/r2", "m/test/r2"]
    assert names(exclude=["m/train/*"]) == ["m/test/r2"]
    assert names(include=["m/train/*"], exclude=["*mae"]) == ["m/train/r2"]


def test_two_parameters_that_mlflow_would_make_one_stay_two(mlops: Rooms) -> None:
    values = {"hit@5": 1, "hit#5": 2, "a.b": 3, "a": {"b": 4}}
    params, _ = to_mlflow(mlops, values, dict_params={"flatten": True})
    assert params == {"hit_5": "1", "hit_5_2": "2", "a.b": "3", "a.b_2": "4"}


def test_a_figure_is_saved_in_a_file_of_its_kind(mlops: Rooms, tmp_path: Path) -> None:
    save = mlops("tracking.capture.artifacts").save_figure
    saved = save(Figure(), tmp_path / "new" / "plot.v1")
    assert saved == tmp_path / "new" / "plot.v1.png"
    assert saved.read_bytes().startswith(b"\x89PNG")
    assert save(Figure(), tmp_path / "plot.png") == tmp_path / "plot.png"


def test_a_figure_of_plotly_is_saved_as_a_page(mlops: Rooms, tmp_path: Path) -> None:
    figure = pytest.importorskip("plotly.graph_objects").Figure()
    saved = mlops("tracking.capture.artifacts").save_figure(figure, tmp_path / "plot.v1")
    assert saved == tmp_path / "plot.v1.html"
    assert "plotly" in saved.read_text(encoding="utf-8").lower()
