"""A model of each library is saved and loads again; a missing library is skipped by name."""

from __future__ import annotations

import json
import logging
import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.io import DataCatalog
from kedro.pipeline import node
from mlflow import MlflowClient
from mlflow.pyfunc import load_model
from mlflow.pyfunc.model import PythonModel
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from tests.support.rooms import Rooms

X = np.random.default_rng(0).normal(size=(60, 3)).astype("float32")
TABLE = pd.DataFrame(X, columns=["a", "b", "c"])
Y = X @ np.array([1.0, 2.0, 3.0], dtype="float32")


class Doubling(BaseEstimator):
    """A model of the user's own, of a type that skops does not know."""

    def fit(self, X: Any, y: Any = None) -> Doubling:  # noqa: N803
        self.n_features_in_ = 1
        return self

    def predict(self, X: Any) -> Any:  # noqa: N803
        return np.asarray(X)[:, 0] * 2


def ridge() -> Any:
    return Ridge().fit(X, Y)


def forest() -> Any:
    return RandomForestRegressor(3).fit(X, Y)


def own() -> Any:
    return Doubling().fit(X)


def with_a_lambda() -> Any:
    return make_pipeline(FunctionTransformer(lambda rows: rows * 2), Ridge()).fit(X, Y)


def xgboost_unfitted() -> Any:
    return pytest.importorskip("xgboost").XGBRegressor(n_estimators=3)


def xgboost() -> Any:
    return xgboost_unfitted().fit(X, Y)


def lightgbm() -> Any:
    return pytest.importorskip("lightgbm").LGBMRegressor(n_estimators=3, verbose=-1).fit(X, Y)


def booster() -> Any:
    return lightgbm().booster_


def catboost() -> Any:
    kind = pytest.importorskip("catboost").CatBoostRegressor
    return kind(iterations=3, verbose=False, allow_writing_files=False).fit(X, Y)


def statsmodels() -> Any:
    return pytest.importorskip("statsmodels.api").OLS(Y, X).fit()


def torch() -> Any:
    return pytest.importorskip("torch").nn.Linear(3, 1)


def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])


def onnx() -> Any:
    """The graph of a linear model, made by hand."""
    helper = pytest.importorskip("onnx").helper
    pytest.importorskip("onnxruntime")
    float_ = pytest.importorskip("onnx").TensorProto.FLOAT
    rows, predictions = (
        helper.make_tensor_value_info(name, float_, [None, width])
        for name, width in (("rows", 3), ("predictions", 1))
    )
    weights = helper.make_tensor("weights", float_, [3, 1], [1.0, 2.0, 3.0])
    product = helper.make_node("MatMul", ["rows", "weights"], ["predictions"])
    graph = helper.make_graph([product], "linear", [rows], [predictions], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def xgboost_booster() -> Any:
    return xgboost().get_booster()


def in_a_search() -> Any:
    return GridSearchCV(xgboost_unfitted(), {"max_depth": [1, 2]}, cv=2).fit(X, Y)


def statsmodels_formula() -> Any:
    ols = pytest.importorskip("statsmodels.formula.api").ols
    return ols("y ~ a + b", TABLE.assign(y=Y)).fit()


class Pyfunc(PythonModel):
    """A model of MLflow's own kind."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return np.asarray(model_input).sum(axis=1)


@pytest.mark.parametrize(
    ("make", "flavor", "package"),
    [
        (ridge, "sklearn", "skops"),
        (forest, "sklearn", "cloudpickle"),
        (own, "sklearn", "cloudpickle"),
        (with_a_lambda, "sklearn", "cloudpickle"),
        (xgboost, "xgboost", "xgboost"),
        (xgboost_booster, "xgboost", "xgboost"),
        (in_a_search, "sklearn", "xgboost"),
        (lightgbm, "lightgbm", "lightgbm"),
        (booster, "lightgbm", "lightgbm"),
        (catboost, "catboost", "catboost"),
        (statsmodels, "statsmodels", "statsmodels"),
        (statsmodels_formula, "statsmodels", "statsmodels"),
        (torch, "pytorch", "torch"),
        (keras, "keras", "keras"),
        (onnx, "onnx", "onnx"),
        (Pyfunc, "python_function", "cloudpickle"),
    ],
)
def test_a_model_is_saved_delivered_and_loaded_and_predicts_the_same(
    mlops: Rooms, tmp_path: Path, sink: Any, make: Any, flavor: str, package: str
) -> None:
    model = make()
    models = mlops("tracking.capture.models")
    assert models_in(mlops, model) == {"": model}
    folder = tmp_path / "files" / f"{flavor}.{make.__name__}"
    models.save_model(model, folder)
    described = yaml.safe_load((folder / "MLmodel").read_text())
    assert flavor in described["flavors"]
    requirements = (folder / "requirements.txt").read_text()
    assert re.search(f"^{package}(-cpu)?==", requirements, re.MULTILINE)
    assert "mlflow==" in requirements
    loaded: Any = load_model(delivered(mlops, sink, folder))
    rows = TABLE if make is statsmodels_formula else X
    predictions = loaded.predict(rows)
    if isinstance(predictions, dict):
        predictions = next(iter(predictions.values()))
    np.testing.assert_allclose(np.ravel(predictions), np.ravel(_predict(model, rows)), rtol=1e-4)


@pytest.fixture(scope="module")
def sink(mlops: Rooms, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run on a real store, which models are delivered to."""
    folder = tmp_path_factory.mktemp("store")
    config = mlops("config")
    location = {"artifact_location": (folder / "artifacts").as_uri()}
    made = mlops("tracking.shipping.mlflow_sink").MlflowSink(
        config.ServerOptions(mlflow_tracking_uri=f"sqlite:///{folder}/mlflow.db"),
        config.TrackingOptions(experiment={"name": "models", "create_experiment_kwargs": location}),
    )
    made.attach("server", folder)
    started: dict[str, Any] = {"name": "run", "tags": {}, "journal": "j", "join": None}
    made.begin(mlops("tracking.journal").Record("run_started", 1, started))
    return made


def delivered(mlops: Rooms, sink: Any, folder: Path) -> str:
    """Deliver a saved model twice; where the store has put it."""
    data = {"path": str(folder), "name": folder.name, "register": None}
    before = (folder / "MLmodel").read_text()
    for _ in range(2):
        sink.deliver([mlops("tracking.journal").Record("model", 1, data)], patient=True)
    assert not sink.delivery.refused
    assert (folder / "MLmodel").read_text() == before
    client = MlflowClient(sink._server.uri)
    models = client.search_logged_models([sink.delivery.experiment_id])
    name = folder.name.replace(".", "_")  # MLflow takes no dot in the name of a model.
    (location,) = [model.artifact_location for model in models if model.name == name]
    return str(location)


def _predict(model: Any, rows: Any) -> Any:
    kind = type(model).__module__.partition(".")[0]
    if kind == "torch":
        return model(import_module("torch").from_numpy(rows)).detach().numpy()
    if kind == "onnx":
        return Y
    if type(model).__name__ == "Booster" and kind == "xgboost":
        return model.predict(import_module("xgboost").DMatrix(rows))
    return model.predict(None, rows) if isinstance(model, Pyfunc) else model.predict(rows)


def test_every_model_of_a_node_is_delivered(mlops: Rooms, tmp_path: Path, sink: Any) -> None:
    folder = tmp_path / ".kedro_mlflow" / "journal" / "run"
    recorder = mlops("tracking.capture").RunCapture(folder, mlops("config").KedroMlflowConfig())
    train = node(ridge, None, ["best", "by_kind", "folds"], name="train")
    by_kind = {"linear": ridge(), "boosted": lightgbm(), "scale": 3}
    outputs = {"best": forest(), "by_kind": by_kind, "folds": [ridge(), ridge()]}
    recorder.node_called(train, {}, DataCatalog())
    recorder.node_finished(train, outputs)
    sink.deliver(list(mlops("tracking.journal").all_records(folder)), patient=True)
    models = MlflowClient(sink._server.uri).search_logged_models([sink.delivery.experiment_id])
    found = {model.name: str(model.status) for model in models}
    names = ("best", "by_kind_linear", "by_kind_boosted", "folds_0", "folds_1")
    assert [found.get(name) for name in names] == ["READY"] * 5
    assert not sink.delivery.refused


def models_in(mlops: Rooms, value: Any) -> dict[str, Any]:
    """Find the models of an output, by their keys."""
    found = mlops("tracking.capture.findings").find(value, mlops("config").MetricsOptions())
    return {".".join(keys): model for keys, model in found.models.items()}


def test_mlflow_has_nothing_to_say_while_a_model_is_saved(mlops: Rooms, tmp_path: Path) -> None:
    loggers = [logging.getLogger(name) for name in ("mlflow", "mlflow.utils.environment")]
    for logger in loggers:
        logger.setLevel(logging.INFO)
    mlops("tracking.capture.models").save_model(ridge(), tmp_path / "model")
    assert [logger.level for logger in loggers] == [logging.WARNING, logging.ERROR]


def test_what_predicts_nothing_is_no_model(mlops: Rooms) -> None:
    for value in (StandardScaler(), "text", {"a": 1}, None, [1.0], np.ones(3), Ridge):
        assert not models_in(mlops, value)


def test_what_only_says_that_it_is_of_a_library_is_no_model(mlops: Rooms) -> None:
    body = {"__module__": "sklearn.linear_model", "fit": print, "predict": print}
    assert not models_in(mlops, type("Ridge", (), body)())


def test_every_model_in_one_output_has_its_name(mlops: Rooms) -> None:
    first, second = ridge(), forest()
    assert models_in(mlops, first) == {"": first}
    assert models_in(mlops, {"a": first, 2: second, "scale": 3}) == {"a": first, "2": second}
    assert models_in(mlops, [first, second]) == {"0": first, "1": second}
    assert models_in(mlops, (first, "text")) == {"0": first}
    folds = {"linear": [first, first], "deep": {"forest": second, "scores": [1.0, 2.0]}}
    assert list(models_in(mlops, folds)) == ["linear.0", "linear.1", "deep.forest"]
    assert models_in(mlops, [*range(999), first]) == {"999": first}
    assert not models_in(mlops, [*range(1000), first])


def test_the_packages_of_a_pipelines_steps_are_required(mlops: Rooms, tmp_path: Path) -> None:
    pytest.importorskip("xgboost")
    pipeline = make_pipeline(StandardScaler(), xgboost()).fit(X, Y)
    mlops("tracking.capture.models").save_model(pipeline, tmp_path / "model")
    requirements = (tmp_path / "model" / "requirements.txt").read_text()
    assert re.search("^xgboost(-cpu)?==", requirements, re.MULTILINE)


def test_a_model_brings_no_lock_file_of_the_working_directory(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "CANARY"\n')
    (tmp_path / "uv.lock").write_text("version = 1\n# CANARY\n")
    monkeypatch.chdir(tmp_path)
    for name, model in (("sklearn", ridge()), ("pyfunc", Pyfunc())):
        mlops("tracking.capture.models").save_model(model, tmp_path / name)
        files = [path for path in (tmp_path / name).rglob("*") if path.is_file()]
        assert files
        assert not [path for path in files if b"CANARY" in path.read_bytes()]


def test_models_are_registered_by_the_first_rule_that_fits(mlops: Rooms) -> None:
    options = mlops("config").ModelsOptions(register_as={"*.forest": "forest", "a.*": "rest"})
    name = mlops("tracking.capture.models").registered_name
    assert [name(each, options) for each in ("a.forest", "a.x", "b")] == ["forest", "rest", None]
    assert json.dumps(options.model_dump())
