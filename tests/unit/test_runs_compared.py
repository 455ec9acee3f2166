"""Which differences between models are more than chance: a paired bootstrap of the holdout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.pipeline import Pipeline, node
from scipy import stats  # type: ignore[import-untyped]

from tests.support.rooms import Rooms

GENERATOR = np.random.default_rng(7)
COUNT = 150
# Labels that are there twice, and of no order: rows are told by their place.
TRUTH = pd.DataFrame(
    {"y": GENERATOR.normal(size=COUNT), "group": ["a"] * 75 + ["b"] * 73 + ["c"] * 2},
    index=GENERATOR.integers(0, 50, COUNT),
)
FIRST = TRUTH["y"].to_numpy() + GENERATOR.normal(scale=0.5, size=COUNT)


def measure(rows: pd.DataFrame, predictions: Any, limit: float) -> dict[str, Any]:
    """Fails for rows of one group, as metrics of classes do."""
    if len(set(rows["group"])) < limit:
        raise ValueError("only one group")
    errors = np.abs(rows["y"].to_numpy() - np.asarray(predictions).ravel())
    groups = {
        name: {"mae": float(errors[rows["group"] == name].mean())} for name in set(rows["group"])
    }
    return {"mae": float(errors.mean()), "rows": float(len(rows)), **groups}


def bootstrapped(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch, *predictions: Any, resamples: int = 400
) -> Any:
    """The metrics, and the intervals of the second model's difference to the first."""
    evaluate = node(measure, ["rows", "predictions", "params:limit"], "evaluation", name="measure")
    comparison, module = mlops("registry.comparison"), mlops("registry.runs_compared")
    monkeypatch.setattr(
        comparison, "registered_pipelines", lambda: {"training": Pipeline([evaluate])}
    )
    options = mlops("config").PromotionOptions(holdout="rows", predictions="predictions")
    inputs = {"rows": TRUTH, "params:limit": 3}
    metrics, intervals = module.bootstrap(options, inputs, predictions, resamples)
    return metrics, intervals[1]


CASES: dict[str, tuple[Any, str]] = {
    "much worse": (FIRST + 1, "worse"),
    "much better": (TRUTH["y"].to_numpy(), "better"),
    "equal": (FIRST.copy(), "the same"),
    "other noise": (FIRST + np.tile([1e-3, -1e-3], COUNT // 2), "may be chance"),
    "a table": (pd.DataFrame({"y": FIRST + 1}), "worse"),
    "a series": (pd.Series(FIRST + 1, index=TRUTH.index), "worse"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_says_what_a_difference_means(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    predictions, meaning = CASES[case]
    metrics, intervals = bootstrapped(mlops, monkeypatch, FIRST, predictions)
    says = mlops("registry.runs_compared").says
    assert says(intervals["mae"], "lower") == meaning
    assert says(intervals["rows"], None) == "the same"
    assert metrics[0]["rows"] == COUNT
    assert intervals.keys() >= {"mae", "a/mae", "b/mae"}


def test_the_interval_is_that_of_scipy(mlops: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    other = FIRST + np.random.default_rng(1).normal(scale=0.4, size=COUNT)
    _, intervals = bootstrapped(mlops, monkeypatch, FIRST, other, resamples=3000)
    truth = TRUTH["y"].to_numpy()
    theirs = stats.bootstrap(
        (np.abs(truth - FIRST), np.abs(truth - other)),
        lambda a, b, axis: b.mean(axis) - a.mean(axis),
        paired=True,
        method="percentile",
        n_resamples=3000,
        random_state=2,
    ).confidence_interval
    assert intervals["mae"] == pytest.approx(tuple(theirs), abs=0.006)


@pytest.mark.parametrize(
    ("interval", "better", "meaning"),
    [
        ((0.1, 0.2), "higher", "better"),
        ((0.1, 0.2), "lower", "worse"),
        ((-0.2, -0.1), "higher", "worse"),
        ((-0.2, -0.1), "lower", "better"),
        ((0.1, 0.2), None, "differs"),
        ((-0.1, 0.2), "lower", "may be chance"),
        ((0.0, 0.2), "lower", "may be chance"),
        ((0.0, 0.0), "lower", "the same"),
        (None, "lower", ""),
    ],
)
def test_the_side_of_zero_decides(
    mlops: Rooms, interval: Any, better: str | None, meaning: str
) -> None:
    assert mlops("registry.runs_compared").says(interval, better) == meaning
