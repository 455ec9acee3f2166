"""Monitoring: a run that scores is measured against what the training had, by the owner's rules."""

from __future__ import annotations

import json
from pathlib import Path

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
