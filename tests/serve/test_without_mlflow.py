"""A worker loads the packaged pipeline without MLflow, and every other model with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.support.project import PACKAGE, Project, Trained, files_of
from tests.support.serving import serving

# As worker.py does it: the modules under a name that is not the project's.
START = """
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
sys.modules["server"] = mlops = ModuleType("server")
mlops.__path__ = [sys.argv[1]]
Model = import_module("server.serving.model").Model
"""
PREDICT = """
import_module("server.serving.worker")
model = Model.load(Path(sys.argv[2]), "name", "1", 10)
invoke = import_module("server.serving.mlflow_protocol").invoke
headers = {b"content-type": b"application/json"}
print(invoke(model, sys.argv[3].encode(), headers)[0].decode())
print("mlflow" in sys.modules)
"""
ANOTHER = """
import mlflow, pandas
class Sum(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: pandas.DataFrame, params=None):
        if (model_input < 0).any(axis=None):
            raise mlflow.exceptions.MlflowException.invalid_parameter_value("below zero")
        return model_input.sum(axis=1)
example = pandas.DataFrame({"a": [1.0], "b": [2.0]})
mlflow.pyfunc.save_model(
    sys.argv[2], python_model=Sum(), input_example=example, pip_requirements=["mlflow"],
    signature=mlflow.models.infer_signature(example, pandas.Series([3.0])),
)
"""


def lines(project: Project, script: str, folder: Path, body: str) -> list[str]:
    mlops = project.folder / "src" / PACKAGE / "mlops"
    command = ("python", "-c", START + script, str(mlops), str(folder), body)
    # What is in the model's folder is looked at elsewhere.
    result = project.run(*command, env={"PYTHONDONTWRITEBYTECODE": "1"})
    return result.stdout.splitlines()[-2:]


def test_the_packaged_pipeline_predicts_without_mlflow(trained: Trained) -> None:
    project = trained.project
    rows = pd.read_csv(project.folder / "data/05_model_input/instances.csv").head(2)
    body = json.dumps({"dataframe_records": rows.to_dict("records")})
    answer, has_mlflow = lines(project, PREDICT, files_of(project, "champion"), body)
    scored = pd.read_csv(project.folder / "data/07_model_output/predictions.csv").head(2)
    found = [row["progression"] for row in json.loads(answer)["predictions"]]
    assert found == pytest.approx(list(scored["progression"]))
    assert has_mlflow == "False"


def test_so_does_one_that_version_1_of_the_template_has_packaged(
    trained: Trained, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(files_of(trained.project, "champion"), folder)
    room = folder / "code" / PACKAGE / "tracking/pipeline_model"
    room.mkdir(parents=True)
    (room / "plan.py").write_text("from ...mlops.model.plan import InferencePlan\n")
    (folder / "pyfunc_code.py").rename(folder / "model.py")
    (folder / "code" / PACKAGE / "mlops/model/pyfunc_code.py").rename(room / "model.py")
    rows = pd.read_csv(trained.project.folder / "data/05_model_input/instances.csv").head(2)
    body = json.dumps({"dataframe_records": rows.to_dict("records")})
    answer, has_mlflow = lines(trained.project, PREDICT, folder, body)
    assert len(json.loads(answer)["predictions"]) == 2
    assert has_mlflow == "False"


def test_a_traced_function_of_the_pipeline_sends_no_rows_anywhere(
    project: Project, tmp_path: Path
) -> None:
    """Nor does a server wait for a place that is gone before it ends."""
    nodes = f"src/{PACKAGE}/pipelines/inference/nodes.py"
    project.edit(nodes, "\ndef predict(", "\n@mlflow.trace\ndef predict(")
    project.edit(nodes, "from typing import Any\n", "from typing import Any\n\nimport mlflow\n")
    project.kedro("run")
    before = traces(project)
    rows = pd.read_csv(project.folder / "data/05_model_input/instances.csv").head(2)
    with serving(project, tmp_path) as served:
        answer = served.ask("/invocations", {"dataframe_records": rows.to_dict("records")})
        assert answer.status == 200, answer.content
    assert traces(project) == before
    assert not list(project.folder.glob("mlruns"))


def traces(project: Project) -> dict[str, int]:
    """How many traces each experiment has."""
    return {
        each.name: len(project.client.search_traces(locations=[each.experiment_id]))
        for each in project.client.search_experiments()
    }


def test_any_other_model_is_loaded_by_mlflow(rendered: Project, tmp_path: Path) -> None:
    body = json.dumps({"dataframe_records": [{"a": 1.5, "b": 2}, {"a": 0, "b": 1}]})
    answer, has_mlflow = lines(rendered, ANOTHER + PREDICT, tmp_path / "model", body)
    assert json.loads(answer)["predictions"] == [{"0": 3.5}, {"0": 1.0}]
    assert has_mlflow == "True"


def test_what_another_model_refuses_is_the_callers_fault(rendered: Project, tmp_path: Path) -> None:
    script = ANOTHER + PREDICT.replace("print(invoke", "try:\n    print(invoke", 1).replace(
        "\nprint(",
        "\nexcept import_module('server.serving.app').RefusalError as e: print(e)\nprint(",
        1,
    )
    body = json.dumps({"dataframe_records": [{"a": -1, "b": 2}]})
    assert "below zero" in lines(rendered, script, tmp_path / "model", body)[0]
