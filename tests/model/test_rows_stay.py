"""No row of the owner's data reaches MLflow or a log line unless mlflow.yml says so."""

from __future__ import annotations

import struct
from pathlib import Path

import pandas as pd
import pytest

from tests.support.canary import contents
from tests.support.profiles import weekly
from tests.support.project import Project, files_of
from tests.support.serving import serving

# What no computation makes: in each row of both tables, in each column that may have a fraction.
CANARIES = [61.4142135, 57.7215664, 71.3141592]
FORMS = [
    form
    for number in CANARIES
    for form in (str(number).encode(), struct.pack("<d", number), struct.pack(">d", number))
]
COLUMNS = ["age", "bmi", "blood_pressure", "total_cholesterol", "glucose"]


def plant(project: Project) -> None:
    """Put the canaries into what is trained with, measured on and scored."""
    for name in ("01_raw/diabetes.csv", "05_model_input/instances.csv"):
        path = project.folder / "data" / name
        table = pd.read_csv(path)
        for number, column in enumerate(COLUMNS):
            values = (CANARIES[number % 3 :] + CANARIES)[: len(CANARIES)]
            table[column] = (values * len(table))[: len(table)]
            table.loc[::2, column] += table.index[::2] % 3
        table.to_csv(path, index=False)


def told(folder: Path, *screens: str) -> list[str]:
    """Where a canary is: files of MLflow's, a holdout that goes with its version, and screens."""
    where = [folder / "mlflow.db", *(folder / "mlartifacts").rglob("*")]
    found = [
        "holdout" if path.parent.name == "holdout" else path.name
        for path in where
        if path.is_file() and any(form in content for content in contents(path) for form in FORMS)
    ]
    return sorted(found) + [
        "screen" for each in screens if any(f.decode() in each for f in FORMS[::3])
    ]


def say_example(project: Project, old: str, new: str) -> None:
    project.edit("conf/base/mlflow.yml", f"example: {old} ", f"example: {new} ")


@pytest.mark.parametrize("example", ["synthetic", pytest.param("none", marks=weekly)])
def test_rows_leave_in_the_models_example_alone_and_if_asked(
    project: Project, tmp_path: Path, example: str
) -> None:
    plant(project)
    say_example(project, "synthetic", example)
    trained = project.kedro("run")
    assert FORMS[0] in (project.folder / "data/01_raw/diabetes.csv").read_bytes()
    scored = project.kedro("run", "--pipelines", "inference")
    screens = [process.stdout + process.stderr for process in (trained, scored)]
    with serving(project, tmp_path) as served:
        rows = pd.read_csv(project.folder / "data/05_model_input/instances.csv").head(2)
        answer = served.ask("/invocations", {"dataframe_records": rows.to_dict("records")})
        assert answer.status == 200, answer.content
    assert told(project.folder, *screens, served.screen()) == []
    files = {path.name for path in files_of(project, "champion").iterdir()}
    assert ("input_example.json" in files) is (example != "none")
    say_example(project, example, "rows")
    project.kedro("run")
    found = ["holdout", "input_example.json", "serving_input_example.json"]
    assert told(project.folder) == found
