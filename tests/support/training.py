"""A training whose nodes are tasks: it passes what it makes from one to the next as files."""

from __future__ import annotations

from tests.support.little import little, tracked_by_variable
from tests.support.project import PACKAGE, Project

# Each node does what a file tells it: it fails, waits to be killed, or is killed once.
TRAINING = """\
import os
import time
from pathlib import Path

from kedro.pipeline import Pipeline, node
from sklearn.linear_model import LinearRegression

def obey(name):
    if Path(f"fail-{name}").exists():
        raise ValueError("as told")
    if Path(f"kill-{name}").exists():
        Path(f"kill-{name}").unlink()
        os.kill(os.getpid(), 9)
    while Path(f"wait-{name}").exists():
        Path(f"waiting-{name}").touch()
        time.sleep(0.05)

def prepare(patients):
    obey("prepare")
    return patients.assign(z=patients["y"] * 2)

def fit(rows, shift):
    obey("fit")
    return {"mean": float(rows["y"].mean()) + shift}

def line(rows):
    return LinearRegression().fit(rows[["x"]], rows["y"])

def train(rows, epochs):
    losses = {"loss": [1 / (step + 1) for step in range(epochs)], "rows": len(rows)}
    obey("train")
    return losses

def predict(rows, state):
    return rows["y"] * 0 + state["mean"]

def evaluate(rows, guesses):
    obey("evaluate")
    return {"rmse": float(((rows["y"] - guesses) ** 2).mean() ** 0.5)}

def create_pipeline():
    return Pipeline([
        node(prepare, "patients", "rows", name="prepare"),
        node(fit, ["rows", "params:shift"], "state", name="fit"),
        node(line, "rows", "line", name="line"),
        node(train, ["rows", "params:epochs"], "history", name="train"),
        node(predict, ["rows", "state"], "guesses", name="guess"),
        node(evaluate, ["rows", "guesses"], "evaluation", name="evaluate"),
    ])
"""
CATALOG = """\
_data: ${oc.env:TASKS_DATA,data/tasks}/${oc.env:MLFLOW_RUN_ID,local}
state: {type: json.JSONDataset, filepath: "${_data}/state.json"}
"{name}": {type: pickle.PickleDataset, filepath: "${_data}/{name}.pickle"}
"""
RULES = "evaluation: evaluation\nholdout: rows\npredictions: guesses\n"


def training(project: Project) -> Project:
    """Give the project the training; MLFLOW_TRACKING_URI may say where it is tracked."""
    made = little(project)
    made.write(f"src/{PACKAGE}/pipelines/training/pipeline.py", TRAINING)
    made.write("conf/base/parameters.yml", "shift: 0.5\nepochs: 5\n")
    made.write("conf/base/promotion.yml", RULES)
    made.write("conf/tasks/catalog.yml", CATALOG)
    return tracked_by_variable(made)


def training_as_answered(project: Project) -> Project:
    """Give the project the training, tracked as its answers say."""
    config = project.read("conf/base/mlflow.yml")
    training(project).write("conf/base/mlflow.yml", config)
    return project
