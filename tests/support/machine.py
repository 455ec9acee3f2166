"""The machine that the tests run on: its ports, and its programs."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

# Lower than what the kernel gives to connections, and to servers that take any.
PORTS = range(15_000, 32_000)
LAST_PORT = Path(tempfile.gettempdir()) / f"tests-last-port-{os.geteuid()}"


def free_port() -> int:
    """A free port, which no other test or connection gets meanwhile.

    The processes that run tests take one after the other, from a file that they share.
    """
    with LAST_PORT.open("a+") as shared:
        fcntl.flock(shared, fcntl.LOCK_EX)
        shared.seek(0)
        last = int(shared.read() or PORTS.start)
        port: int = next(each for each in (*range(last + 1, PORTS.stop), *PORTS) if _is_free(each))
        shared.truncate(0)
        shared.write(str(port))
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("", port))
        return True
    return False


def program(name: str, package: str) -> str:
    """The path of a program, from Debian's package if the machine has none and allows it."""
    if (found := _find(name)) is None and may_install():
        with (Path(tempfile.gettempdir()) / "tests-apt.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # apt refuses to run twice at once.
            if _find(name) is None:
                _install(package)
        found = _find(name)
    if found is None:
        pytest.skip(f"{name} is not installed: Debian's package {package} has it")
    return found


def environment(folder: Path, *packages: str) -> Path:
    """The programs of an environment with these packages and nothing of the project."""
    subprocess.run(["uv", "venv", "--quiet", folder], check=True)
    install = ["uv", "pip", "install", "--quiet", "--python", str(folder), *packages]
    subprocess.run(install, check=True)
    return folder / "bin"


def may_install() -> bool:
    """Whether packages can be installed without asking anybody: on a machine of CI, as root."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _find(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")


def _install(package: str) -> None:
    install = ["apt-get", "install", "--quiet", "--yes", "--no-install-recommends", package]
    variables = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "--quiet"], install):
        subprocess.run(command, env=variables, capture_output=True, check=False)
