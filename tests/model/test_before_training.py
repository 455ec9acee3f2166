"""What no model could be registered with is said before the first node, in a sentence."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

from tests.support.little import CONFIG, little
from tests.support.project import PACKAGE, Project
from tests.support.tiny import said

INSTANCES = "instances: {type: pandas.CSVDataset, filepath: data/instances.csv}"
STATE = "state: {type: json.JSONDataset, filepath: data/state.json}"
INSTEAD = "Or set `model: null` in mlflow.yml: the run registers no model then."


def no_input(project: Project) -> None:
    (project.folder / "data/instances.csv").unlink()


def another_input(project: Project) -> None:
    (project.folder / "data/instances.pickle").write_bytes(pickle.dumps({"a": [1, 2]}))
    entry = "instances: {type: pickle.PickleDataset, filepath: data/instances.pickle}"
    project.edit("conf/base/catalog.yml", INSTANCES, entry)


def refused_by_its_validator(project: Project) -> None:
    source = "def check(rows):\n    raise ValueError('x must be small')\n"
    project.write(f"src/{PACKAGE}/pipelines/checks.py", source)
    validator = f", validator: {PACKAGE}.pipelines.checks.check}}"
    project.edit("conf/base/catalog.yml", INSTANCES, INSTANCES.replace("}", validator))


def no_file_of_the_fitted(project: Project) -> None:
    project.edit("conf/base/catalog.yml", STATE, "")


def no_such_parameter(project: Project) -> None:
    path = f"src/{PACKAGE}/pipelines/inference/pipeline.py"
    project.edit(path, "def predict(instances, state)", "def predict(instances, state, factor)")
    project.edit(path, '["instances", "state"]', '["instances", "state", "params:factor"]')


def a_name_that_mlflow_refuses(project: Project) -> None:
    project.edit("conf/base/mlflow.yml", f"model:\n  name: {PACKAGE}", "model:\n  name: a/b")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (no_input, "'instances' (model.input in mlflow.yml), has no file at"),
        (another_input, "is a builtins.dict: let its entry in catalog.yml load a table of pandas"),
        (refused_by_its_validator, "x must be small"),
        (no_file_of_the_fitted, "'state' is fitted by the run and read by the model, but has no"),
        (no_such_parameter, "reads 'params:factor', which is in no parameters.yml."),
        (a_name_that_mlflow_refuses, "model.name is 'a/b', and MLflow takes no '/' there."),
    ],
)
def test_a_run_that_could_register_no_model_does_not_start(
    project: Project, spoil: Callable[[Project], None], sentence: str
) -> None:
    spoil(little(project))
    result = project.kedro("run", code=1)
    message = said(result.stderr)
    assert message.startswith("Error: ")
    assert sentence in message
    assert message.endswith(INSTEAD)
    assert "Traceback" not in result.stdout + result.stderr
    assert "Running node" not in result.stdout
    assert not (project.folder / "data/state.json").exists()
    assert not (project.folder / "mlflow.db").exists()


def test_a_run_that_registers_nothing_is_not_asked(project: Project) -> None:
    no_input(little(project))
    project.write("conf/base/mlflow.yml", CONFIG.replace(f"model:\n  name: {PACKAGE}\n", ""))
    project.kedro("run")
    project.write("conf/base/mlflow.yml", CONFIG)
    project.kedro("run", "--nodes", "evaluate")
    project.kedro("run", "--only-missing-outputs")
    left_out = "tracking:\n  disable_tracking: {pipelines: [training]}\n"
    project.write("conf/base/mlflow.yml", CONFIG.replace("tracking:\n", left_out))
    project.kedro("run")
    assert [run.info.status for run in project.runs()] == ["FINISHED"] * 3
    assert not project.client.search_registered_models()


def test_names_of_the_rules_that_no_pipeline_has_are_a_warning(project: Project) -> None:
    little(project)
    rules = "evaluation: evaluaton\nthresholds: {rmse: {max: 9}}\n"
    project.write("conf/base/promotion.yml", rules)
    screen = said(project.kedro("run").stdout)
    warning = "promotion.yml: evaluation names the data set 'evaluaton', which no node makes"
    assert screen.index(warning) < screen.index("Running node")
    assert "Promotion cannot judge the version of this run." in screen
    assert "registered diabetes_progression version 1 (champion)" in screen
