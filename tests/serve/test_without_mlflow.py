"""A worker loads the packaged pipeline without MLflow, and every other model with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.support.little import little
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
invoke = import_module("server.serving.mlflow_protocol").invoke
headers = {b"content-type": b"application/json"}

def predict(folder, body):
    model = Model.load(Path(folder), "name", "1", 10)
    return invoke(model, body.encode(), headers)[0].decode()
"""
# The models have a package of one name: each needs a process.
EACH = """
import os, skops.io, sklearn.linear_model
child = os.fork()
if child:
    os.wait()
print(predict(sys.argv[3 if child else 4], sys.argv[2]))
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
    "model", python_model=Sum(), input_example=example, pip_requirements=["mlflow"],
    signature=mlflow.models.infer_signature(example, pandas.Series([3.0])),
)
print(predict("model", sys.argv[2]))
try:
    predict("model", sys.argv[3])
except import_module("server.serving.app").RefusalError as error:
    print(error)
"""


def test_the_packaged_pipeline_predicts_without_mlflow(trained: Trained, tmp_path: Path) -> None:
    """So does one that version 1 of the template has packaged."""
    project = trained.project
    packaged, old = files_of(project, "champion"), tmp_path / "model"
    shutil.copytree(packaged, old)
    room = old / "code" / PACKAGE / "tracking/pipeline_model"
    room.mkdir(parents=True)
    (room / "plan.py").write_text("from ...mlops.model.plan import InferencePlan\n")
    (old / "pyfunc_code.py").rename(old / "model.py")
    (old / "code" / PACKAGE / "mlops/model/pyfunc_code.py").rename(room / "model.py")
    rows = pd.read_csv(project.folder / "data/05_model_input/instances.csv").head(2)
    body = json.dumps({"dataframe_records": rows.to_dict("records")})
    command = ("python", "-c", START + PREDICT + EACH, mlops(project), body, packaged, old)
    # What is in the model's folder is looked at elsewhere.
    result = project.run(*map(str, command), env={"PYTHONDONTWRITEBYTECODE": "1"})
    one, has_mlflow, other, has_it_as_well = result.stdout.splitlines()[-4:]
    assert has_mlflow == has_it_as_well == "False"
    scored = pd.read_csv(project.folder / "data/07_model_output/predictions.csv").head(2)
    for answer in (one, other):
        found = [row["progression"] for row in json.loads(answer)["predictions"]]
        assert found == pytest.approx(list(scored["progression"]))


def mlops(project: Project) -> Path:
    return project.folder / "src" / PACKAGE / "mlops"


def test_a_traced_function_of_the_pipeline_sends_no_rows_anywhere(
    project: Project, tmp_path: Path
) -> None:
    """Nor does a server wait for a place that is gone before it ends."""
    nodes = f"src/{PACKAGE}/pipelines/inference/pipeline.py"
    little(project).edit(nodes, "\ndef predict(", "\n@mlflow.trace\ndef predict(")
    project.edit(nodes, "import pandas as pd\n", "import mlflow\nimport pandas as pd\n")
    project.kedro("run")
    before = traces(project)
    with serving(project, tmp_path) as served:
        answer = served.ask("/invocations", {"dataframe_records": [{"x": 1.0}]})
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
    """What it refuses is the caller's fault."""
    bodies = (
        json.dumps({"dataframe_records": records})
        for records in ([{"a": 1.5, "b": 2}, {"a": 0, "b": 1}], [{"a": -1, "b": 2}])
    )
    place = Project(tmp_path, rendered.environment)
    place.write("script.py", START + PREDICT + ANOTHER)
    result = place.forked("python", "script.py", str(mlops(rendered)), *bodies)
    answer, refusal = result.stdout.splitlines()[-2:]
    assert json.loads(answer)["predictions"] == [{"0": 3.5}, {"0": 1.0}]
    assert "below zero" in refusal
