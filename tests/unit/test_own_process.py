"""A model in a process of its own: what it is given, and what is told when it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kedro.validation import CheckFailure, DataValidationError

from tests.support.rooms import SOURCE, Rooms

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


def test_its_environment_is_what_it_needs_and_what_the_owner_names(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_PASSWORD", "SERVING_TOKEN"]
    names += ["AWS_SECRET_ACCESS_KEY", "DATABRICKS_TOKEN", "HF_TOKEN", "HTTPS_PROXY", "PGPASSWORD"]
    kept = ["OMP_NUM_THREADS", "LC_ALL", "PYTHONHASHSEED", "TZ"]
    for name in [*names, *kept, "OWN_VARIABLE", "OWN_OTHER"]:
        monkeypatch.setenv(name, "x")
    variables = mlops("model.environment").variables
    assert {name for name, value in variables().items() if value == "x"} == {*kept}
    named = variables(["OWN_*", "PGPASSWORD"])
    assert {name for name, value in named.items() if value == "x"} == {
        *(*kept, "OWN_VARIABLE", "OWN_OTHER", "PGPASSWORD")
    }


PARENT = """
import ctypes, os, subprocess, sys
sys.path.insert(0, {source!r})
from importlib import import_module
environment = import_module({name!r})
os.environ.pop("CANARY_GONE")
if {hides}:
    environment.hide_from_children()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))  # Whether this user's other processes may look.
# Whatever is started without an environment of its own still gets all of it.
print(subprocess.check_output([sys.executable, "-c", "import os; print(os.getenv('CANARY_KEPT'))"]))
child = subprocess.run(
    [sys.executable, "-c", {child!r}], env=environment.variables(), stdout=subprocess.PIPE
)
print(child.stdout)
"""
CHILD = """
import os, re, sys
sys.path.insert(0, {source!r})
from importlib import import_module
if {hides}:
    import_module({name!r}).give_up_tracing()
found = b""
for name in ("environ", "mem"):
    try:
        with open(f"/proc/{{os.getppid()}}/{{name}}", "rb", buffering=0) as file:
            if name == "environ":
                found += file.read()
            for line in open(f"/proc/{{os.getppid()}}/maps") if name == "mem" else ():
                start, end = (int(each, 16) for each in line.split()[0].split("-"))
                if "[heap]" in line or "[stack]" in line:
                    file.seek(start)
                    found += file.read(end - start)
    except OSError as error:
        print(name, type(error).__name__)
bounds = open("/proc/self/status").read().partition("CapBnd:")[2].split()[0]
print("may trace" if int(bounds, 16) >> 19 & 1 else "")
print(sorted(set(re.findall(rb"canary-[a-z]+", found))))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="its /proc")
@pytest.mark.parametrize("hides", [True, False])
def test_it_cannot_read_what_its_parent_was_started_with(
    mlops: Rooms, tmp_path: Path, hides: bool
) -> None:
    """The case without shows that there is something to read."""
    environment = mlops("model.environment")
    given = {"source": str(SOURCE), "name": environment.__name__, "hides": hides}
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(**given, child=CHILD.format(**given)), encoding="utf-8")
    canaries = {"CANARY_KEPT": "canary-kept", "CANARY_GONE": "canary-gone"}
    canaries["LC_CANARY"] = "canary-allowed"  # Libraries may have kept its place.
    output = subprocess.check_output([sys.executable, script], env={**os.environ, **canaries})
    is_open, inherited, read = output.decode().splitlines()
    assert "canary-kept" in inherited
    assert "canary-allowed" in read
    assert is_open == str(int(not hides))
    if hides:
        assert "canary-kept" not in read
        assert "canary-gone" not in read
        assert "may trace" not in read  # Nor a program that it starts.
        assert "mem PermissionError" in read
    else:
        assert "canary-gone" in read
        assert "canary-kept" in read
