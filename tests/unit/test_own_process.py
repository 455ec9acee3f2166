"""A model in a process of its own: what it is given, and what is told when it fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kedro.validation import CheckFailure, DataValidationError

from tests.support.rooms import Rooms

REFUSED = DataValidationError(
    "no such rows",
    dataset_name="rows",
    mode="load",
    validator="owner.check",
    failures=[CheckFailure("too old", "in_range", "age", 2, [200, 300])],
)


def told_by(mlops: Rooms, folder: Path, error: Exception) -> Any:
    """What the starting process makes of an error in the model's process."""
    described = mlops("model.predict")._described(error)
    (folder / "error.json").write_text(json.dumps(described, default=str), encoding="utf-8")
    return mlops("model.own_process")._failure(Path("model"), folder, "Traceback\nError: last\n")


def test_a_refusal_keeps_all_that_the_validator_says(mlops: Rooms, tmp_path: Path) -> None:
    failure = told_by(mlops, tmp_path, REFUSED)
    assert isinstance(failure, mlops("errors").TrackingError)
    assert str(failure.__cause__) == str(REFUSED)
    assert failure.__cause__.failures == REFUSED.failures


def test_any_other_error_is_told_by_its_last_line(mlops: Rooms, tmp_path: Path) -> None:
    failure = told_by(mlops, tmp_path, ValueError("below zero"))
    assert failure.message == "The model in model does not predict for these rows: Error: last"
    assert "Traceback" in str(failure.__cause__)
    empty = tmp_path / "killed"
    empty.mkdir()
    killed = mlops("model.own_process")._failure(Path("model"), empty, "")
    assert killed.message.endswith("rows: it gives no reason")


def test_rows_that_have_no_form_there_are_refused(mlops: Rooms) -> None:
    ask = mlops("model.own_process").predictions_of
    with pytest.raises(
        mlops("errors").TrackingError, match=r"a builtins\.object has no form there"
    ):
        ask([Path("model")], [object()], True)


def test_a_model_that_takes_too_long_is_ended(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_process = mlops("model.own_process")
    (tmp_path / "predict.py").write_text("import time\ntime.sleep(600)\n", encoding="utf-8")
    monkeypatch.setattr(own_process, "__file__", str(tmp_path / "own_process.py"))
    with pytest.raises(mlops("errors").TrackingError, match=r"not predicted within 0\.2 seconds"):
        own_process.predictions_of([tmp_path], [1], True, 0.2)


def test_its_environment_leads_to_no_run(mlops: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "OWN_VARIABLE"):
        monkeypatch.setenv(name, "x")
    variables = mlops("model.own_process")._variables()
    assert {name for name, value in variables.items() if value == "x"} == {"OWN_VARIABLE"}
