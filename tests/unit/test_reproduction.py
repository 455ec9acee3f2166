"""A run is repeated or refused in a sentence, and what came out is compared by kind."""

from __future__ import annotations

from math import nan
from typing import Any

import pytest

from tests.support.rooms import Rooms

TAGS = {
    "mlflow.source.git.commit": "a" * 40,
    "mlflow.source.git.dirty": "false",
    "kedro.python": "3.11.7",
    "kedro.command": "kedro run --pipelines training",
}
DIRTY: dict[str, str | None] = {"mlflow.source.git.dirty": "true"}

REFUSED: dict[str, tuple[str, dict[str, str | None]]] = {
    "it has the status FAILED": ("FAILED", {}),
    "it has the status RUNNING": ("RUNNING", {}),
    "without git, or before the first commit": ("FINISHED", {"mlflow.source.git.commit": None}),
    "an earlier version of the template has tracked it": ("FINISHED", {"kedro.python": None}),
    "or another program": ("FINISHED", {"kedro.command": "rm -rf /"}),
    "it has scored with version 3 of the model": ("FINISHED", {"model.version": "3"}),
    "had secrets in it, which were masked": ("FINISHED", {**DIRTY, "kedro.diff": "masked"}),
    "was longer than tracking.diff.max_kilobytes": ("FINISHED", {**DIRTY, "kedro.diff": "cut"}),
    "max_kilobytes in mlflow.yml was 0": ("FINISHED", DIRTY),
    "does not say all: kedro run --params key=********": (
        "FINISHED",
        {"kedro.command": "kedro run --params key=********"},
    ),
    "cannot carry 'x'": ("FINISHED", {"kedro.command": "kedro run  # cannot carry 'x' (object)"}),
    "it is a part of the run abc": (
        "FINISHED",
        {"kedro.namespace": "north", "mlflow.parentRunId": "abc"},
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_repeated_is_refused_with_its_reason(mlops: Rooms, reason: str) -> None:
    status, changes = REFUSED[reason]
    tags = {key: each for key, each in {**TAGS, **changes}.items() if each is not None}
    assert reason in mlops("reproduction").why_not(status, tags)


@pytest.mark.parametrize(
    "changes",
    [{}, {**DIRTY, "kedro.diff": "whole"}, {"model.version": "working-copy"}],
    ids=["clean", "dirty", "scored with the project as it is"],
)
def test_any_other_run_is_repeated(mlops: Rooms, changes: dict[str, Any]) -> None:
    assert mlops("reproduction").why_not("FINISHED", {**TAGS, **changes}) is None


SAME = {
    "machine": {"python": "3.11.7"},
    "data": {"records": "1"},
    "parameters": {"model.alpha": "10.0"},
    "metrics": {"rmse": 50.0, "empty": nan},
    "predictions": {"digest": "1"},
    "figures": {"plot.png": "1"},
}


@pytest.mark.parametrize(
    ("kind", "now", "verdict"),
    [
        ("machine", {"python": "3.11.8"}, "exactly"),
        ("data", {"records": "2"}, "no"),
        ("parameters", {"model.alpha": "10.1"}, "no"),
        ("parameters", {}, "no"),
        ("parameters", {"model.alpha": "10.0", "model.new": "1"}, "no"),
        ("metrics", {"rmse": 50.00001, "empty": nan}, "within the tolerance"),
        ("metrics", {"rmse": 50.1, "empty": nan}, "no"),
        ("metrics", {"rmse": 50.0, "empty": 0.0}, "no"),
        ("metrics", {"rmse": 50.0}, "no"),
        ("predictions", {"digest": "2"}, "within the tolerance"),
        ("predictions", {}, "within the tolerance"),
        ("figures", {"plot.png": "2"}, "within the tolerance"),
        ("figures", {"plot.png": "1"}, "exactly"),
    ],
)
def test_a_difference_decides_or_is_shown(
    mlops: Rooms, kind: str, now: dict[str, Any], verdict: str
) -> None:
    module = mlops("reproduction.differences")
    rows = module.differences(SAME, {**SAME, kind: now}, 1e-6)
    report = mlops("reproduction").Report("run", rows, 1e-6)
    assert report.verdict == verdict
    (row,) = (row for row in rows if row.kind == kind)
    shown = [line for line in module.table_of(rows) if line[-1] == "NO"]
    assert len(shown) == len(row.different)
    assert (verdict != "exactly") <= (bool(shown) or row.close > 0)
