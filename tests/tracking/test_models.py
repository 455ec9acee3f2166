"""A model of each library is saved and loads again; a missing library is skipped by name."""

from __future__ import annotations

import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mlflow.pyfunc import load_model
from mlflow.pyfunc.model import PythonModel
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from tests.tracking.conftest import Tracking

X = np.random.default_rng(0).normal(size=(60, 3)).astype("float32")
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


def xgboost() -> Any:
    return pytest.importorskip("xgboost").XGBRegressor(n_estimators=3).fit(X, Y)


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
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    return pytest.importorskip("skl2onnx").to_onnx(ridge(), X[:1])


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
        (lightgbm, "lightgbm", "lightgbm"),
        (booster, "lightgbm", "lightgbm"),
        (catboost, "catboost", "catboost"),
        (statsmodels, "statsmodels", "statsmodels"),
        (torch, "pytorch", "torch"),
        (keras, "keras", "keras"),
        (onnx, "onnx", "onnx"),
        (Pyfunc, "python_function", "cloudpickle"),
    ],
)
def test_a_saved_model_loads_again_and_predicts_the_same(
    tracking: Tracking, tmp_path: Path, make: Any, flavor: str, package: str
) -> None:
    model = make()
    models = tracking("capture.models")
    assert models.models_in("model", model) == {"model": model}
    models.save_model(model, tmp_path / "model")
    described = yaml.safe_load((tmp_path / "model" / "MLmodel").read_text())
    assert flavor in described["flavors"]
    requirements = (tmp_path / "model" / "requirements.txt").read_text()
    assert f"{package}==" in requirements
    assert "mlflow==" in requirements
    loaded: Any = load_model(str(tmp_path / "model")).predict(X)
    loaded = next(iter(loaded.values())) if isinstance(loaded, dict) else loaded
    expected = {"pytorch": _torch_predict, "onnx": lambda _: ridge().predict(X)}.get(flavor)
    own_predictions = expected(model) if expected else _predict(model)
    np.testing.assert_allclose(np.ravel(loaded), np.ravel(own_predictions), rtol=1e-4)


def _torch_predict(model: Any) -> Any:
    return model(import_module("torch").from_numpy(X)).detach().numpy()


def _predict(model: Any) -> Any:
    return model.predict(None, X) if isinstance(model, Pyfunc) else model.predict(X)


def test_what_predicts_nothing_is_no_model(tracking: Tracking) -> None:
    for value in (StandardScaler(), "text", {"a": 1}, None, [1.0], np.ones(3), Ridge):
        assert not tracking("capture.models").models_in("value", value)


def test_every_model_in_one_output_has_its_name(tracking: Tracking) -> None:
    find = tracking("capture.models").models_in
    first, second = ridge(), forest()
    assert find("all", {"a": first, 2: second, "scale": 3}) == {"all.a": first, "all.2": second}
    assert find("all", [first, second]) == {"all.0": first, "all.1": second}
    assert find("all", (first, "text")) == {"all.0": first}


def test_the_packages_of_a_pipelines_steps_are_required(tracking: Tracking, tmp_path: Path) -> None:
    pytest.importorskip("xgboost")
    pipeline = make_pipeline(StandardScaler(), xgboost()).fit(X, Y)
    tracking("capture.models").save_model(pipeline, tmp_path / "model")
    assert "xgboost==" in (tmp_path / "model" / "requirements.txt").read_text()


def test_a_model_brings_no_lock_file_of_the_working_directory(
    tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "CANARY"\n')
    (tmp_path / "uv.lock").write_text("version = 1\n# CANARY\n")
    monkeypatch.chdir(tmp_path)
    for name, model in (("sklearn", ridge()), ("pyfunc", Pyfunc())):
        tracking("capture.models").save_model(model, tmp_path / name)
        files = [path for path in (tmp_path / name).rglob("*") if path.is_file()]
        assert files
        assert not [path for path in files if b"CANARY" in path.read_bytes()]


def test_models_are_registered_by_the_first_rule_that_fits(tracking: Tracking) -> None:
    options = tracking("config").ModelsOptions(register_as={"*.forest": "forest", "a.*": "rest"})
    name = tracking("capture.models").registered_name
    assert [name(each, options) for each in ("a.forest", "a.x", "b")] == ["forest", "rest", None]
    assert json.dumps(options.model_dump())
