"""`kedro mlflow reproduce`: a run, repeated as it was, whatever the project is now."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from mlflow.entities import Run

from tests.support import answers
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project
from tests.support.tiny import said
from tests.support.training import training

PIPELINE = f"src/{PACKAGE}/pipelines/training/pipeline.py"


def committed(project: Project) -> Project:
    """The project under git, with all that it is."""
    answers.git(project.folder, "init", "--quiet")
    answers.git(project.folder, "add", "--all")
    answers.git(project.folder, "commit", "--quiet", "--message", "Start")
    return project


def clean(project: Project) -> None:
    """Take back what differs from the commit."""
    answers.git(project.folder, "stash", "--include-untracked")


def newest(project: Project) -> Run:
    return project.runs()[0]


# A new environment gets what Python has compiled of the same files: all of MLflow takes 10 seconds.
UV = """#!/bin/sh
'{uv}' "$@" || exit
test "$1" = sync || exit 0
cd '{environment}' && find lib -name __pycache__ -exec cp -al --parents -t "$OLDPWD/.venv" {{}} +
"""


@pytest.fixture
def quick(project: Project, tmp_path: Path) -> dict[str, str]:
    """The variables with which `uv sync` leaves an environment that is compiled."""
    uv = tmp_path / "bin/uv"
    uv.parent.mkdir()
    uv.write_text(UV.format(uv=shutil.which("uv"), environment=project.environment))
    uv.chmod(0o755)
    return {"PATH": f"{uv.parent}:{os.environ['PATH']}"}


def version_of(series: str) -> str:
    """The patch of a series of Python that uv takes."""
    find = ["uv", "python", "find", "--system", series]
    python = subprocess.run(find, capture_output=True, text=True, check=True).stdout.strip()
    shown = subprocess.run([python, "--version"], capture_output=True, text=True, check=True)
    return shown.stdout.split()[1]


def reproduce(
    project: Project, *options: str, code: int = 0, env: dict[str, str] | None = None
) -> str:
    result = project.kedro("mlflow", "reproduce", *options, code=code, env=env)
    assert answers.git(project.folder, "worktree", "list").count("\n") == 1
    return result.stdout + result.stderr


def test_a_run_of_changed_files_is_reproduced_whatever_has_become_of_the_project(
    project: Project, quick: dict[str, str], tmp_path: Path
) -> None:
    # Without scikit-learn, which takes seconds to import in a new environment.
    imported = "from sklearn.linear_model import LinearRegression\n"
    training(project).edit(PIPELINE, imported, "")
    project.edit(PIPELINE, 'LinearRegression().fit(rows[["x"]], rows["y"])', "len(rows)")
    committed(project)
    outside, mirror = tmp_path / "reports", tmp_path / "mirror.db"
    outside.mkdir()
    # The run's own: an edit, a new module, an output somewhere else, data that git does not have.
    project.edit(PIPELINE, "import os\n", "import os\nfrom ..mine import TWICE\n")
    project.edit(PIPELINE, "+ shift}", "* TWICE + shift}")
    project.write(f"src/{PACKAGE}/pipelines/mine.py", "TWICE = 2\n")
    catalog = "conf/base/catalog.yml"
    entry = f"evaluation: {{type: json.JSONDataset, filepath: {outside}/e.json}}\n"
    project.write(catalog, f"{project.read(catalog)}{entry}")
    project.edit(catalog, "data/patients.csv", "data/01_raw/mine.csv")
    data = project.folder / "data"
    shutil.copy(data / "patients.csv", data / "01_raw/mine.csv")
    # What is no part of it: who is told of runs, and where they go.
    project.write(
        "conf/local/mlflow.yml", f"mirrors: [{{mlflow_tracking_uri: sqlite:///{mirror}}}]\n"
    )
    project.kedro("run", "--params", "shift=3", "--runner", "ThreadRunner")
    run = newest(project)
    assert run.data.tags["kedro.diff"] == "whole"
    # Another patch of Python is not on every machine.
    series = platform.python_version().rpartition(".")[0]
    project.client.set_tag(run.info.run_id, "kedro.python", f"{series}.99")
    clean(project)
    project.write("uv.lock", "version = 1\n")
    project.write("data/state.json", "mine")
    written = (outside / "e.json").stat().st_mtime_ns
    mirrored = mirror.stat().st_mtime_ns

    asked = project.kedro("mlflow", "reproduce", run.info.run_id, code=1)
    assert f"src/{PACKAGE}/pipelines/mine.py" in said(asked.stdout)
    shown = reproduce(project, "--version", "1", "--yes", "--exact", "--keep", env=quick)
    assert f"The run {run.info.run_id} was reproduced exactly" in said(shown)
    assert f" python {series}.99 {version_of(series)} NO " in said(shown)
    (run,) = project.runs()
    kept_on(run, project)
    assert project.read("data/state.json") == "mine"
    assert (outside / "e.json").stat().st_mtime_ns == written
    assert mirror.stat().st_mtime_ns == mirrored


def kept_on(run: Run, project: Project) -> None:
    """Check that a run has the result of its reproduction."""
    assert run.data.tags["reproduced"].startswith("exactly, 2")
    (table,) = project.client.list_artifacts(run.info.run_id, "reproduction")
    path = project.client.download_artifacts(run.info.run_id, table.path)
    assert "| predictions |  |  | 1 of 1 |" in Path(path).read_text("utf-8")


@weekly
@pytest.mark.parametrize(
    ("example", "other"),
    [("regression", "split.seed=5"), ("classification", "model.trees=5"), ("none", "split.seed=5")],
)
def test_a_version_of_an_example_is_reproduced_and_says_so(
    example: str, other: str, rendered: Project, template: Path, tmp_path: Path
) -> None:
    folder = answers.render(template, tmp_path / "project", {"example": example})
    shutil.copy(rendered.folder / "uv.lock", folder)
    project = committed(Project(folder, rendered.environment))
    project.kedro("run")
    project.kedro("run", "--params", other)
    shown = reproduce(project, "--version", "1", "--keep")
    run = project.client.get_run(str(project.client.get_model_version(PACKAGE, "1").run_id))
    assert f"The run {run.info.run_id} was reproduced exactly" in said(shown)
    kept_on(run, project)
    assert len(project.runs()) == 2


@weekly
def test_a_run_of_tasks_is_repeated_as_one_and_a_difference_is_named(project: Project) -> None:
    committed(training(project))
    run = project.kedro("mlflow", "run", "begin").stdout.strip()
    project.kedro("run", "--env", "tasks", env={"MLFLOW_RUN_ID": run})
    project.kedro("mlflow", "run", "end", run)
    # Somebody makes it better than it was.
    project.client.log_metric(run, "evaluation/rmse", 0.25)
    shown = said(reproduce(project, run, "--yes", code=1))
    assert re.search(r" evaluation/rmse 0.25 [\d.]+ NO ", shown)
    assert shown.count(" NO ") == 1
    assert f"The run {run} was not reproduced" in shown


def test_what_is_no_longer_there_is_named_before_anything_runs(project: Project) -> None:
    committed(training(project))
    records = project.folder / "data/patients.csv"
    whole = records.read_text("utf-8")
    records.write_text(f"{whole}3.0,4.0\n", "utf-8")
    project.kedro("run")
    run = newest(project).info.run_id
    records.write_text(whole, "utf-8")
    shown = said(reproduce(project, run, code=1))
    assert "other data than there are now: 'patients' (data/patients.csv has changed)" in shown
    project.client.set_tag(run, "mlflow.source.git.commit", "0" * 40)
    assert f"git does not have the commit {'0' * 40} here" in said(reproduce(project, run, code=1))

    # Git has no lock file that it ignores.
    answers.git(project.folder, "rm", "--quiet", "--cached", "uv.lock")
    project.write(
        ".gitignore", "uv.lock\n/mlflow.db*\n/mlartifacts/\n/.kedro_mlflow/\n__pycache__\n"
    )
    committed(project)
    project.kedro("run")
    shown = said(reproduce(project, newest(project).info.run_id, "--yes", code=1))
    assert "The libraries of the run are not known: its uv.lock is not the one" in shown
    assert len(project.runs()) == 2


def test_it_needs_a_run_or_a_version(project: Project) -> None:
    for options in ([], ["abc", "--version", "1"]):
        assert "Give a run's id, or --version N." in reproduce_nothing(project, *options)
    assert "gives no such run" in said(project.kedro("mlflow", "reproduce", "abc", code=1).stderr)


def reproduce_nothing(project: Project, *options: str) -> str:
    return project.kedro("mlflow", "reproduce", *options, code=2).stderr
