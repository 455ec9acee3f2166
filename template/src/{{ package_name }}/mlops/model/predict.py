"""Ask a model for its predictions: `python predict.py MODEL FOLDER COLUMNS`; see own_process.py.

A process in which the project's package is not imported yet: the model brings the package that it
was trained with, and two versions of a package do not fit into one process.
"""

import json
import logging
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import mlflow
from kedro.validation import DataValidationError


def main(model: str, scratch: str, columns: str) -> None:
    """Predict for rows: for the columns that the model's signature names, or for all."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    folder = Path(scratch)
    # What the model logs and traces by itself here belongs to no run.
    mlflow.tracing.disable()
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    transfer = _transfer()
    rows = transfer.read(folder.parent / "rows")
    try:
        transfer.write(_predictions(model, rows, columns == "all"), folder / "predictions")
    except Exception as error:
        reason = json.dumps(_described(error), default=str)
        (folder / "error.json").write_text(reason, encoding="utf-8")
        raise


def _predictions(folder: str, rows: Any, takes_all: bool) -> Any:
    model = mlflow.pyfunc.load_model(folder)
    schema = model.metadata.get_input_schema()
    if schema and schema.has_input_names() and hasattr(rows, "columns") and not takes_all:
        rows = rows[[name for name in schema.input_names() if name in rows.columns]]
    config = model.metadata.flavors["python_function"].get("config") or {}
    if "pipeline" in config:  # As its nodes get rows in a batch; MLflow's own check takes fewer.
        return vars(model.unwrap_python_model())["_plan"].predict(rows)
    predictions = model.predict(rows)
    if hasattr(predictions, "index") and hasattr(rows, "index"):
        predictions.index = rows.index  # The evaluation may use it.
    return predictions


def _described(error: Exception) -> dict[str, Any]:
    """Describe an error; of rows that a validator refuses, all that it says of them."""
    if not isinstance(error, DataValidationError):
        return {"is": type(error).__name__, "message": str(error)}
    names = ("message", "dataset_name", "mode", "validator")
    failures = [vars(failure) for failure in error.failures]
    return {name: getattr(error, name) for name in names} | {"failures": failures}


def _transfer() -> Any:
    spec = spec_from_file_location("transfer", Path(__file__).with_name("transfer.py"))
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(*sys.argv[1:])
