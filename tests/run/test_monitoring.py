"""Monitoring: a run that scores is measured against what the training had, by the owner's rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support import answers
from tests.support.project import Project, files_of

TABLES = {"regression": "diabetes", "classification": "penguins"}
PREDICTED = {"regression": "progression", "classification": "species"}
NUMBER = {"regression": "bmi", "classification": "body_mass_g"}
FEATURE = {"features": "[monitoring]"}
SCORE = ("run", "--pipelines", "inference")


@pytest.fixture(scope="module", params=TABLES)
def watched(
    request: pytest.FixtureRequest,
    rendered: Project,
    template: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Project]:
    """A project with monitoring, trained."""
    folder = tmp_path_factory.mktemp("watched") / "project"
    answers.render(template, folder, {"example": request.param, **FEATURE})
    answers.git(folder, "init", "--quiet")
    project = Project(folder, rendered.environment)
    assert "not tracked" not in project.kedro("run").stdout
    return request.param, project


def raw(example: str, project: Project) -> pd.DataFrame:
    return pd.read_csv(project.folder / f"data/01_raw/{TABLES[example]}.csv")


def score(project: Project, rows: pd.DataFrame) -> str:
    """Score rows; what the screen shows."""
    rows.to_csv(project.folder / "data/05_model_input/instances.csv", index=False)
    return " ".join(project.kedro(*SCORE).stdout.split())


def test_the_model_keeps_shares_of_its_training_and_no_row(watched: tuple[str, Project]) -> None:
    example, project = watched
    rows = raw(example, project).drop(columns=PREDICTED[example])
    groups = json.loads((files_of(project, "champion") / "reference.json").read_text("utf-8"))
    groups = groups["groups"]
    assert len(groups) == 3
    assert set(groups[""]["columns"]) == set(rows)
    assert PREDICTED[example] in groups[""]["predictions"]
    for group, about in groups.items():
        column, _, value = group.partition("=")
        members = rows[rows[column].astype(str) == value] if group else rows
        for name, column in about["columns"].items():
            counts = members[name].value_counts()
            texts = counts.set_axis(counts.index.map(str))
            assert not [each for each in column["bounds"] if each in counts.index]
            assert all(texts[each] >= 10 for each in column["names"])


def test_data_like_the_trainings_break_no_rule(watched: tuple[str, Project]) -> None:
    example, project = watched
    rows = raw(example, project).drop(columns=PREDICTED[example])
    assert "drifted" not in score(project, rows.sample(200, random_state=1))
    run = project.runs()[0]
    assert run.data.tags["drift"] == "none"
    number = NUMBER[example]
    assert run.data.metrics[f"drift/{number}/psi"] < 0.1
    assert run.data.metrics[f"drift/predictions/{PREDICTED[example]}/psi"] < 0.25
    assert {each.path for each in project.client.list_artifacts(run.info.run_id, "drift")} == {
        "drift/drift.csv",
        "drift/drift.png",
    }
    assert "No rule of monitoring.yml is broken" in project.kedro("mlflow", "monitor").stdout


def test_a_shift_is_a_tag_a_warning_and_an_exit_code(watched: tuple[str, Project]) -> None:
    example, project = watched
    rows = raw(example, project).drop(columns=PREDICTED[example]).dropna()
    rows = rows.sample(200, random_state=2)
    number = NUMBER[example]
    rows[number] = (rows[number] * 1.3).round(1)
    assert f"drifted since the training ({number} psi" in score(project, rows)
    run = project.runs()[0]
    assert run.data.tags["drift"].startswith(f"{number} psi")
    assert run.data.metrics[f"drift/{number}/psi"] > 0.25
    assert run.info.status == "FINISHED"
    shown = project.kedro("mlflow", "monitor", code=1).stdout
    assert f"input {number}, 200 rows: psi" in shown


def test_few_rows_are_no_drift(watched: tuple[str, Project]) -> None:
    example, project = watched
    rows = raw(example, project).drop(columns=PREDICTED[example]).dropna()
    assert "drifted" not in score(project, rows.sample(5, random_state=3))


# --- truth that comes late ---


def measured(example: str, truth: pd.Series[Any], predicted: pd.Series[Any]) -> float:
    """The metric that the example's own evaluation calls rmse, or accuracy."""
    if example == "regression":
        return float(((truth - predicted) ** 2).mean() ** 0.5)
    return float((truth == predicted).mean())


def test_the_truth_is_judged_by_the_projects_own_evaluation(watched: tuple[str, Project]) -> None:
    example, project = watched
    target = PREDICTED[example]
    truth = raw(example, project).dropna().sample(150, random_state=4).reset_index(drop=True)
    score(project, truth.drop(columns=target))
    batch = project.folder / "data/07_model_output/predictions.csv"
    truth.to_csv(project.folder / "truth.csv", index=False)
    given = ("--predictions", str(batch), "--truth", str(project.folder / "truth.csv"))
    shown = project.kedro("mlflow", "judge", *given).stdout
    run = project.runs()[0]
    assert run.info.run_name == "judge version 1"
    assert run.info.status == "FINISHED"
    assert run.data.tags["judge.champion"] == run.data.tags["model.version"] == "1"
    metrics = run.data.metrics
    trained = project.client.get_run(run.data.tags["model.run_id"]).data.metrics
    metric = {"regression": "rmse", "classification": "accuracy"}[example]
    predicted = pd.read_csv(batch)[target]
    wanted = measured(example, truth[target], predicted)
    assert metrics[f"truth/{metric}"] == pytest.approx(wanted)
    assert metrics[f"promised/{metric}"] == trained[f"evaluation/{metric}"]
    assert [name for name in metrics if name.startswith("truth/sex_")]
    assert f"{metric} " in shown

    # Joined by a key, in any order, when a part has come true.
    keyed = pd.read_csv(batch).assign(key=range(150))
    keyed.to_csv(project.folder / "keyed.csv", index=False)
    some = truth.assign(key=range(150)).sample(100, random_state=5)
    some.to_csv(project.folder / "truth.csv", index=False)
    given = ("--predictions", str(project.folder / "keyed.csv"), *given[2:])
    shown = project.kedro("mlflow", "judge", *given, "--on", "key").stdout
    assert "50 of 150 predictions have no truth yet." in shown
    wanted = measured(example, truth[target][some.index], predicted[some.index])
    assert project.runs()[0].data.metrics[f"truth/{metric}"] == pytest.approx(wanted)


def test_a_promise_that_the_truth_breaks_is_an_exit_code(watched: tuple[str, Project]) -> None:
    example, project = watched
    target = PREDICTED[example]
    truth = raw(example, project).dropna().sample(100, random_state=6).reset_index(drop=True)
    score(project, truth.drop(columns=target))
    truth[target] = truth[target].sample(frac=1, random_state=1).to_numpy()
    truth.to_csv(project.folder / "truth.csv", index=False)
    given = ("--predictions", "data/07_model_output/predictions.csv", "--truth", "truth.csv")
    shown = project.kedro("mlflow", "judge", *given, code=1).stdout
    assert "and must be at least" in shown


def test_what_cannot_be_joined_is_one_sentence(watched: tuple[str, Project]) -> None:
    _, project = watched
    project.write("p.csv", "key,y,model_version\n1,2,1\n1,3,1\n")
    project.write("t.csv", "key,y\n1,2\n")
    project.write("q.csv", "key,y\n1,2\n")
    for predictions, on, sentence in [
        ("p.csv", (), "--predictions has 2 rows and --truth 1"),
        ("p.csv", ("--on", "key"), "--predictions has several rows of the same key"),
        ("p.csv", ("--on", "id"), "--predictions has no column id to join on"),
        ("q.csv", ("--on", "key"), "--predictions has no column model_version"),
        ("script.txt", (), "is neither CSV nor Parquet"),
    ]:
        project.write("script.txt", "")
        given = ("--predictions", predictions, "--truth", "t.csv", *on)
        refused = project.kedro("mlflow", "judge", *given, code=1)
        assert sentence in " ".join(refused.stderr.split()), refused.stderr
