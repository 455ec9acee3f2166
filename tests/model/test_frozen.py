"""A version is frozen: the same rows give the same numbers, whatever the project has become."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tests.support.frozen import CODE, EXPECTED, FILES, STEPS, VALUES, frozen
from tests.support.profiles import IS_WEEKLY
from tests.support.project import PACKAGE, Project, copy_of, files_of
from tests.support.rooms import PACKAGE as ROOMS
from tests.support.rooms import SOURCE
from tests.support.serving import mlflows_own, serving
from tests.support.shared import shared

V2 = "mlops/serving/v2_protocol.py"
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
        project = frozen(copy_of(rendered, folder))
        project.write(f"src/{PACKAGE}/{V2}", (SOURCE / ROOMS / V2).read_text("utf-8"))
        result = project.kedro("run")
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


def test_a_process_that_has_the_projects_code_refuses_the_versions(changing: Project) -> None:
    CODE[0].make(changing)
    script = TOO_LATE.format(package=PACKAGE, folder=str(files_of(changing, "champion")))
    assert "is imported already" in changing.script(script)[-1]


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


def numbers_of_every_way(project: Project, folder: Path) -> dict[str, list[float]]:
    """Predict for the same rows by all but a batch: loaded, and by our server.

    Every week also compared, as in a batch with other code, and by MLflow's server, which loads it.
    """
    model = files_of(project, "champion")
    scripts = {"load_model": LOADED, **({"comparison": COMPARED} if IS_WEEKLY else {})}
    found = {
        way: project.script(ROWS + script.format(package=PACKAGE, folder=str(model)))[-1].split()
        for way, script in scripts.items()
    }
    rows = pd.read_csv(project.folder / "data/05_model_input/instances.csv", keep_default_na=False)
    records = {"dataframe_records": rows.to_dict("records")}
    kinds = {"x": "FP64", "country": "BYTES"}
    tensors = [
        {"name": name, "datatype": kind, "shape": [len(rows)], "data": rows[name].tolist()}
        for name, kind in kinds.items()
    ]
    with serving(project, folder) as ours, ExitStack() as weekly:
        servers = {"invocations": ours}
        if IS_WEEKLY:
            theirs = weekly.enter_context(mlflows_own(project, folder, model))
            servers["mlflow models serve"] = theirs
        for name, server in servers.items():
            predictions = server.ask("/invocations", records).body["predictions"]
            found[name] = [each["y"] for each in predictions]
        answer = ours.ask(f"/v2/models/{PACKAGE}/infer", {"inputs": tensors}).body
        found["v2"] = answer["outputs"][0]["data"]
    return {way: list(map(float, predictions)) for way, predictions in found.items()}


@settings(
    max_examples=40,
    phases=list(Phase) if IS_WEEKLY else [Phase.explicit],  # All changes at once.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@example(set(range(len(VALUES + CODE))))
@given(st.sets(st.sampled_from(range(len(VALUES + CODE))), min_size=1))
def test_any_changes_leave_a_versions_numbers(
    changing: Project, tmp_path: Path, chosen: set[int]
) -> None:
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
    assert set(predictions["model_version"]) == {1}
    assert ("in a process of its own" in screen) is any(each in CODE for each in made)
    nodes = [each for each in made if each.said.startswith("node ")]
    for change in made:
        assert change.said in screen or change in nodes
    run, *_ = changing.runs()
    assert "'threshold': 5.0" in run.data.params["limits"]
    for way, numbers in numbers_of_every_way(changing, tmp_path).items():
        assert numbers == EXPECTED, way
