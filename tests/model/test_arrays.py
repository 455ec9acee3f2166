"""A model of arrays: trained, packaged, scored in a batch, loaded by MLflow and served alike."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.support.answers import REPOSITORY
from tests.support.project import PACKAGE, Project, copy_of
from tests.support.rooms import PACKAGE as NAME
from tests.support.serving import Served, serving
from tests.support.tiny import small

INFER = f"/v2/models/{PACKAGE}/infer"
V2 = "mlops/serving/v2_protocol.py"
PIPELINES = """
from kedro.pipeline import Pipeline, node

def fit(images):
    return images.reshape(len(images), -1).mean(axis=0)

def predict(images, weights):
    assert images.dtype == "float32"
    return images.reshape(len(images), -1) @ weights

def evaluate(images, predicted):
    return {"rmse": float(((predicted - images.mean(axis=(1, 2))) ** 2).mean() ** 0.5)}

training = Pipeline([
    node(fit, "images", "weights"),
    node(predict, ["images", "weights"], "predicted"),
    node(evaluate, ["images", "predicted"], "evaluation"),
])
inference = Pipeline([node(predict, ["unseen", "weights"], "scores")])
PIPELINES = {"__default__": training, "training": training, "inference": inference}
"""
RULES = """
evaluation: evaluation
holdout: images
predictions: predicted
improvement: {rmse: {tolerance: 0.1}}
"""
MODEL = f"model: {{name: {PACKAGE}, pipeline: inference, input: unseen}}\n"
RANDOM = np.random.default_rng(7)
IMAGES, UNSEEN = (RANDOM.normal(size=(count, 2, 3)).astype("float32") for count in (20, 4))


@dataclass(frozen=True)
class Scored:
    """A project whose model takes arrays, and what a batch has predicted."""

    project: Project
    batch: list[float]


def array(name: str) -> str:
    return f"{name}:\n  type: pickle.PickleDataset\n  filepath: data/{name}.pickle\n"


def give(project: Project, name: str, value: Any) -> None:
    (project.folder / f"data/{name}.pickle").write_bytes(pickle.dumps(value))


@pytest.fixture(scope="module")
def scored(rendered: Project, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    project = small(copy_of(rendered, tmp_path_factory.mktemp("arrays")), PIPELINES, MODEL)
    project.write("conf/base/catalog.yml", "".join(map(array, ("images", "unseen", "weights"))))
    catalog = (project.folder / "conf/base/catalog.yml").read_text("utf-8")
    project.write("conf/base/catalog.yml", catalog + array("scores"))
    project.write("conf/base/promotion.yml", RULES)
    give(project, "images", IMAGES)
    give(project, "unseen", UNSEEN)
    assert "registered" in project.kedro("run").stdout
    project.kedro("run", "--pipelines", "inference")
    scores = pickle.loads((project.folder / "data/scores.pickle").read_bytes())
    return Scored(project, scores.tolist())


@pytest.fixture(scope="module")
def served(scored: Scored, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    project = scored.project
    shutil.copy(REPOSITORY / f"template/src/{NAME}/{V2}", project.folder / f"src/{PACKAGE}/{V2}")
    with serving(project, tmp_path_factory.mktemp("served")) as server:
        yield server


def test_the_signature_is_a_tensor(scored: Scored) -> None:
    client = scored.project.client
    version = client.get_model_version_by_alias(PACKAGE, "champion").version
    folder = client.get_model_version_download_uri(PACKAGE, version).removeprefix("file://")
    signature = yaml.safe_load(Path(folder, "MLmodel").read_text("utf-8"))["signature"]
    (spec,) = json.loads(signature["inputs"])
    assert spec == {
        "type": "tensor",
        "tensor-spec": {"dtype": "float32", "shape": [-1, 2, 3]},
    }


def test_mlflow_predicts_what_the_batch_did(scored: Scored) -> None:
    source = f"""
import json, pickle, mlflow
mlflow.set_tracking_uri("sqlite:///mlflow.db")
model = mlflow.pyfunc.load_model("models:/{PACKAGE}@champion")
print(json.dumps(model.predict(pickle.load(open("data/unseen.pickle", "rb"))).tolist()))
"""
    assert json.loads(scored.project.script(source)[-1]) == scored.batch


def test_two_versions_are_compared_on_arrays(scored: Scored, tmp_path: Path) -> None:
    project = Project(tmp_path / "project", scored.project.environment)
    shutil.copytree(scored.project.folder, project.folder)
    give(project, "images", IMAGES[:15])
    project.kedro("run")
    screen = project.kedro("mlflow", "promote", "--dry-run").stdout
    assert "on 15 rows" in screen
    assert "Both have predicted again for the holdout of version 2" in screen
    assert "its rule holds" in screen


@pytest.mark.parametrize("key", ["instances", "inputs"])
def test_it_is_served_by_nested_lists(served: Served, scored: Scored, key: str) -> None:
    answer = served.ask("/invocations", {key: UNSEEN.tolist()})
    assert answer.body["predictions"] == scored.batch


def test_it_is_served_by_one_tensor(served: Served, scored: Scored) -> None:
    tensor = {"name": "input", "shape": [4, 2, 3], "datatype": "FP32"}
    for data in (UNSEEN.reshape(-1).tolist(), UNSEEN.tolist()):
        answer = served.ask(INFER, {"inputs": [{**tensor, "data": data}]})
        assert answer.body["outputs"][0]["data"] == scored.batch


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        ({"instances": [[1, 2, 3]]}, None, "an array of float32 with the shape [n, 2, 3], not"),
        ({"instances": [[[1, 2, 3], [1, 2]]]}, None, "an array of float32 with the shape"),
        ({"instances": [[["a", 2, 3], [1, 2, 3]]]}, None, "nothing but numbers or booleans"),
        ({"instances": []}, None, "there are no rows"),
        ({"instances": 1}, None, "must be a nested list"),
        ({"dataframe_split": {}}, None, "send JSON with instances or inputs"),
        (b"a,b\n1,2\n", "text/csv", "send JSON with instances or inputs"),
    ],
)
def test_what_is_no_such_array_is_refused(
    served: Served, body: Any, content_type: str | None, message: str
) -> None:
    answer = served.ask("/invocations", body, content_type or "application/json")
    assert answer.status == 400
    assert message in answer.message


def test_two_tensors_are_refused(served: Served) -> None:
    tensor = {"name": "input", "shape": [1], "datatype": "FP32", "data": [1]}
    answer = served.ask(INFER, {"inputs": [tensor, {**tensor, "name": "other"}]})
    assert (answer.status, answer.message) == (400, "inputs: the model takes one tensor, not 2.")


def test_it_is_described(served: Served) -> None:
    assert served.ask("/").body["input"] == "an array of float32 with the shape [n, 2, 3]"
    (described,) = served.ask(f"/v2/models/{PACKAGE}").body["inputs"]
    assert described == {"name": "input", "datatype": "FP64", "shape": [-1, 2, 3]}
    row = served.ask("/openapi.json").body["components"]["schemas"]["Row"]
    assert row["maxItems"] == 2
    assert row["items"]["items"] == {"type": "number"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            np.array(["a", "b"]),
            "of the type <U1 and the shape [2] cannot be the model's input: a model takes rows",
        ),
        (np.array(3.0), "and the shape [] cannot be the model's input"),
        ([1, 2], "is a builtins.list: let its entry in catalog.yml load a table"),
        (np.empty((0, 2, 3)), "has no rows"),
    ],
)
def test_what_is_no_array_of_numbers_is_said_before_the_first_node(
    scored: Scored, tmp_path: Path, value: Any, message: str
) -> None:
    project = copy_of(scored.project, tmp_path)
    give(project, "unseen", value)
    result = project.kedro("run", code=1)
    assert message in " ".join(result.stderr.split())
    assert "Running node" not in result.stdout
