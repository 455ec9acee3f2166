"""The code that MLflow runs when it loads the registered model, into which it is copied.

See https://mlflow.org/docs/latest/ml/model/models-from-code/. `kedro mlflow serve` does the same
without MLflow.
"""

import ast
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
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
        modules = config.get("modules", ())
        _require_own_code(modules)
        plan = import_module(f"{config['package']}.mlops.model.plan")
        self._plan = plan.InferencePlan.load(config, context.artifacts)
        _let_others_come_first(modules)

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


def _require_own_code(modules: Iterable[str]) -> None:
    """Refuse to predict by another state of the code, which this process has imported before."""
    for name in modules:
        top, imported = _imported(name)
        if not (imported and name.endswith(".py")):
            continue
        folder = Path(imported).parents[1 if "/" in name else 0]
        files = folder / name, Path(__file__).parent / "code" / name
        one, two = (
            ast.dump(ast.parse(each.read_bytes())) if each.is_file() else "" for each in files
        )
        if one != two:
            raise MlflowException.invalid_parameter_value(
                f"'{top}' is imported already, from {folder}, and {name} there is not what it was "
                "when this model was trained: load the model in a process that has not imported it."
            )


def _let_others_come_first(modules: Iterable[str]) -> None:
    """Move the model's code to the end of the path, where MLflow has put it before all else.

    A notebook may reload its project, by the same names. What functions import when they are called
    is imported before that: of a package the rest comes from its folder.
    """
    for name in modules:
        if not _imported(name)[1]:
            with suppress(Exception):  # The prediction says so, if it gets there.
                import_module(name.partition(".")[0].removesuffix("/__init__").replace("/", "."))
    code = Path(__file__).resolve().parent / "code"
    ours = [each for each in sys.path if Path(each).resolve() == code]
    sys.path[:] = [each for each in sys.path if each not in ours] + ours


def _imported(name: str) -> tuple[str, str | None]:
    """Return the package of a module, or itself, and from where that is imported."""
    top = name.partition("/")[0].partition(".")[0]
    return top, getattr(sys.modules.get(top), "__file__", None)


set_model(PipelineModel())
