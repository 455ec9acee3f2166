"""The code that MLflow runs when it loads the registered model, into which it is copied.

See https://mlflow.org/docs/latest/ml/model/models-from-code/. `kedro mlflow serve` does the same
without MLflow.
"""

from importlib import import_module
from typing import Any

import pandas as pd
from kedro.validation import DataValidationError
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class PipelineModel(PythonModel):  # type: ignore[misc, unused-ignore]
    """Predicts by the inference pipeline of the package that is inside the model."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the fitted data sets and the pipeline; MLflow calls it by this name."""
        config = dict(context.model_config)
        plan = import_module(f"{config['package']}.mlops.model.plan")
        self._plan = plan.InferencePlan.load(config, context.artifacts)

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> Any:
        """Return the pipeline's output for rows in its input's columns."""
        try:
            return self._plan.predict(model_input)
        except DataValidationError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error


set_model(PipelineModel())
