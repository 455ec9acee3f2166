"""Loads the files of a model: what it takes, what it returns, and how it predicts."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ..mlflow_internals import unchecked_predict
from .signature import Column, columns_of_signature

# What the model of a pipeline is configured with, by which it is known: see packaging.py.
_OF_A_PIPELINE = {"package", "pipeline", "input", "output", "datasets", "parameters", "validator"}


# Where the model's code is, now and in version 1 of the template.
_ROOMS = {"mlops.model": "pyfunc_code.py", "tracking.pipeline_model": "model.py"}


class Loaded(NamedTuple):
    """A model in memory.

    Attributes:
        inputs: the columns that it takes.
        outputs: those that it returns, as far as they are known.
        predict: takes a table of the inputs.
        example: columns of rows that it can predict for.
    """

    inputs: list[Column]
    outputs: list[Column]
    predict: Callable[[Any], Any]
    example: dict[str, Sequence[Any]]


def load(folder: Path) -> Loaded:
    """Load the files of a model.

    Raises:
        ValueError: it takes something else than a table.
        Exception: whatever its code raises.
    """
    packed = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
    signature = packed.get("signature") or {}
    inputs, outputs = (columns_of_signature(signature.get(key)) for key in ("inputs", "outputs"))
    if not inputs:
        raise ValueError("its signature has no named columns with one value a row each")
    predict = _predict_of(folder, packed["flavors"]["python_function"])
    return Loaded(inputs, outputs or [], predict, _example(folder, packed))


def _predict_of(folder: Path, flavor: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Prepare to predict, without MLflow's own checks of the signature: table.py has made them."""
    os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"  # As MLflow's own server has it.
    config = flavor.get("config") or {}
    predict: Callable[[Any], Any]
    room = _room_of_model(folder, folder / flavor.get("code", ""), config)
    if config.keys() >= _OF_A_PIPELINE and room:
        # As its own code does it for MLflow, whose import takes as long as all else here.
        sys.path.insert(0, str(folder / flavor["code"]))
        plan = import_module(f"{config['package']}.{room}.plan").InferencePlan
        files = {name: str(folder / one["path"]) for name, one in flavor["artifacts"].items()}
        predict = plan.load(config, files).predict
    else:
        import mlflow.pyfunc

        predict = unchecked_predict(mlflow.pyfunc.load_model(str(folder)))
    return predict


def _room_of_model(folder: Path, code: Path, config: Mapping[str, Any]) -> str | None:
    """Find the package that predicts; none if somebody has changed what MLflow would run."""
    for room, file in _ROOMS.items():
        original = code.joinpath(config.get("package", ""), *room.split("."), file)
        copy = folder / file
        if original.is_file() and copy.is_file() and original.read_bytes() == copy.read_bytes():
            return room
    return None


def _example(folder: Path, packed: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    about = packed.get("saved_input_example_info") or {}
    if about.get("type") != "dataframe" or about.get("pandas_orient") != "split":
        return {}
    content = json.loads((folder / about["artifact_path"]).read_text(encoding="utf-8"))
    columns = zip(*content["data"], strict=True)
    return dict(zip(map(str, content["columns"]), columns, strict=True))
