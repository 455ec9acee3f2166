"""Tuning: what tuning.yml may say, held against a project, and what of it a trial runs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from kedro.pipeline import Pipeline, node
from optuna import create_study
from optuna.samplers import RandomSampler

from tests.support.rooms import Rooms

RANGE = {"low": 1, "high": 3}
PARAMETERS = {
    "model": {"kind": "ridge", "alpha": 1.0, "depth": 3, "deep": {"rate": None}, "steps": [1, 2]},
    "split": {"seed": 1},
    "unread": 1,
    "flag": True,
}


def content(**changes: Any) -> dict[str, Any]:
    return {"metric": "rmse", "search": {"model.alpha": RANGE}, **changes}


def searching(**options: Any) -> dict[str, Any]:
    return content(search={"model.alpha": options})


REFUSED = [
    ({}, "conf/base/tuning.yml is empty or missing"),
    (content(metrics="rmse"), "unknown key 'metrics'; the nearest valid one is 'metric'"),
    (content(metric=None), "metric: Input should be a valid string"),
    ({"search": {"model.alpha": RANGE}}, "metric: Field required"),
    (content(metric="score"), "the name of 'score' does not say which values are better"),
    (content(better="smaller"), "better: Input should be 'lower' or 'higher'"),
    (content(search={}), "search: Dictionary should have at least 1 item"),
    (content(search=None), "search: Input should be a valid dictionary"),
    (content(search={"model.alpha": 3}), "search.model.alpha: give it low and high, or choices"),
    (content(search={"model.alpha": None}), "search.model.alpha: give it low and high, or choices"),
    (searching(low=1), "search.model.alpha.high: Field required"),
    (
        searching(low=1, high=2, logg=True),
        "unknown key 'search.model.alpha.logg'; the nearest valid one is 'log'",
    ),
    (searching(low=2, high=2), "low is 2, which is not below high: 2"),
    (searching(low=0, high=1, log=True), "log needs a low above 0, and it is 0"),
    (searching(low=1, high=9, log=True, step=2), "give it log or step, not both"),
    (searching(low=1, high=9, step=0), "step: Input should be greater than 0"),
    (searching(low=float("nan"), high=9), "low: Input should be a finite number"),
    (searching(low=1, high=float("inf")), "high: Input should be a finite number"),
    (searching(low="a", high=9), "search.model.alpha.low: Input should be a valid number"),
    (searching(choices=[]), "choices: List should have at least 2 items"),
    (searching(choices=[1, 1]), "a choice is there twice"),
    (searching(choices=[1, {"a": 2}]), "search.model.alpha: a choice is a single value"),
    (searching(choices=[1, 2], low=1), "unknown key 'search.model.alpha.low'"),
    (content(trials=0), "trials: Input should be greater than or equal to 1"),
    (content(jobs="many"), "jobs: Input should be a valid integer"),
    (content(sampler="bayes"), "sampler: Input should be 'tpe', 'random' or 'qmc'"),
    (content(seed=-1), "seed: Input should be greater than or equal to 0"),
    (content(timeout=0), "timeout: Input should be greater than 0"),
]


@pytest.mark.parametrize(("given", "sentence"), REFUSED, ids=[row[1][:50] for row in REFUSED])
def test_what_is_wrong_is_refused_by_its_key(
    given: dict[str, Any], sentence: str, mlops: Rooms
) -> None:
    with pytest.raises(mlops("errors").TrackingError) as refusal:
        mlops("tuning.options").parse_options(given)
    assert sentence in refusal.value.message
    assert len(refusal.value.message.splitlines()) == 1
    assert "tuning.yml" in refusal.value.message


def test_all_that_is_wrong_is_said_at_once(mlops: Rooms) -> None:
    with pytest.raises(mlops("errors").TrackingError) as refusal:
        mlops("tuning.options").parse_options(content(trials=0, jobs=0, sampler="bayes"))
    assert len(refusal.value.message.splitlines()) == 3


@pytest.mark.parametrize(
    ("metric", "better", "direction"),
    [
        ("rmse", None, "minimize"),
        ("f1", None, "maximize"),
        ("rmse", "higher", "maximize"),
        ("score", "lower", "minimize"),
    ],
)
def test_the_direction_is_the_names_or_what_is_given(
    metric: str, better: str | None, direction: str, mlops: Rooms
) -> None:
    options = mlops("tuning.options").parse_options(content(metric=metric, better=better))
    assert options.direction == direction


# --- held against the project ---

NODES = Pipeline(
    [
        node(lambda seed: seed, "params:split.seed", "rows", name="split"),
        node(lambda rows: rows, "rows", "features", name="prepare"),
        node(lambda features, model: model, ["features", "params:model"], "fitted", name="fit"),
        node(lambda fitted, rows: fitted, ["fitted", "rows"], "evaluation", name="evaluate"),
    ]
)


def space_of(mlops: Rooms, search: dict[str, Any]) -> Any:
    options = mlops("tuning.options").parse_options(content(search=search))
    return mlops("tuning.space").space_of(options.search, PARAMETERS, NODES)


UNFIT = [
    ({"model.alfa": RANGE}, "no such parameter; the nearest one is 'model.alpha'"),
    ({"alpha": RANGE}, "no such parameter"),
    ({"": RANGE}, "no such parameter"),
    ({"model..alpha": RANGE}, "no such parameter"),
    ({"model.alpha.low": RANGE}, "no such parameter"),
    ({"model": RANGE}, "it holds several values"),
    ({"model.steps": RANGE}, "it holds several values"),
    ({"unread": RANGE}, "no node that the metric needs reads it"),
    ({"model.kind": RANGE}, "it is 'ridge' in the project: give it choices"),
    ({"model.depth": {"low": 0.5, "high": 2}}, "it is the whole number 3 in the project"),
    (
        {"model.alpha": {**RANGE, "when": {"model.kind": "ridge"}}},
        "search.model.alpha.when: 'model.kind' is not searched by choices",
    ),
    (
        {
            "model.kind": {"choices": ["ridge", "forest"]},
            "model.alpha": {**RANGE, "when": {"model.kind": "rigde"}},
        },
        "model.kind is never 'rigde' (it is: ridge, forest)",
    ),
    (
        {
            "model.kind": {"choices": ["a", "b"], "when": {"model.deep.rate": 1}},
            "model.deep.rate": {"choices": [1, 2], "when": {"model.kind": "a"}},
        },
        "the conditions go round in a circle",
    ),
]


@pytest.mark.parametrize(("search", "sentence"), UNFIT, ids=[row[1][:50] for row in UNFIT])
def test_what_does_not_fit_the_project_is_refused(
    search: dict[str, Any], sentence: str, mlops: Rooms
) -> None:
    with pytest.raises(mlops("errors").TrackingError) as refusal:
        space_of(mlops, search)
    assert sentence in refusal.value.message


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("model.alpha", {"low": 1, "high": 5}, float),  # It is 1.0 in the project.
        ("model.depth", {"low": 1, "high": 5}, int),
        ("model.depth", {"low": 1, "high": 9, "step": 2}, int),
        ("model.depth", {"low": 1, "high": 9, "log": True}, int),
        ("model.deep.rate", {"low": 0.1, "high": 0.5}, float),
        ("model.deep.rate", {"low": 1, "high": 5}, int),
        ("model.alpha", {"low": "1e-3", "high": 1, "log": True}, float),
        ("model.kind", {"choices": ["a", "b"]}, str),
    ],
)
def test_values_have_the_type_of_the_projects(
    name: str, options: dict[str, Any], kind: type, mlops: Rooms
) -> None:
    space = space_of(mlops, {name: options})
    study = create_study(sampler=RandomSampler(1))
    drawn = [space.draw(study.ask())[name] for _ in range(20)]
    assert {type(each) for each in drawn} == {kind}
    if "low" in options:
        assert all(float(options["low"]) <= each <= float(options["high"]) for each in drawn)
    if step := options.get("step"):
        assert {(each - options["low"]) % step for each in drawn} == {0}


def test_a_condition_decides_whether_a_parameter_is_drawn(mlops: Rooms) -> None:
    search = {
        "model.depth": {**RANGE, "when": {"model.kind": ["forest", "boosting"]}},
        "model.deep.rate": {"low": 0.1, "high": 0.9, "when": {"model.kind": "boosting"}},
        "model.kind": {"choices": ["ridge", "forest", "boosting"]},
    }
    space, study = space_of(mlops, search), create_study(sampler=RandomSampler(1))
    drawn = {tuple(sorted(values)) for values in (space.draw(study.ask()) for _ in range(40))}
    assert drawn == {
        ("model.kind",),
        ("model.depth", "model.kind"),
        ("model.deep.rate", "model.depth", "model.kind"),
    }


@pytest.mark.parametrize(
    ("search", "shared"),
    [
        ({"model.alpha"}, {"split", "prepare"}),
        ({"split.seed"}, set()),
        ({"split"}, set()),
        ({"model"}, {"split", "prepare"}),
        ({"model.alpha", "split.seed"}, set()),
    ],
)
def test_nodes_above_every_searched_parameter_are_shared(
    search: set[str], shared: set[str], mlops: Rooms
) -> None:
    slices = mlops("tuning.slicing").slices_of(NODES, search)
    assert {each.name for each in slices.shared.nodes} == shared
    assert {each.name for each in slices.trial.nodes} == {"split", "prepare", "fit", "evaluate"} - (
        shared
    )
    assert slices.between == ({"features", "rows"} if shared else set())


def test_data_that_are_read_in_another_way_are_the_same_data(mlops: Rooms) -> None:
    pipeline = Pipeline(
        [
            node(lambda alpha: alpha, "params:alpha", "rows@pandas", name="make"),
            node(lambda rows: rows, "rows@polars", "evaluation", name="read"),
        ]
    )
    slices = mlops("tuning.slicing").slices_of(pipeline, {"alpha"})
    assert [each.name for each in slices.trial.nodes] == ["make", "read"]
    slices = mlops("tuning.slicing").slices_of(pipeline, {"beta"})
    assert slices.trial.nodes == []


def test_trials_write_no_line_for_each_node(mlops: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = mlops("tuning.trials")
    names = {
        "kedro.any": logging.ERROR,
        f"{trials.PACKAGE}.mlops": logging.INFO,
        "own": logging.INFO,
    }
    levels = {logging.getLogger(name): level for name, level in names.items()}
    for logger, level in levels.items():
        monkeypatch.setattr(logger, "level", level)
        logger.setLevel(level)

    def said() -> list[bool]:
        return [logger.isEnabledFor(level) for logger, level in levels.items()]

    assert said() == [True, True, True]
    with trials.quiet():
        assert said() == [False, False, True]
    assert said() == [True, True, True]


def test_a_report_outside_of_a_run_does_nothing(mlops: Rooms) -> None:
    mlops("tracking.reports").report_metric("rmse", 1.0, 0)


# --- into parameters.yml ---

TEXT = """\
# Ours.
model:
  kind: "ridge"   # a family
  alpha: 10.0     # its penalty
  deep: {rate: null, depth: 3}

alpha: 1
"""


@pytest.mark.parametrize(
    ("values", "old", "new"),
    [
        ({"model.alpha": 0.001}, "alpha: 10.0  ", "alpha: 0.001  "),
        ({"model.alpha": 1e-7}, "alpha: 10.0  ", "alpha: 1.0e-07  "),
        ({"model.kind": "forest"}, 'kind: "ridge"', "kind: forest"),
        ({"model.kind": "yes"}, 'kind: "ridge"', "kind: 'yes'"),
        ({"model.kind": None}, 'kind: "ridge"', "kind: null"),
        ({"model.deep.rate": 2}, "rate: null", "rate: 2"),
        ({"model.deep.depth": True}, "depth: 3", "depth: true"),
        ({"alpha": 5}, "\nalpha: 1", "\nalpha: 5"),
    ],
)
def test_a_value_is_written_and_all_other_text_stays(
    values: dict[str, Any], old: str, new: str, mlops: Rooms, tmp_path: Path
) -> None:
    (tmp_path / "parameters.yml").write_text(TEXT, "utf-8")
    changed = mlops("tuning.parameter_files").changed_files([tmp_path / "no", tmp_path], values)
    assert changed == {tmp_path / "parameters.yml": TEXT.replace(old, new)}


def test_an_environments_own_file_comes_first(mlops: Rooms, tmp_path: Path) -> None:
    files = {"base/parameters.yml": TEXT, "dev/parameters_training.yml": "model: {alpha: 3}\n"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text, "utf-8")
    folders = [tmp_path / "dev", tmp_path / "base"]
    values = {"model.alpha": 4, "alpha": 2}
    changed = mlops("tuning.parameter_files").changed_files(folders, values)
    assert changed == {
        tmp_path / "base/parameters.yml": TEXT.replace("\nalpha: 1", "\nalpha: 2"),
        tmp_path / "dev/parameters_training.yml": "model: {alpha: 4}\n",
    }


@pytest.mark.parametrize(
    "text",
    [
        "model: {alpha: '${globals:alpha}'}",
        "shared: &a 3\nmodel: {alpha: *a}",
        "model: {alpha: [1]}",
        "model: {beta: 1}",
        "",
    ],
)
def test_what_is_no_plain_value_is_left_to_its_owner(
    text: str, mlops: Rooms, tmp_path: Path
) -> None:
    (tmp_path / "parameters.yml").write_text(text, "utf-8")
    with pytest.raises(mlops("errors").TrackingError, match=r"model\.alpha is not a plain value"):
        mlops("tuning.parameter_files").changed_files([tmp_path], {"model.alpha": 4})
