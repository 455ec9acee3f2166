"""Predictions of models that run in processes of their own, each with the code that it brings.

Rows and predictions go from one process to the other as files without pickles: see transfer.py.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kedro.validation import CheckFailure, DataValidationError

from ..errors import TrackingError
from ..mlflow_internals import path_to_load
from . import transfer
from .environment import variables


def predictions_of(
    folders: Sequence[Path],
    rows: Any,
    all_columns: bool,
    seconds: float | None = None,
    environment: Sequence[str] = (),
) -> list[Any]:
    """Let models predict for the same rows at the same time.

    Of the environment they see what is allowed, and what its owner names beside that.
    Of a table they get the columns that their signature names, unless they are to get all. A
    TrackingError says that a model fails or takes longer than allowed; its cause is a
    DataValidationError if the model refuses the rows.
    """
    with TemporaryDirectory() as scratch:
        places = [Path(scratch, str(number)) for number, _ in enumerate(folders)]
        try:
            transfer.write(rows, Path(scratch, "rows"))
        except TypeError as error:
            raise TrackingError(
                f"The rows cannot be handed to the model's own process: {error} has no form there."
            ) from error
        processes = [
            _start(model, place, "all" if all_columns else "signature", environment)
            for model, place in zip(folders, places, strict=True)
        ]
        try:
            for process, model, place in zip(processes, folders, places, strict=True):
                try:
                    _, errors = process.communicate(timeout=seconds)
                except subprocess.TimeoutExpired as error:
                    raise TrackingError(
                        f"The model in {model} has not predicted within {seconds:g} seconds."
                    ) from error
                if process.returncode:
                    raise _failure(model, place, errors)
        finally:
            for process in processes:
                process.kill()
                process.wait()
        return [transfer.read(place / "predictions") for place in places]


def _start(
    model: Path, place: Path, columns: str, environment: Sequence[str]
) -> "subprocess.Popen[str]":
    place.mkdir()
    script = Path(__file__).with_name("predict.py")
    return subprocess.Popen(
        # Isolated: neither this folder nor PYTHONPATH comes before the model's own code.
        [sys.executable, "-I", script, path_to_load(model, place), place, columns],
        cwd=place,
        env={**variables(environment), "KEDRO_DISABLE_TELEMETRY": "true"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _failure(model: Path, place: Path, errors: str) -> TrackingError:
    reason = place / "error.json"
    told = json.loads(reason.read_text(encoding="utf-8")) if reason.is_file() else {}
    cause: Exception = RuntimeError(errors)  # For the log.
    if "failures" in told:
        told["failures"] = [CheckFailure(**failure) for failure in told["failures"]]
        cause = DataValidationError(**told)
    last = (errors.strip().splitlines() or ["it gives no reason"])[-1]
    failure = TrackingError(f"The model in {model} does not predict for these rows: {last}")
    failure.__cause__ = cause
    return failure
