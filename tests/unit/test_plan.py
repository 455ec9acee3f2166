"""The packaged pipeline predicts what `kedro run` does, without Kedro's runner."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from itertools import pairwise
from typing import Any

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from kedro.runner import SequentialRunner
from kedro.validation import DataValidationError

from tests.support.rooms import Rooms

ROWS = pd.DataFrame({"x": [1.0, 2.0, 3.0]}, index=[5, 6, 7])
PARAMETERS = {"factor": 2.0, "shift": {"by": 1.0}}
GIVEN = {"parameters": PARAMETERS} | {f"params:{key}": PARAMETERS[key] for key in PARAMETERS}


def halves(rows: pd.DataFrame) -> list[pd.DataFrame]:
    return [rows.head(1), rows.tail(2)]


def named(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {"low": rows - 1, "high": rows + 1}


def joined(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([one, other])


def scaled(rows: pd.DataFrame, factor: float) -> pd.DataFrame:
    return rows * factor


def shifted(rows: pd.DataFrame, shift: dict[str, float]) -> pd.DataFrame:
    return rows + shift.pop("by")


def all_parameters(rows: pd.DataFrame, parameters: dict[str, Any]) -> pd.DataFrame:
    return rows * parameters["factor"] + parameters["shift"]["by"]


def spoiling(rows: pd.DataFrame) -> pd.DataFrame:
    rows["x"] = -1.0
    return rows


def in_parts(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for label in rows.index:
        yield rows.loc[[label]]


def pairs_in_parts(rows: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    for label in rows.index:
        yield rows.loc[[label]], rows.loc[[label]] * 2


def nothing(rows: pd.DataFrame) -> None:
    """Look at the rows, as a check does."""


PIPELINES = {
    "a list of outputs": [
        node(halves, "rows", ["first", "rest"]),
        node(joined, ["rest", "first"], "out"),
    ],
    "a dictionary of outputs": [
        node(named, "rows", {"low": "under", "high": "over"}),
        node(joined, {"other": "under", "one": "over"}, "out"),
    ],
    "a parameter": [node(scaled, ["rows", "params:factor"], "out")],
    "a parameter that the node changes": [node(shifted, ["rows", "params:shift"], "out")],
    "all parameters": [node(all_parameters, {"rows": "rows", "parameters": "parameters"}, "out")],
    "a table that the first of two changes": [
        node(spoiling, "rows", "spoilt", name="a"),
        node(joined, ["rows", "spoilt"], "out", name="b"),
    ],
    "a namespace": Pipeline(
        [node(named, "in", {"low": "low", "high": "high"}), node(joined, ["low", "high"], "out")],
        namespace="inner",
        inputs={"in": "rows"},
        outputs={"out": "out"},
    ).nodes,
    "a node that yields": [
        node(in_parts, "rows", "part"),
        node(scaled, ["part", "params:factor"], "out"),
    ],
    "a node that yields pairs": [
        node(pairs_in_parts, "rows", ["one", "two"]),
        node(joined, ["one", "two"], "out"),
    ],
    "a node without outputs": [node(nothing, "rows", None), node(spoiling, "rows", "out")],
    "the same data set twice": [node(joined, ["rows", "rows"], "out")],
}


def plan_of(mlops: Rooms, nodes: Any, **more: Any) -> Any:
    plan, constants = mlops("model.plan"), deepcopy(GIVEN)
    fitted = more.pop("fitted", {})
    steps = plan.steps_of(Pipeline(nodes), fitted.keys(), constants.keys())
    return plan.InferencePlan(steps, "rows", "out", {**fitted, **constants}, **more)


def by_kedro(nodes: Any) -> Any:
    catalog = DataCatalog(
        {name: MemoryDataset(value) for name, value in (deepcopy(GIVEN) | {"rows": ROWS}).items()}
    )
    return SequentialRunner().run(Pipeline(nodes), catalog)["out"].load()


@pytest.mark.parametrize("what", PIPELINES)
def test_it_predicts_what_kedros_runner_does_as_often_as_it_is_asked(
    mlops: Rooms, what: str
) -> None:
    expected, plan = by_kedro(PIPELINES[what]), plan_of(mlops, PIPELINES[what])
    before = ROWS.copy()
    for _ in range(3):
        pd.testing.assert_frame_equal(plan.predict(ROWS), expected)
    pd.testing.assert_frame_equal(ROWS, before)


@pytest.mark.parametrize(
    ("function", "outputs", "message"),
    [
        (scaled, ["a", "b"], "contains a list of outputs"),
        (halves, ["a", "b", "c"], "returned 2 output"),
        (halves, {"low": "a"}, "output is a dictionary"),
        (named, {"low": "a"}, "do not match"),
    ],
)
def test_a_node_that_does_not_return_what_it_promised_is_told_of(
    mlops: Rooms, function: Any, outputs: Any, message: str
) -> None:
    inputs = ["rows", "params:factor"] if function is scaled else "rows"
    nodes = [node(function, inputs, outputs), node(spoiling, "a", "out")]
    with pytest.raises(ValueError, match=message):
        plan_of(mlops, nodes).predict(ROWS)


def test_a_fitted_data_set_is_handed_out_as_it_is(mlops: Rooms) -> None:
    regressor = object()
    seen: list[object] = []

    def predict(rows: pd.DataFrame, regressor: object) -> pd.DataFrame:
        seen.append(regressor)
        return rows

    nodes = [node(predict, ["rows", "regressor"], "out")]
    plan_of(mlops, nodes, fitted={"regressor": regressor}).predict(ROWS)
    assert seen == [regressor]


def test_data_that_nobody_will_read_any_more_are_let_go(mlops: Rooms) -> None:
    made: list[weakref.ref[pd.DataFrame]] = []
    alive: list[int] = []

    def copied(rows: pd.DataFrame) -> pd.DataFrame:
        alive.append(sum(ref() is not None for ref in made))
        made.append(weakref.ref(result := rows.copy()))
        return result

    names = ["rows", "a", "b", "c", "out"]
    nodes = [node(copied, *pair, name=pair[0]) for pair in pairwise(names)]
    plan_of(mlops, nodes).predict(ROWS)
    # The one that it reads.
    assert alive == [0, 1, 1, 1]


def test_threads_that_predict_at_once_do_not_meet(mlops: Rooms) -> None:
    start = threading.Barrier(4)

    def waiting(rows: pd.DataFrame, shift: dict[str, float]) -> pd.DataFrame:
        start.wait(timeout=10)
        return shifted(rows, shift)

    nodes = [
        node(waiting, ["rows", "params:shift"], "moved"),
        node(scaled, ["moved", "params:factor"], "out"),
    ]
    plan = plan_of(mlops, nodes)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: plan.predict(ROWS + number), range(4)))
    for number, table in enumerate(found):
        pd.testing.assert_frame_equal(table, (ROWS + number + 1.0) * 2.0)


def refuse(rows: pd.DataFrame) -> pd.DataFrame:
    raise ValueError("no such rows")


def doubled(rows: pd.DataFrame) -> pd.DataFrame:
    return rows * 2


DECLARED = [
    (f"{__name__}.doubled", ROWS * 2),
    ({"class": f"{__name__}.doubled", "on": ["load"]}, ROWS * 2),
    ({"class": f"{__name__}.doubled", "on": ["save"]}, ROWS),
    ({"class": f"{__name__}.refuse", "enabled": False}, ROWS),
    ({"class": f"{__name__}.refuse", "severity": "warn"}, ROWS),
    (f"{__name__}.refuse", None),
]


@pytest.mark.parametrize(("declared", "expected"), DECLARED)
def test_the_inputs_validator_counts_as_it_does_when_a_batch_is_loaded(
    mlops: Rooms, declared: Any, expected: pd.DataFrame | None
) -> None:
    validate = mlops("model.plan").input_validator("rows", declared)
    plan = plan_of(mlops, [node(pd.DataFrame.copy, "rows", "out")], validate=validate)
    catalog = DataCatalog.from_config({"rows": {"type": "MemoryDataset", "validator": declared}})
    vars(catalog["rows"])["_data"] = ROWS
    for predict in (lambda: plan.predict(ROWS), lambda: catalog.load("rows")):
        if expected is None:
            with pytest.raises(DataValidationError, match="no such rows"):
                predict()
        else:
            pd.testing.assert_frame_equal(predict(), expected)


def test_a_parameter_is_found_inside_one_that_another_node_reads(mlops: Rooms) -> None:
    plan = mlops("model.plan")
    names = ["params:model", "params:model.alpha", "params:model.deep.low", "params:a.b.c"]
    pipeline = Pipeline([node(lambda *given: given, names, "out", name="n")])
    values = {"model": {"alpha": 1, "deep": {"low": 2}}, "a.b": {"c": 3}}
    found = plan.parameters_of({"pipeline": "p", "parameters": values}, pipeline)
    assert {name: found[name] for name in names} == dict(
        zip(names, [values["model"], 1, 2, 3], strict=True)
    )
    assert found["parameters"] == values
    assert plan.parameters_of({"pipeline": "p", "parameters": {}}, Pipeline([])) == {
        "parameters": {}
    }
