"""The same functions as in the project's inference pipeline, in an MLflow pyfunc and nothing else.

Saved by save_models.py, as a model from code.
"""

from importlib import import_module
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class PlainModel(PythonModel):
    """Checks, prepares, predicts."""

    def load_context(self, context: Any) -> None:
        """Load what has been fitted; MLflow calls it by this name."""
        package = context.model_config["package"]
        load = import_module(f"{package}.mlops").SkopsDataset
        self._preparation, self._regressor = (
            load(filepath=context.artifacts[name]).load() for name in ("preparation", "regressor")
        )
        self._validate = import_module(f"{package}.pipelines.schemas").validate_instances
        self._prepare = import_module(f"{package}.pipelines.preparation").prepare
        self._predict = import_module(f"{package}.pipelines.inference.nodes").predict

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        """Call one function after another."""
        features = self._prepare(self._validate(model_input), self._preparation)
        return self._predict(features, self._regressor)


set_model(PlainModel())
