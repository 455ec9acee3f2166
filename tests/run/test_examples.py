"""Every example: a whole project that trains, is scored, and whose own tests hold for any data."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from tests.support import answers
from tests.support.profiles import IS_WEEKLY
from tests.support.project import PACKAGE, Project, files_of
from tests.support.rooms import EXAMPLES
from tests.support.tiny import quick_figures

PREDICTED = {
    "none": ["y"],
    "classification": [
        "species",
        *(f"probability_{name}" for name in ("Adelie", "Chinstrap", "Gentoo")),
    ],
}


@pytest.fixture(scope="module", params=[name for name in EXAMPLES if name != "regression"])
def example(
    request: pytest.FixtureRequest,
    rendered: Project,
    template: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Project]:
    """An example that is not the default, in the default project's environment."""
    folder = tmp_path_factory.mktemp(request.param) / "project"
    answers.render(template, folder, {"example": request.param})
    answers.git(folder, "init", "--quiet")
    project = Project(folder, rendered.environment)
    if request.param == "classification":  # It is trained a dozen times here, for seconds.
        project.edit("conf/base/parameters.yml", "trees: 30", "trees: 5")
        quick_figures(project)
    return request.param, project


def test_it_trains_registers_scores_and_is_promoted(example: tuple[str, Project]) -> None:
    name, project = example
    assert "(champion)" in project.kedro("run").stdout
    (run,) = project.runs()
    data = project.folder / "data"
    rows = pd.read_csv(data / "05_model_input/instances.csv")
    assert run.data.metrics["evaluation/rows"] >= 1
    assert (data / "08_reporting/evaluation.json").is_file()
    # What the owner says of the example, in the card of its model.
    said = (project.folder / "MODEL_CARD.md").read_text("utf-8").partition("\n## ")[2]
    assert said.strip() in (files_of(project, "champion") / "MODEL_CARD.md").read_text("utf-8")

    project.kedro("run", "--pipelines", "inference")
    predictions = pd.read_csv(data / "07_model_output/predictions.csv")
    assert list(predictions) == [*PREDICTED[name], "model_version", "model_run_id"]
    assert len(predictions) == len(rows)
    assert predictions.notna().all(axis=None)

    project.kedro("run")
    verdict = project.kedro("mlflow", "promote", "--dry-run").stdout
    assert " NO" not in verdict
    assert "would be the champion" in verdict
    if not IS_WEEKLY:  # tests/registry/test_compare.py compares each time.
        return
    compared = project.kedro("mlflow", "compare", *(run.info.run_id for run in project.runs()[::2]))
    assert "drawn 200 times" in compared.stdout
    lines = compared.stdout.splitlines()
    assert {line.split("  ")[-1].strip() for line in lines[4:]} == {"the same"}


def test_its_own_tests_pass_and_kedros_commands_work(
    example: tuple[str, Project], folders_of_projects_tests: Path
) -> None:
    _, project = example
    project.forked("pytest", "--quiet", "-p", "no:cacheprovider", "tests/pipelines")
    assert list(folders_of_projects_tests.glob("pytest-of-*/pytest-0/*"))
    project.kedro("pipeline", "create", "churn")
    assert "churn" in project.kedro("registry", "list").stdout


# --- the owner's tests hold for whatever the owner makes of the project ---

CHANGES: Mapping[str, str] = {
    "conf/base/catalog.yml": """
seen_by_all:
  type: MemoryDataset

"{name}_table":
  type: pandas.CSVDataset
  filepath: data/02_intermediate/{name}.csv
""",
    "conf/base/parameters.yml": "\nseed: 7\nnames: [a, b]\nnothing: null\n",
}


def test_the_owners_tests_need_no_data_and_hold_for_any_catalog(
    project: Project, tmp_path: Path
) -> None:
    for path, more in CHANGES.items():
        project.write(path, (project.folder / path).read_text("utf-8") + more)
    project.edit(
        "conf/base/catalog.yml",
        "  filepath: data/01_raw/diabetes.csv\n",
        "  filepath: s3://bucket/raw/diabetes.csv\n  credentials: bucket\n",
    )
    shutil.rmtree(project.folder / "data/01_raw")
    screen = project.forked("pytest", "--quiet", "-p", "no:cacheprovider", "tests/pipelines").stdout
    assert " passed" in screen
    assert {path.name for path in (project.folder / "data").rglob("*.csv")} == {"instances.csv"}


def test_the_owners_run_is_on_the_small_tables(project: Project) -> None:
    shutil.rmtree(project.folder / "data/01_raw")
    project.edit("conf/base/catalog.yml", "data/01_raw/diabetes", "s3://bucket/diabetes")
    run = project.run if IS_WEEKLY else project.forked  # Two starts of Kedro take 20 seconds.
    run("pytest", "--quiet", "-p", "no:cacheprovider", "tests/test_run.py")


# --- what is left of the example is named ---


def test_the_doctor_names_what_is_still_the_examples(project: Project) -> None:
    screen = " ".join(project.kedro("mlflow", "doctor").stdout.split())
    left = f"MODEL_CARD.md, data/01_raw/README.md, src/{PACKAGE}/pipelines/schemas.py"
    assert f"still the example's: {left} ->" in screen
    (project.folder / "data/01_raw/diabetes.csv").rename(project.folder / "data/01_raw/mine.csv")
    assert "its data are replaced" in " ".join(project.kedro("mlflow", "doctor").stdout.split())
