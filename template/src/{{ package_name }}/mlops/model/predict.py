"""Ask a model for its predictions: `python predict.py MODEL FOLDER COLUMNS`; see own_process.py.

A process in which the project's package is not imported yet: the model brings the package that it
was trained with, and two versions of a package do not fit into one process.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import yaml
from kedro.validation import DataValidationError

# The configuration of a packaged pipeline, by which it is known: see packaging.py.
_OF_A_PIPELINE = {"package", "pipeline", "input", "output", "datasets", "parameters", "validator"}
# The package in a model's code that predicts, and the code in it that MLflow runs. The second is
# that of models from projects of version 1 of the template.
_PACKAGES = {"mlops.model": "pyfunc_code.py", "tracking.pipeline_model": "model.py"}


def main(model: str, scratch: str, columns: str) -> None:
    """Predict for rows: for the columns that the model's signature names, or for all."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    folder = Path(scratch)
    # What the model logs and traces by itself here belongs to no run.
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    os.environ["MLFLOW_TRACE_SAMPLING_RATIO"] = "0"
    transfer = _transfer()
    rows = transfer.read(folder.parent / "rows")
    try:
        transfer.write(_predictions(Path(model), rows, columns == "all"), folder / "predictions")
    except Exception as error:
        reason = json.dumps(_described(error), default=str)
        (folder / "error.json").write_text(reason, encoding="utf-8")
        raise


def _predictions(folder: Path, rows: Any, takes_all: bool) -> Any:
    packed = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
    inputs = json.loads((packed.get("signature") or {}).get("inputs") or "[]")
    if inputs and "name" in inputs[0] and hasattr(rows, "columns") and not takes_all:
        rows = rows[[each["name"] for each in inputs if each["name"] in rows.columns]]
    flavor = packed["flavors"]["python_function"]
    if plan := plan_of(folder, flavor):
        return plan.predict(rows)
    from mlflow.pyfunc import load_model

    predictions: Any = load_model(str(folder)).predict(rows)
    if hasattr(predictions, "index") and hasattr(rows, "index"):
        predictions.index = rows.index  # The evaluation may use it.
    return predictions


def plan_of(folder: Path, flavor: Mapping[str, Any]) -> Any:
    """Load a packaged pipeline without MLflow, unless what that would run has been changed."""
    config = flavor.get("config") or {}
    for package, file in _PACKAGES.items() if config.keys() >= _OF_A_PIPELINE else ():
        code = folder / flavor["code"]
        copies = folder / file, code.joinpath(config["package"], *package.split("."), file)
        if all(map(Path.is_file, copies)) and len({copy.read_bytes() for copy in copies}) == 1:
            sys.path.insert(0, str(code))
            plan = import_module(f"{config['package']}.{package}.plan").InferencePlan
            files = {name: str(folder / one["path"]) for name, one in flavor["artifacts"].items()}
            return plan.load(config, files)
    return None


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
