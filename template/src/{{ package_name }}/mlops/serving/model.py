"""The model that a worker serves: its files loaded, rows predicted for, the answer as JSON."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from kedro.validation import DataValidationError

from ..mlflow_internals import json_value, unchecked_predict
from .app import RefusalError, listed, shortened
from .table import Column, Table, Values, columns_of_signature

# The configuration of a packaged pipeline, by which it is known: see model/packaging.py.
_OF_A_PIPELINE = {"package", "pipeline", "input", "output", "datasets", "parameters", "validator"}
# The package in a model's code that predicts, and the code in it that MLflow runs. The second is
# that of models from projects of version 1 of the template.
_PACKAGES = {"mlops.model": "pyfunc_code.py", "tracking.pipeline_model": "model.py"}


@dataclass(frozen=True)
class Model:
    """A loaded version of a registered model."""

    name: str
    version: str
    max_rows: int  # Of a request.
    inputs: Sequence[Column]
    outputs: Sequence[Column]  # As far as they are known.
    table: Table
    _predict: Callable[[Any], Any]

    @classmethod
    def load(cls, folder: Path, name: str, version: str, max_rows: int) -> "Model":
        """Load the files of a version, and predict its example: no caller waits for the first time.

        A model that takes no table, or refuses its own example, does not load.
        """
        packed = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
        signature = packed.get("signature") or {}
        inputs, outputs = (columns_of_signature(signature.get(k)) for k in ("inputs", "outputs"))
        if not inputs:
            raise ValueError("its signature has no named columns with one value a row each")
        predict = _predict_of(folder, packed["flavors"]["python_function"])
        model = cls(name, version, max_rows, inputs, outputs, Table(inputs), predict)
        if example := _example(folder, packed):
            encoded(records(model.predict(example)[0]))
        return model

    def predict(self, columns: Mapping[str, Values]) -> tuple[Any, int]:
        """Predict for columns of a request, or refuse them; also return how many rows they have."""
        frame = self.table.frame(columns)
        try:
            return self._predict(frame), len(frame)
        except Exception as error:
            if sentence := _refusal(error):
                raise RefusalError(sentence) from error
            raise


def _predict_of(folder: Path, flavor: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Prepare to predict, without MLflow's own checks of the signature: table.py makes them."""
    os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"  # As MLflow's own server has it.
    # Of traced functions, callers' rows would go to the experiment "Default" of the process's URI.
    os.environ.setdefault("MLFLOW_TRACE_SAMPLING_RATIO", "0")
    config = flavor.get("config") or {}
    if config.keys() >= _OF_A_PIPELINE:
        code = folder / flavor["code"]
        if package := _package_that_predicts(folder, code / config["package"]):
            # As MLflow would do it, whose import takes as long as all else here.
            sys.path.insert(0, str(code))
            plan: Any = import_module(f"{config['package']}.{package}.plan").InferencePlan
            files = {name: str(folder / one["path"]) for name, one in flavor["artifacts"].items()}
            return plan.load(config, files).predict  # type: ignore[no-any-return]
    import mlflow.pyfunc

    return unchecked_predict(mlflow.pyfunc.load_model(str(folder)))


def _package_that_predicts(folder: Path, code: Path) -> str | None:
    """Return the package in a model's code; None if somebody has changed what MLflow would run."""
    for package, file in _PACKAGES.items():
        copies = folder / file, code.joinpath(*package.split("."), file)
        if all(map(Path.is_file, copies)) and len({copy.read_bytes() for copy in copies}) == 1:
            return package
    return None


def _example(folder: Path, packed: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    about = packed.get("saved_input_example_info") or {}
    if about.get("type") != "dataframe" or about.get("pandas_orient") != "split":
        return {}
    content = json.loads((folder / about["artifact_path"]).read_text(encoding="utf-8"))
    columns = zip(*content["data"], strict=True)
    return dict(zip(map(str, content["columns"]), columns, strict=True))


def _refusal(error: Exception) -> str:
    """Say in one line what the model has found wrong with the rows; nothing if it has failed."""
    is_verdict = isinstance(error, DataValidationError)
    if failures := getattr(error if is_verdict else error.__cause__, "failures", None):
        # Kedro's own text has a line for each.
        return f"The data is refused: {'; '.join(map(_failure, failures))}."
    if is_verdict:
        return shortened(str(error))
    # An exception of MLflow's, which is not imported here for that.
    status_of = getattr(error, "get_http_status_code", None)
    return shortened(str(error)) if status_of and status_of() < 500 else ""


def _failure(failure: Any) -> str:
    examples = list(failure.failure_examples)
    return f"{failure.message} ({listed(examples, 3, str)})" if examples else str(failure.message)


def records(prediction: Any) -> Any:
    """Return a prediction as JSON can hold it: a table as one record per row, as MLflow does."""
    if isinstance(prediction, pd.Series):
        prediction = prediction.to_frame()
    if isinstance(prediction, pd.DataFrame):
        names = list(map(str, prediction.columns))
        columns = [prediction.iloc[:, place].tolist() for place in range(len(names))]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return prediction.tolist() if isinstance(prediction, np.ndarray) else prediction


_strict = json.JSONEncoder(allow_nan=False, default=json_value)


def encoded(content: Any) -> bytes:
    """Write JSON; NaN and infinities become null, which every reader of JSON understands."""
    try:
        return _strict.encode(content).encode()
    except ValueError:
        text = json.dumps(content, default=json_value)
        return json.dumps(json.loads(text, parse_constant=lambda _: None)).encode()
