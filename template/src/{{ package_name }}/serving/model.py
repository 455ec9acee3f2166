"""The model that a worker serves."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.utils.proto_json_utils import NumpyEncoder

from . import inference
from .refusal import RefusalError, listed, shortened
from .scoring import CSV, columns_of_csv, columns_of_json, parsed
from .table import Table, Values


@dataclass(frozen=True)
class Model:
    """A loaded version of a registered model.

    Attributes:
        name: of the registered model.
        version: of these files.
        max_rows: how many rows a request may have.
        table: the columns that it takes.
        metadata: its description in KServe's protocol.
    """

    name: str
    version: str
    max_rows: int
    table: Table
    metadata: dict[str, Any]
    _predict: Any

    @classmethod
    def load(cls, folder: Path, name: str, version: str, max_rows: int) -> "Model":
        """Load the files of a version, and predict its example: no caller waits for the first time.

        Raises:
            Exception: whatever its code raises; a model that refuses its own example is none.
        """
        os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"  # As MLflow's own server has it.
        loaded = mlflow.pyfunc.load_model(str(folder))
        inputs, outputs = loaded.metadata.get_input_schema(), loaded.metadata.get_output_schema()
        if not Table.fits(inputs):
            raise ValueError("its signature has no named columns with one value a row each")
        metadata = inference.metadata(name, version, inputs, outputs)
        # Not MLflow's own predict: its checks of the signature are done by the table already.
        predict = loaded._model_impl.predict
        model = cls(name, version, max_rows, Table(inputs), metadata, predict)
        example = loaded.metadata.load_input_example(str(folder))
        if isinstance(example, pd.DataFrame):
            model.predict({str(column): example[column].tolist() for column in example.columns})
        return model

    def invoke(self, body: bytes, content_type: str) -> tuple[bytes, int]:
        """Answer a request of MLflow's scoring protocol; also tell how many rows it had.

        Raises:
            RefusalError: the request is malformed, or the model refuses its rows.
        """
        if content_type == CSV:
            columns = columns_of_csv(body, self.table, self.max_rows)
        else:
            columns = columns_of_json(parsed(body), self.table, self.max_rows)
        predictions = records(self.predict(columns))
        # The other key of MLflow's response stays; its clients read no more than that.
        answer = encoded({"predictions": predictions, "model_version": self.version})
        return answer, _rows(columns)

    def infer(self, body: bytes) -> tuple[bytes, int]:
        """Answer a request of KServe's protocol; also tell how many rows it had.

        Raises:
            RefusalError: the request is malformed, or the model refuses its rows.
        """
        content = parsed(body)
        columns = inference.columns_of(content, self.table, self.max_rows)
        prediction = self.predict(columns)
        response = inference.response(content, self.name, self.version, prediction)
        return encoded(response), _rows(columns)

    def predict(self, columns: dict[str, Values]) -> Any:
        """Predict for columns of a request.

        Raises:
            RefusalError: the signature or the model refuses them.
        """
        frame = self.table.frame(columns)
        try:
            return self._predict(frame)
        except MlflowException as error:
            if error.get_http_status_code() >= 500:
                raise
            raise RefusalError(_sentence(error)) from error


def _rows(columns: dict[str, Values]) -> int:
    return len(next(iter(columns.values())))


def _sentence(error: MlflowException) -> str:
    """Say in one line what the validator has found, if that is why the model has refused."""
    # Kedro's own text has a line for each; its class is the model's, not this process's.
    failures = getattr(error.__cause__, "failures", None)
    if not failures:
        return shortened(error.message)
    return f"The data is refused: {'; '.join(map(_failure, failures))}."


def _failure(failure: Any) -> str:
    examples = list(failure.failure_examples)
    return f"{failure.message} ({listed(examples, 3, str)})" if examples else str(failure.message)


def records(prediction: Any) -> Any:
    """Turn a prediction into what JSON can hold, a table into a record a row, as MLflow does."""
    if isinstance(prediction, pd.Series):
        prediction = prediction.to_frame()
    if isinstance(prediction, pd.DataFrame):
        names = list(map(str, prediction.columns))
        columns = [prediction.iloc[:, place].tolist() for place in range(len(names))]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return prediction.tolist() if isinstance(prediction, np.ndarray) else prediction


_strict = json.JSONEncoder(allow_nan=False, default=NumpyEncoder().default)


def encoded(content: Any) -> bytes:
    """Write JSON; what is not a number becomes null, which all who read JSON understand."""
    try:
        return _strict.encode(content).encode()
    except ValueError:
        return _strict.encode(
            _without_nan(json.loads(json.dumps(content, cls=NumpyEncoder)))
        ).encode()


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_without_nan(value) for value in content]
    is_number = not isinstance(content, float) or abs(content) < float("inf")
    return content if is_number else None
