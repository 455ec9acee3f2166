"""Neural networks on arrays: packaged, loaded and served, where their library installs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node

from tests.support.rooms import Rooms

IMAGES = np.random.default_rng(5).normal(size=(6, 4, 3)).astype("float32")
MODEL = {"name": "sales", "pipeline": "inference", "input": "images"}


def fit(images: Any) -> None:
    """Train; the tests make the network themselves."""


def predict_torch(images: Any, network: Any) -> Any:
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        return network(torch.from_numpy(images)).numpy()


def predict_keras(images: Any, network: Any) -> Any:
    return np.asarray(network(images).detach())


def torch_network() -> Any:
    nn = pytest.importorskip("torch").nn
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2))


def keras_network() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    layers = [keras.Input((4, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    return keras.Sequential(layers)


@pytest.mark.parametrize(
    ("make", "predict"), [(torch_network, predict_torch), (keras_network, predict_keras)]
)
def test_a_network_predicts_the_same_packaged_loaded_and_served(
    mlops: Rooms,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    make: Callable[[], Any],
    predict: Callable[[Any, Any], Any],
) -> None:
    network = make()
    expected = np.asarray(predict(IMAGES, network))
    inference = Pipeline([node(predict, ["images", "network"], "scores")])
    training = Pipeline([node(fit, "images", "network")])
    pipelines = {"inference": inference, "training": training}
    monkeypatch.setattr(mlops("project"), "registered_pipelines", lambda *_: pipelines)
    distribution = SimpleNamespace(requires=["numpy"])
    monkeypatch.setattr(mlops("model.packaging"), "_distribution", lambda: distribution)
    monkeypatch.chdir(tmp_path)
    state = {"type": "pickle.PickleDataset", "filepath": str(tmp_path / "network.pkl")}
    catalog = DataCatalog.from_config({"network": state})
    catalog["network"].save(network)
    catalog["images"] = MemoryDataset(IMAGES)
    options = mlops("config").ModelOptions(**MODEL)
    mlops("model.packaging").package(options, catalog, tmp_path / "model")
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    np.testing.assert_allclose(np.asarray(loaded.predict(IMAGES)), expected, rtol=1e-6)
    served = mlops("serving.model").Model.load(tmp_path / "model", "sales", "1", 10)
    answer, rows = served.predict(IMAGES.tolist())
    assert rows == len(IMAGES)
    np.testing.assert_allclose(np.asarray(answer), expected, rtol=1e-6)
    records = mlops("model.predictions").records(answer)
    np.testing.assert_allclose(np.asarray(records), expected, rtol=1e-6)
