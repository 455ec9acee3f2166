"""Monitoring: a run that scores is measured against what the training had, by the owner's rules."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support import answers
from tests.support.machine import free_port
from tests.support.machines import Machines
from tests.support.pages import commands_of, page
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project, copy_of, files_of

TABLES = {"regression": "diabetes", "classification": "penguins"}
PREDICTED = {"regression": "progression", "classification": "species"}
NUMBER = {"regression": "bmi", "classification": "body_mass_g"}
FEATURE = {"features": "[monitoring]"}
SCORE = ("run", "--pipelines", "inference")


# For each commit the classification, which has classes and gaps as well.
@pytest.fixture(scope="module", params=[pytest.param("regression", marks=weekly), "classification"])
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
    if request.param == "classification":  # Its trees are fitted, written and read many times.
        project.edit("conf/base/parameters.yml", "trees: 30", "trees: 5")
    # Of the figure of each scoring run, one column is as good as twelve.
    report = f"src/{PACKAGE}/mlops/monitoring/report.py"
    project.edit(report, "_MOST_DRAWN = 12", "_MOST_DRAWN = 1")
    assert "not tracked" not in project.kedro("run").stdout
    return request.param, project


def raw(example: str, project: Project) -> pd.DataFrame:
    return pd.read_csv(project.folder / f"data/01_raw/{TABLES[example]}.csv")


def score(project: Project, rows: pd.DataFrame, *options: str, code: int = 0) -> str:
    """Score rows; what the screen shows."""
    rows.to_csv(project.folder / "data/05_model_input/instances.csv", index=False)
    done = project.kedro(*SCORE, *options, code=code)
    return " ".join((done.stdout + done.stderr).split())


def shifted(example: str, project: Project) -> pd.DataFrame:
    """Rows of which a number has grown."""
    rows = raw(example, project).drop(columns=PREDICTED[example]).dropna()
    rows = rows.sample(200, random_state=2)
    number = NUMBER[example]
    rows[number] = (rows[number] * 1.3).round(1)
    return rows


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
    assert "drifted" not in score(project, rows.sample(200, random_state=1), "--fail-on-drift")
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


def test_a_monitor_that_fails_has_not_seen_a_drift(
    watched: tuple[str, Project], tmp_path: Path
) -> None:
    project = copy_of(watched[1], tmp_path)
    away = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}"}
    said = project.kedro("mlflow", "monitor", env=away, code=2).stderr
    assert "does not give the newest scoring run" in said
    assert "Traceback" not in said
    config = project.read("conf/base/mlflow.yml")
    project.write("conf/base/mlflow.yml", "trackin: {}\n")
    assert "trackin" in project.kedro("mlflow", "monitor", code=2).stderr
    project.write("conf/base/mlflow.yml", config)
    assert "No scoring run" in project.kedro("mlflow", "monitor", code=2).stderr


@pytest.mark.parametrize(
    "runner", ["SequentialRunner", pytest.param("ParallelRunner", marks=weekly)]
)
def test_a_shift_is_a_tag_a_warning_and_an_exit_code_and_not_the_runs_end(
    runner: str, watched: tuple[str, Project]
) -> None:
    example, project = watched
    number = NUMBER[example]
    predictions = project.folder / "data/07_model_output/predictions.csv"
    predictions.unlink(missing_ok=True)
    rows = shifted(example, project)
    screen = score(project, rows, "--runner", runner, "--fail-on-drift", code=3)
    told = f"the data have drifted since the training ({number} psi"
    assert f"Error: --fail-on-drift: {told}" in screen
    assert "Traceback" not in screen
    run = project.runs()[0]
    assert run.info.status == "FINISHED"
    assert run.data.tags["drift"].startswith(f"{number} psi")
    assert run.data.metrics[f"drift/{number}/psi"] > 0.25
    assert len(pd.read_csv(predictions)) == len(rows)
    shown = project.kedro("mlflow", "monitor", code=1).stdout
    assert f"input {number}, 200 rows: psi" in shown


def test_fail_on_drift_wants_something_measured(
    watched: tuple[str, Project], project: Project
) -> None:
    _, measuring = watched
    options = ("--params", "model_version=working-copy", "--fail-on-drift")
    refused = measuring.kedro(*SCORE, *options, code=4)
    assert "no drift was measured" in " ".join(refused.stderr.split())
    assert measuring.runs()[0].info.status == "FINISHED"
    # Without monitoring nothing begins.
    for command in ("run", "mlflow run end"):
        refused = project.kedro(*command.split(), "--fail-on-drift", code=1)
        assert 'kedro mlflow update -d "features=[monitoring]"` adds it' in refused.stderr
        assert "--fail-on-drift" not in project.kedro(*command.split(), "--help").stdout
    assert not (project.folder / "mlflow.db").exists()


@weekly
def test_tasks_measure_the_drift_as_one_process_does(watched: tuple[str, Project]) -> None:
    example, project = watched
    score(project, shifted(example, project))
    alone = project.runs()[0]
    task = {"MLFLOW_RUN_ID": project.kedro("mlflow", "run", "begin", *SCORE[1:]).stdout.strip()}
    listed = project.kedro("mlflow", "tasks", "--json", *SCORE[1:]).stdout
    for each in json.loads(listed):
        project.kedro(*shlex.split(each["command"])[1:], env=task)
    for _ in range(2):  # It can be asked again.
        said = project.kedro("mlflow", "run", "end", "--fail-on-drift", env=task, code=3)
        assert f"drifted since the training ({NUMBER[example]} p" in said.stderr
    joined = project.runs()[0]
    assert joined.info.run_id == task["MLFLOW_RUN_ID"]
    assert joined.info.status == "FINISHED"
    measured = [
        {name: value for name, value in run.data.metrics.items() if name.startswith("drift/")}
        for run in (joined, alone)
    ]
    assert measured[0] == measured[1] != {}


@weekly
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
    shown = project.kedro("mlflow", "judge", *given, "--date", "2026-01-12").stdout
    assert "All judgements" not in shown
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
    shown = project.kedro("mlflow", "judge", *given, "--on", "key", "--date", "2026-01-05").stdout
    assert "50 of 150 predictions have no truth yet." in shown
    wanted = measured(example, truth[target][some.index], predicted[some.index])
    part = project.runs()[0]
    assert part.data.metrics[f"truth/{metric}"] == pytest.approx(wanted)

    # How each group was served as time passed, the earlier day first.
    path = project.client.download_artifacts(part.info.run_id, "judgements")
    found = pd.read_csv(Path(path) / "judgements.csv", keep_default_na=False)
    assert {*found["group"]} > {""}
    assert {*found["metric"]} > {metric}
    for (group, name), rows in found.groupby(["group", "metric"]):
        key = f"{group}/{name}".lstrip("/")
        assert [*rows["date"]] == ["2026-01-05", "2026-01-12"]
        assert [*rows["rows"]] == [100, 150]
        assert [*rows["run_id"]] == [part.info.run_id, run.info.run_id]
        values = [each.data.metrics[f"truth/{key}"] for each in (part, run)]
        assert [*rows["truth"]] == pytest.approx(values)
        assert float(rows["promised"].iloc[0]) == trained[f"evaluation/{key}"]
        texts = [f"{each:.5g}" for each in values]
        assert f"{name} {group} {' '.join(texts)}".split() in [*map(str.split, shown.splitlines())]
    assert (Path(path) / "judgements.png").stat().st_size > 10_000


def test_a_promise_that_the_truth_breaks_is_an_exit_code(watched: tuple[str, Project]) -> None:
    example, project = watched
    target, number = PREDICTED[example], NUMBER[example]
    truth = raw(example, project).dropna().sample(100, random_state=6).reset_index(drop=True)
    truth[number] = (truth[number] * 1.3).round(1)
    assert f"drifted since the training ({number} psi" in score(project, truth.drop(columns=target))
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


@weekly
def test_the_recipe_for_evidently_works_as_it_is_printed(
    watched: tuple[str, Project], tmp_path: Path
) -> None:
    example, project = watched
    if example != "regression":
        pytest.skip("the page reads the regression's files")
    page = (answers.REPOSITORY / "docs/monitoring.md").read_text("utf-8")
    (recipe,) = (each for each in page.split("```python\n")[1:] if "evidently" in each)
    (command,) = re.findall(r"^uv run .*drift_report\.py$", page, re.MULTILINE)
    project.write("drift_report.py", recipe.partition("```")[0])
    score(project, shifted(example, project))
    env = {**project.variables(), "PATH": os.environ["PATH"]}
    subprocess.run(["sh", "-c", command], cwd=project.folder, env=env, check=True)
    assert "bmi" in (project.folder / "data/08_reporting/drift.html").read_text("utf-8")


# --- the pages ---

# What a line of a page ends with, where the data have drifted.
COMMANDS = {
    "uv run kedro run --pipelines inference": 0,
    "uv run kedro mlflow monitor": 1,
    "uv run kedro run --pipelines inference --fail-on-drift": 3,
    "uv run kedro mlflow judge --predictions data/07_model_output/predictions.csv --truth truth.csv"
    " --on patient_id": 0,
    "uv run kedro mlflow prune --older-than 90d": 0,
    "uv run kedro mlflow prune --older-than 90d --yes": 0,
    "uv run kedro mlflow monitor || case $? in 1) uv run kedro run;; *) exit 2;; esac": 0,
}
# These are in tests of their own, with a Prometheus, with evidently, with a server.
ELSEWHERE = (
    "promtool",
    "prometheus",
    "uv run --no-project",
    "export ",
    "uv run kedro server",
    "curl",
)


@weekly
def test_the_commands_of_the_pages_do_what_these_say(watched: tuple[str, Project]) -> None:
    example, project = watched
    if example != "regression":
        pytest.skip("the pages are about the regression")
    lines = []
    for name in ("monitoring", "retraining", "governance"):
        lines += commands_of(page(f"docs/{name}.md"))
    lines = [line for line in lines if not line.startswith(ELSEWHERE)]
    assert {*lines} == {*COMMANDS}
    rows = shifted(example, project)
    score(project, rows)
    env = {**project.variables(), **Machines(project, project.folder).variables}
    del env["MLFLOW_TRACKING_URI"]
    versions = len(project.client.search_model_versions())
    for line in lines:
        if "judge" in line:
            predictions = project.folder / "data/07_model_output/predictions.csv"
            known = pd.read_csv(predictions).assign(patient_id=range(len(rows)))
            known.to_csv(predictions, index=False)
            truth = rows.assign(
                progression=known["progression"].to_numpy() + 5, patient_id=range(len(rows))
            )
            truth.to_csv(project.folder / "truth.csv", index=False)
        command = ["sh", "-c", line]
        done = subprocess.run(
            command, cwd=project.folder, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == COMMANDS[line], done.stdout + done.stderr
    assert len(project.client.search_model_versions()) == versions + 1
