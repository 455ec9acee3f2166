"""scripts/bootstrap.sh: with which Python all targets of the Makefile run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.answers import REPOSITORY

# A stand-in: it says how long it takes, less than any does, and makes environments with a real one.
PYTHON = """#!/bin/sh
case "$*" in
*ensurepip*) [ "{makes}" = yes ] && echo {time} ;;
*timeit*) echo {time} ;;
*venv*) echo {name} >"$MADE" && exec {real} "$@" ;;
*) exec {real} "$@" ;;
esac
"""


@pytest.mark.parametrize(
    ("time", "makes", "named", "made"),
    [
        pytest.param(9, "yes", "", "first", id="as fast"),
        pytest.param(7, "yes", "", "second", id="faster by far"),
        pytest.param(7, "no", "", "first", id="faster by far without ensurepip"),
        pytest.param(7, "yes", "first/python3", "first", id="faster by far than the one named"),
    ],
)
def test_the_first_python_is_taken_unless_another_is_faster_by_far(
    tmp_path: Path, time: int, makes: str, named: str, made: str
) -> None:
    for name, takes in [("first", 10), ("second", time)]:
        python = tmp_path / name / "python3"
        python.parent.mkdir()
        python.write_text(PYTHON.format(time=takes, makes=makes, name=name, real=sys.executable))
        python.chmod(0o755)
    folders = [f"{tmp_path}/first", f"{tmp_path}/second", os.environ["PATH"]]
    result = subprocess.run(
        ["sh", REPOSITORY / "scripts/bootstrap.sh", tmp_path / "tools"],
        env={
            "PATH": os.pathsep.join(folders),
            "PYTHON": named and f"{tmp_path}/{named}",
            "MADE": f"{tmp_path}/made",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "made").read_text() == f"{made}\n"
    assert (tmp_path / "tools/ready").exists()
