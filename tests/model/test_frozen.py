"""A version is frozen: the same rows give the same numbers, whatever the project has become."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.frozen import CODE, EXPECTED, FILES, STEPS, VALUES, frozen
from tests.support.profiles import examples
from tests.support.project import PACKAGE, Project, copy_of, files_of
from tests.support.serving import serving
from tests.support.shared import shared

SCORE = ("run", "--pipelines", "inference")
ROWS = """\
import pandas
rows = pandas.read_csv("data/05_model_input/instances.csv", keep_default_na=False)
"""
LOADED = """\
import mlflow
print(*mlflow.pyfunc.load_model({folder!r}).predict(rows)["y"])
"""
COMPARED = """\
from pathlib import Path
from {package}.mlops.model.own_process import predictions_of
print(*predictions_of([Path({folder!r})], rows, False)[0]["y"])
"""
TOO_LATE = """\
import sys
sys.path.insert(0, "src")
import {package}.pipelines.steps
import mlflow
try:
    mlflow.pyfunc.load_model({folder!r})
except mlflow.MlflowException as error:
    print(error)
"""


@pytest.fixture(scope="session")
def original(rendered: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project as it was trained: all processes share it, and none changes it."""

    def train(folder: Path) -> None:
        result = frozen(copy_of(rendered, folder)).kedro("run")
        assert f"registered {PACKAGE} version 1" in said(result.stdout + result.stderr)

    folder = shared(tmp_path_factory, "frozen", train)
    return Project(folder / "project", rendered.environment)


@pytest.fixture
def changing(original: Project, tmp_path: Path) -> Project:
    """The trained project for a test to change; its model lies where the original has it."""
    shutil.copytree(original.folder, tmp_path / "project")
    return Project(tmp_path / "project", original.environment)


def score(project: Project, *options: str) -> tuple[pd.DataFrame, str]:
    """Score a batch: the predictions, and what stands on the screen, as one line."""
    result = project.kedro(*SCORE, *options)
    path = project.folder / "data/07_model_output/predictions.csv"
    predictions = pd.read_csv(path)
    path.unlink()
    return predictions, said(result.stdout + result.stderr)


def said(screen: str) -> str:
    return " ".join(screen.split())


def test_nothing_is_said_of_a_project_that_has_not_changed(changing: Project) -> None:
    layout = (
        (changing.folder / STEPS)
        .read_text("utf-8")
        .replace("\n    return", "\n    # :-)\n\n    return")
    )
    changing.write(STEPS, layout)
    predictions, screen = score(changing)
    assert predictions["y"].tolist() == EXPECTED
    assert "Completed node: widen" in screen
    assert "has changed" not in screen


def test_values_come_from_the_version_into_the_projects_own_nodes(changing: Project) -> None:
    for change in VALUES:
        change.make(changing)
    predictions, screen = score(changing)
    assert predictions["y"].tolist() == EXPECTED
    for change in VALUES:
        assert change.said in screen
    assert "Completed node: widen" in screen
    run, *_ = changing.runs()
    assert "'threshold': 5.0" in run.data.params["limits"]


def test_code_comes_from_the_version_wherever_it_predicts(
    changing: Project, tmp_path: Path
) -> None:
    for change in VALUES + CODE:
        if change.name != "late import gone":
            change.make(changing)
    predictions, screen = score(changing)
    assert predictions["y"].tolist() == EXPECTED
    assert set(predictions["model_version"]) == {1}
    for change in VALUES + CODE[:-2]:
        assert change.said in screen
    assert "in a process of its own" in screen
    run, *_ = changing.runs()
    assert "'threshold': 5.0" in run.data.params["limits"]
    folder = str(files_of(changing, "champion"))
    for way in (LOADED, COMPARED):
        line = changing.script(ROWS + way.format(package=PACKAGE, folder=folder))[-1]
        assert list(map(float, line.split())) == EXPECTED
    line = changing.script(TOO_LATE.format(package=PACKAGE, folder=folder))[-1]
    assert "is imported already" in line
    rows = pd.read_csv(changing.folder / "data/05_model_input/instances.csv", keep_default_na=False)
    with serving(changing, tmp_path) as served:
        body = {"dataframe_records": rows.to_dict("records")}
        answer = served.ask("/invocations", body).body["predictions"]
        assert [each["y"] for each in answer] == EXPECTED


def test_the_working_copy_predicts_as_the_project_is(changing: Project) -> None:
    for change in (VALUES[0], CODE[0]):
        change.make(changing)
    predictions, screen = score(changing, "--params", "model_version=working-copy")
    assert predictions["y"].tolist() != EXPECTED
    assert set(predictions["model_version"]) == {"working-copy"}
    assert "Scoring with the project as it is" in screen
    run, *_ = changing.runs()
    assert run.data.tags["model.version"] == "working-copy"


def test_a_part_of_the_pipeline_does_not_run_with_other_code(changing: Project) -> None:
    CODE[0].make(changing)
    result = changing.kedro(*SCORE, "--to-nodes", "widen", code=1)
    assert f"Version 1 has other code than the project (code {PACKAGE}/pipelines/steps.py)" in said(
        result.stderr
    )
    assert "Traceback" not in result.stderr


@settings(
    max_examples=examples(commit=2, weekly=40),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sets(st.sampled_from(range(len(VALUES + CODE))), min_size=1))
def test_any_changes_leave_a_versions_numbers(changing: Project, chosen: set[int]) -> None:
    for path, content in FILES.items():
        changing.write(path, content)
    made = []
    for change in [(VALUES + CODE)[each] for each in sorted(chosen)]:
        content = (changing.folder / change.path).read_text("utf-8")
        if content.count(change.old) == 1:  # Not changed by another one.
            change.make(changing)
            made.append(change)
    predictions, screen = score(changing)
    assert predictions["y"].tolist() == EXPECTED
    assert ("in a process of its own" in screen) is any(each in CODE for each in made)
