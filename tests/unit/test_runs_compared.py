"""Which differences between models are more than chance: a paired bootstrap of the holdout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.pipeline import Pipeline, node
from mlflow import MlflowClient
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
    errors, group = np.abs(rows["y"].to_numpy() - np.asarray(predictions).ravel()), rows["group"]
    groups = {
        name: {"mae": float(errors[(group == name).to_numpy()].mean())} for name in set(group)
    }
    return {"mae": float(errors.mean()), "rows": float(len(rows)), **groups}


def bootstrapped(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch, *predictions: Any, resamples: int = 100
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
    _, intervals = bootstrapped(mlops, monkeypatch, FIRST, other, resamples=300)
    truth = TRUTH["y"].to_numpy()
    theirs = stats.bootstrap(
        (np.abs(truth - FIRST), np.abs(truth - other)),
        lambda a, b, axis: b.mean(axis) - a.mean(axis),
        paired=True,
        method="percentile",
        n_resamples=3000,
        random_state=2,
    ).confidence_interval
    assert intervals["mae"] == pytest.approx(tuple(theirs), abs=0.015)


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


# --- runs ---


class Runs:
    """Runs in an experiment, of a model that is trained and evaluated as `measure` does it."""

    def __init__(self, mlops: Rooms, database: str, folder: Path, **promotion: Any) -> None:
        content: dict[str, Any] = {"server": {"mlflow_tracking_uri": database}}
        content["tracking"] = {"experiment": {"name": "study"}}
        content["model"] = {"name": "sales", "pipeline": "inference", "input": "rows"}
        content["promotion"] = {"holdout": "rows", "predictions": "predictions", **promotion}
        self.config = mlops("config").parse_config(content)
        self.state = mlops("project").State.of(folder)
        self.client: MlflowClient = mlops("backend.client").connect(self.config.server)
        self._experiment = self.client.create_experiment("study", folder.as_uri())

    def log(self, metrics: Mapping[str, float], status: str = "FINISHED", digest: str = "") -> str:
        """Log a run and return its id."""
        tags = {"holdout.digest": digest} if digest else {}
        run_id = str(self.client.create_run(self._experiment, tags=tags).info.run_id)
        for name, value in metrics.items():
            self.client.log_metric(run_id, name, value)
        self.client.set_terminated(run_id, status)
        return run_id


@pytest.fixture
def runs(mlops: Rooms, database: str, tmp_path: Path) -> Callable[..., Runs]:
    return lambda **promotion: Runs(mlops, database, tmp_path, **promotion)


@pytest.mark.parametrize(
    ("promotion", "metric", "best"),
    [
        ({"improvement": {"rmse": {"better": "lower"}}}, None, "low"),
        ({"improvement": {"rmse": {"better": "higher"}}}, None, "high"),
        ({"improvement": {"rmse": {}}}, "r2", "high"),
        ({"improvement": {"profit": {"better": "lower"}}}, "profit", "low"),
        ({"improvement": {"profit": {"better": "lower"}}}, "women/profit", "low"),
        ({"improvement": {"profit": {"better": "lower"}}}, "rmse", "low"),
        ({"evaluation": "evaluation@json"}, "rmse", "low"),
    ],
)
def test_the_best_finished_runs_are_found(
    mlops: Rooms,
    runs: Callable[..., Runs],
    promotion: dict[str, Any],
    metric: str | None,
    best: str,
) -> None:
    made = runs(**promotion)
    prefix = mlops("tracking.capture.values").valid_name(made.config.promotion.evaluation)
    names = [f"{prefix}/{name}" for name in ("rmse", "r2", "profit", "women/profit")]
    ids = {
        name: made.log(dict.fromkeys(names, value))
        for name, value in {"high": 3.0, "low": 1.0, "middle": 2.0}.items()
    }
    for value in (0.0, 9.0):
        made.log(dict.fromkeys(names, value), "FAILED")
    made.log({"other": 1.0})
    others = {"low": "high", "high": "low"}
    found = mlops("registry.runs_compared").best_runs(made.config, 4, metric)
    assert found == [ids[best], ids["middle"], ids[others[best]]]
    assert mlops("registry.runs_compared").best_runs(made.config, 2, metric) == found[:2]


@pytest.mark.parametrize(
    ("promotion", "metric", "said"),
    [
        ({}, None, "promotion.yml has no improvement: name a metric by --metric"),
        ({}, "profit", "Whether 'profit' is better high or low is not known"),
    ],
)
def test_what_is_best_must_be_known(
    mlops: Rooms, runs: Callable[..., Runs], promotion: Any, metric: str | None, said: str
) -> None:
    with pytest.raises(mlops("errors").TrackingError, match=said):
        mlops("registry.runs_compared").best_runs(runs(**promotion).config, 2, metric)


@pytest.mark.parametrize(
    ("digests", "said"),
    [
        (("a", "a"), "As the runs have logged it, on the same holdout."),
        (("a", "b"), "As the runs have logged it, on other rows each."),
        (("", ""), "As the runs have logged it, on other rows each."),
    ],
)
def test_what_cannot_be_measured_again_is_compared_as_it_was_logged(
    mlops: Rooms, runs: Callable[..., Runs], digests: tuple[str, str], said: str
) -> None:
    made = runs(improvement={"profit": {"better": "lower"}})
    names = ("evaluation/a/profit", "evaluation/profit", "evaluation/z")
    logged = [
        made.log(dict.fromkeys(names, float(n)), digest=each) for n, each in enumerate(digests)
    ]
    compared = mlops("registry.runs_compared").compare_runs
    ((other,), how) = compared(made.config, made.state, logged, 10)
    assert how.startswith(f"{said} What is chance is not known: no version of the model is of the")
    rows = other.table()[1:]
    assert [row[0] for row in rows] == ["profit", "z", "a/profit"]  # Of groups after the others.
    assert rows[0][1:] == ["0", "1", "+1", "", ""]


def test_a_metric_of_a_group_is_better_as_that_of_all_rows(mlops: Rooms) -> None:
    compared = mlops("registry.runs_compared").Compared
    names = {"a/profit": 1.0, "profit": 1.0, "a/loss": 1.0, "b/loss": 1.0}
    intervals = dict.fromkeys(names, (0.1, 0.2))
    told = {"profit": "lower", "b/loss": "higher"}
    says = {row[0]: row[-1] for row in compared("id", names, names, intervals, told).table()[1:]}
    assert says == {"profit": "worse", "a/profit": "worse", "a/loss": "worse", "b/loss": "better"}
