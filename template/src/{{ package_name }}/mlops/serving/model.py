"""The model that a worker serves: its files loaded, and rows predicted for."""

import atexit
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import yaml
from kedro.validation import DataValidationError

from ..errors import shortened
from ..mlflow_internals import path_to_load, unchecked_predict
from ..model.predict import plan_of
from ..model.predictions import encoded, records
from ..model.schema import FILE, Schema, in_words, read_schema
from ..model.tensor_schema import TensorSchema
from .app import RefusalError, require_caller

Values = Sequence[Any]


@dataclass(frozen=True)
class Model:
    """A loaded version of a registered model."""

    name: str
    version: str
    max_rows: int  # Of a request.
    schema: Schema | TensorSchema  # Of the rows that it takes.
    _predict: Callable[[Any], Any]
    outputs: Sequence[Mapping[str, Any]] = ()  # As its signature has them.
    example: Mapping[str, Values] = field(default_factory=dict)
    load_args: Mapping[str, Any] = field(default_factory=dict)  # Of the CSV that a batch reads.
    max_cells: int = 2_000_000  # Of a request: rows times columns.

    @classmethod
    def load(
        cls, folder: Path, name: str, version: str, max_rows: int, max_cells: int = 2_000_000
    ) -> "Model":
        """Load the files of a version, and predict its example: no caller waits for the first time.

        A model that takes neither a table nor an array, or refuses its own example, does not load.
        """
        packed = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
        signature, flavor = packed.get("signature") or {}, packed["flavors"]["python_function"]
        schema = _schema_of(folder, flavor, signature.get("inputs"))
        entry = (flavor.get("config") or {}).get("input_entry") or {}
        model = cls(
            name,
            version,
            max_rows,
            schema,
            _predict_of(folder, flavor),
            json.loads(signature.get("outputs") or "[]"),
            _example(folder, packed),
            entry.get("load_args") or {} if "CSV" in str(entry.get("type")) else {},
            max_cells,
        )
        example = None if isinstance(schema, Schema) else schema.example()
        if model.example or example is not None:
            encoded(records(model.predict(model.example if example is None else example)[0]))
        return model

    def predict(self, rows: Any) -> tuple[Any, int]:
        """Predict for columns or an array of JSON, or a table of CSV; also count their rows.

        What the model refuses is refused.
        """
        require_caller()
        try:
            if isinstance(self.schema, TensorSchema):
                table = self.schema.conform(rows)
            elif isinstance(rows, pd.DataFrame):
                self.schema.check_names(dict.fromkeys(map(str, rows.columns)).keys())
                table = self.schema.conform(rows)
            else:
                table = self.schema.table(rows)
            require_caller()
            predicted = self._predict(table)
            require_caller()
            return predicted, len(table)
        except Exception as error:
            if sentence := _refusal(error):
                raise RefusalError(sentence) from error
            raise

    def check_names(self, found: Collection[str]) -> None:
        """Refuse names that are not those of the columns."""
        assert isinstance(self.schema, Schema)
        try:
            self.schema.check_names(found)
        except DataValidationError as error:
            raise RefusalError(in_words(error)) from error


def _schema_of(
    folder: Path, flavor: Mapping[str, Any], inputs: str | None
) -> Schema | TensorSchema:
    """Read the model's own schema; other models, and those of version 2.0, have a signature."""
    if kept := (flavor.get("artifacts") or {}).get(FILE):
        return read_schema(folder / kept["path"])
    if schema := Schema.of_signature(inputs) or TensorSchema.of_signature(inputs):
        return schema
    raise ValueError(
        "its signature has neither named columns with one value a row each nor a tensor"
    )


def _predict_of(folder: Path, flavor: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Prepare to predict, without MLflow's own checks of the signature: the schema makes them."""
    os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"  # As MLflow's own server has it.
    # Of traced functions, callers' rows would go to the experiment "Default" of the process's URI.
    os.environ.setdefault("MLFLOW_TRACE_SAMPLING_RATIO", "0")
    if plan := plan_of(folder, flavor):
        return getattr(plan, "predict_table", plan.predict)  # type: ignore[no-any-return]
    import mlflow.pyfunc

    scratch = TemporaryDirectory()
    atexit.register(scratch.cleanup)  # The model may read its files later.
    path = path_to_load(folder, Path(scratch.name))
    return unchecked_predict(mlflow.pyfunc.load_model(str(path)))


def _example(folder: Path, packed: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    about = packed.get("saved_input_example_info") or {}
    if about.get("type") != "dataframe" or about.get("pandas_orient") != "split":
        return {}
    content = json.loads((folder / about["artifact_path"]).read_text(encoding="utf-8"))
    columns = zip(*content["data"], strict=True)
    return dict(zip(map(str, content["columns"]), columns, strict=True))


def _refusal(error: Exception) -> str:
    """Say in one line what the model has found wrong with the rows; nothing if it has failed."""
    verdict = error if isinstance(error, DataValidationError) else error.__cause__
    if isinstance(verdict, DataValidationError) and (verdict is error or verdict.failures):
        return in_words(verdict)
    # An exception of MLflow's, which is not imported here for that.
    status_of = getattr(error, "get_http_status_code", None)
    return shortened(str(error)) if status_of and status_of() < 500 else ""
