"""The model that a worker serves."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kedro.validation import DataValidationError

from ..mlflow_internals import json_value
from . import inference
from .loading import load
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
        loaded = load(folder)
        metadata = inference.metadata(name, version, loaded.inputs, loaded.outputs)
        model = cls(name, version, max_rows, Table(loaded.inputs), metadata, loaded.predict)
        if loaded.example:
            encoded(records(model.predict(loaded.example)))
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
        except Exception as error:
            if sentence := _refusal(error):
                raise RefusalError(sentence) from error
            raise


def _rows(columns: dict[str, Values]) -> int:
    return len(next(iter(columns.values())))


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
    """Turn a prediction into what JSON can hold, a table into a record a row, as MLflow does."""
    if isinstance(prediction, pd.Series):
        prediction = prediction.to_frame()
    if isinstance(prediction, pd.DataFrame):
        names = list(map(str, prediction.columns))
        columns = [prediction.iloc[:, place].tolist() for place in range(len(names))]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return prediction.tolist() if isinstance(prediction, np.ndarray) else prediction


_strict = json.JSONEncoder(allow_nan=False, default=json_value)


def encoded(content: Any) -> bytes:
    """Write JSON; what is not a number becomes null, which all who read JSON understand."""
    try:
        return _strict.encode(content).encode()
    except ValueError:
        content = json.loads(json.dumps(content, default=json_value))
        return _strict.encode(_without_nan(content)).encode()


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_without_nan(value) for value in content]
    is_number = not isinstance(content, float) or abs(content) < float("inf")
    return content if is_number else None
