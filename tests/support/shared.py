"""What is made once for all processes that run tests at the same time: by the first that asks."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.project import Project


def shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder of this name, which all processes of this test session read and none changes.

    Args:
        factory: pytest's own; the folder is beside those of the session's processes.
        name: of the folder.
        make: fills the folder, which is there and empty; called by one process, once.
    """
    base = factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder, ready = root / name, root / f"{name}.ready"
    root.mkdir(exist_ok=True)
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            folder.mkdir()
            make(folder)
            ready.touch()
    return folder


def packages(project: Project, factory: pytest.TempPathFactory, name: str, *wanted: str) -> Path:
    """A folder of packages that a project's environment lacks, made once for all processes.

    Args:
        wanted: what `uv pip install` is to install there.
    """

    def install(folder: Path) -> None:
        command = ["uv", "pip", "install", "--quiet", "--target", str(folder)]
        command += ["--python", str(project.environment / "bin" / "python")]
        subprocess.run([*command, *wanted], check=True)

    return shared(factory, name, install)
