"""Projects with a model that is fitted in a moment, in two packages of `pipelines/`."""

from __future__ import annotations

import shutil

from tests.support.project import PACKAGE, Project
from tests.support.tiny import CONFIG as TINY

INIT = "from .pipeline import create_pipeline\n\n__all__ = ['create_pipeline']\n"

TRAINING = """\
from kedro.pipeline import Pipeline, node

def fit(patients):
    return {"mean": float(patients["y"].mean())}

def evaluate(patients, state):
    return {"rmse": float(((patients["y"] - state["mean"]) ** 2).mean() ** 0.5)}

def create_pipeline():
    return Pipeline([
        node(fit, "patients", "state", name="fit"),
        node(evaluate, ["patients", "state"], "evaluation", name="evaluate"),
    ])
"""

INFERENCE = """\
import pandas as pd
from kedro.pipeline import Pipeline, node

def predict(instances, state):
    return pd.DataFrame({"prediction": instances["x"] + state["mean"]})

def create_pipeline():
    return Pipeline([node(predict, ["instances", "state"], "predictions", name="predict")])
"""

CATALOG = """\
patients: {type: pandas.CSVDataset, filepath: data/patients.csv}
state: {type: json.JSONDataset, filepath: data/state.json}
instances: {type: pandas.CSVDataset, filepath: data/instances.csv}
predictions: {type: pandas.CSVDataset, filepath: data/predictions.csv}
"""

CONFIG = f"{TINY}model:\n  name: {PACKAGE}\n"


def little(project: Project, mean: float = 2.0) -> Project:
    """Give the project the little model, whose state is the mean of its rows."""
    package = project.folder / "src" / PACKAGE / "pipelines"
    shutil.rmtree(package)
    for name, source in {"training": TRAINING, "inference": INFERENCE}.items():
        (package / name).mkdir(parents=True)
        (package / name / "__init__.py").write_text(INIT, "utf-8")
        (package / name / "pipeline.py").write_text(source, "utf-8")
    (package / "__init__.py").touch()
    project.write("conf/base/catalog.yml", CATALOG)
    project.write("conf/base/parameters.yml", "")
    project.write("conf/base/mlflow.yml", CONFIG)
    project.write("data/patients.csv", f"x,y\n1.0,{mean - 1}\n2.0,{mean + 1}\n")
    project.write("data/instances.csv", "x\n10.0\n20.0\n")
    return project


def tracked_by_variable(project: Project) -> Project:
    """Let MLFLOW_TRACKING_URI say where a project is tracked, if it is set."""
    address = "${oc.env:MLFLOW_TRACKING_URI,'sqlite:///mlflow.db'}"
    project.edit("conf/base/mlflow.yml", "sqlite:///mlflow.db", address)
    return project


def predicted(project: Project) -> list[str]:
    """The rows that batch scoring has written, without their heading."""
    return (project.folder / "data/predictions.csv").read_text("utf-8").split()[1:]


# As the study's: half of the rows are the holdout, and one group has metrics of its own.
JUDGED = """\
from kedro.pipeline import Pipeline, node
from ..inference.pipeline import predict

def split(patients, seed):
    test = patients.sample(frac=0.5, random_state=seed)
    return patients.drop(test.index), test

def fit(train, shift):
    return {"mean": float((train["y"] - train["x"]).mean()) + shift}

def errors(wrong, y):
    return {"rmse": (wrong**2).mean() ** 0.5, "r2": 1 - (wrong**2).mean() / y.var()}

def evaluate(test, guesses):
    wrong, old = test["y"] - guesses["prediction"], test["x"] > 50
    return {**errors(wrong, test["y"]), "old": errors(wrong[old], test["y"][old])}

def create_pipeline():
    return Pipeline([
        node(split, ["patients", "params:seed"], ["train", "test_records"], name="split"),
        node(fit, ["train", "params:shift"], "state", name="fit"),
        node(predict, ["test_records", "state"], "test_predictions", name="guess"),
        node(evaluate, ["test_records", "test_predictions"], "evaluation", name="evaluate"),
    ])
"""


def judged(project: Project) -> Project:
    """Give the project a little model that the study's rules of promotion are about.

    MLFLOW_TRACKING_URI may say where it is tracked.
    """
    made = little(project)
    made.write(f"src/{PACKAGE}/pipelines/training/pipeline.py", JUDGED)
    made.write("conf/base/parameters.yml", "seed: 1\nshift: 0.0\n")
    rows = (f"{x}.0,{x + 1 + (x % 3)}.0\n" for x in range(100))
    made.write("data/patients.csv", f"x,y\n{''.join(rows)}")
    return tracked_by_variable(made)
