"""Trials on Dask: what the process that leads makes of what workers return, or do not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client
from kedro.pipeline import Pipeline, node
from optuna import TrialPruned

from tests.support.rooms import Rooms

# What comes of a trial by its number; of all others, 1.0.
OUTCOMES: dict[int, Any] = {}


def run(assignment: Any) -> Any:
    """In the place of what runs a trial on a worker."""
    return OUTCOMES.get(assignment.number, 1.0)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Two workers, in this process."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with Client(processes=False, set_as_default=False, **options) as found, found.as_current():
        yield found


@pytest.fixture
def search(mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A search of six trials, whose lines are kept."""
    content = {"metric": "rmse", "search": {"alpha": {"low": 0, "high": 1}}, "trials": 6}
    options = mlops("tuning.options").parse_options(content)
    pipeline = Pipeline([node(lambda alpha: alpha, "params:alpha", "evaluation")])
    space = mlops("tuning.space").space_of(options.search, {"alpha": 0.5}, pipeline)
    monkeypatch.setattr(mlops("tuning.dask_workers"), "_run", run)
    lines: list[str] = []
    beside = (tmp_path, None, None, options, "evaluation", space, None, "study", float("inf"))
    found = mlops("tuning.search").Search(*beside, lines.append)
    return found, lines


NOT_HERE = "the study is not where tuning.yml keeps it"
# What some trials end with, then the states of those that count, how many were given up, a line.
CASES = {
    "all well": ({}, "CCCCCC", 0, "Trial 5: rmse = 1"),
    "one fails": ({2: RuntimeError("it is broken")}, "CCFCCC", 0, "Trial 2: failed. it is broken"),
    "one is pruned": ({1: TrialPruned("worse")}, "CPCCCC", 0, "Trial 1: pruned. worse"),
    "a worker dies": ({1: None}, "CCCCCC", 1, "Trial 1: its worker is gone; its values are tried"),
    "all die of it": (
        dict.fromkeys((0, 1, 2)),
        "FCCCCC",
        2,
        "Trial 2: failed. 3 workers have died of these values",
    ),
}


@pytest.mark.parametrize(("outcomes", "states", "given_up", "line"), CASES.values(), ids=CASES)
def test_a_trial_counts_once_whatever_comes_of_it(
    outcomes: dict[int, Any],
    states: str,
    given_up: int,
    line: str,
    search: tuple[Any, list[str]],
    client: Client,
    mlops: Rooms,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan, lines = search
    study = mlops("tuning.study").Study(plan.options, plan.state(), "study")
    for number, outcome in outcomes.items():
        monkeypatch.setitem(OUTCOMES, number, outcome)
    workers = mlops("tuning.dask_workers").Workers
    monkeypatch.setattr(workers, "_count", lambda _: 1)  # One after the other.
    workers(plan, client).work(study, {})
    assert "".join(each.state.name[0] for each in study.trials()) == states
    assert len(study.stale()) == given_up
    assert [each for each in lines if each.startswith(line)]
    trials = study.optuna.trials
    for number in study.stale():
        (again,) = (each for each in trials if each.user_attrs.get("retries") == number)
        assert again.params == trials[number].params


def test_a_worker_that_cannot_run_trials_ends_the_search_and_costs_none(
    search: tuple[Any, list[str]], client: Client, mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, _ = search
    workers = mlops("tuning.dask_workers")
    study = mlops("tuning.study").Study(plan.options, plan.state(), "study")
    monkeypatch.setitem(OUTCOMES, 1, workers.NotReadyError(NOT_HERE))
    with pytest.raises(workers.NotReadyError, match=NOT_HERE):
        workers.Workers(plan, client).work(study, {})
    assert 1 in study.stale()  # So is what another worker had at that moment.
    assert not study.trials("FAIL", "RUNNING")


def test_a_worker_opens_the_study_that_is_there(
    search: tuple[Any, list[str]], mlops: Rooms
) -> None:
    plan, _ = search
    opened, options, state = mlops("tuning.study").StudyElsewhere, plan.options, plan.state()
    with pytest.raises(mlops("errors").TrackingError, match=NOT_HERE):
        opened(options, state, "study")
    study = mlops("tuning.study").Study(options, state, "study")
    begun = [study.next() for _ in range(2)]
    opened(options, state, "study").trial(1).report(0.25, 3)
    assert study.optuna.trials[begun[1].number].intermediate_values == {3: 0.25}
    assert not study.optuna.trials[begun[0].number].intermediate_values


@pytest.mark.parametrize("step", ["enqueue_trial", "set_user_attr", "tell"])
@pytest.mark.parametrize("is_done", [False, True])
def test_a_trial_is_given_up_once_though_who_does_so_is_killed(
    step: str,
    is_done: bool,
    search: tuple[Any, list[str]],
    mlops: Rooms,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed before a step, or behind it; the study is resumed then."""
    plan, _ = search
    killed, resumed = (
        mlops("tuning.study").Study(plan.options, plan.state(), "study") for _ in range(2)
    )
    killed.next().suggest_float("alpha", 0, 1)
    call = getattr(killed.optuna, step)

    def die(*given: Any, **options: Any) -> None:
        if is_done:
            call(*given, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(killed.optuna, step, die)
    with pytest.raises(KeyboardInterrupt):
        killed.give_up(0)
    for _ in range(2):
        resumed.give_up_stale()
    first, again = resumed.optuna.get_trials()
    assert (first.state.name, resumed.stale()) == ("FAIL", {0})
    assert again.user_attrs["retries"] == 0
    assert again.system_attrs["fixed_params"] == first.params
