"""Tracking servers to measure against: real ones, whose own log counts the calls they got."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM

from . import project
from .measure import clean_environment
from .project import Project

SECONDS_TO_START = 120


@dataclass(frozen=True)
class Server:
    """A tracking server that is running.

    Attributes:
        uri: its address.
        folder: its database, its artifacts and its log.
    """

    uri: str
    folder: Path

    def calls(self) -> int:
        """How many requests it has answered so far."""
        return (self.folder / "log").read_text(encoding="utf-8").count('HTTP/1.1"')


@contextmanager
def tracking_server(rendered: Project, name: str) -> Iterator[Server]:
    """MLflow's server on an empty SQLite database, with one worker, while the block runs."""
    folder = project.BENCH / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    port = free_port()
    server = Server(f"http://127.0.0.1:{port}", folder)
    variables = clean_environment(os.environ)
    # Without its job runner the server is 2 processes instead of 15.
    variables |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    words: list[str | Path] = [
        *(rendered.programs / "mlflow", "server", "--workers", "1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{folder / 'server.db'}"),
        *("--artifacts-destination", folder / "artifacts"),
    ]
    with running(words, variables, folder / "log"):
        wait_for(f"{server.uri}/health")
        yield server


@contextmanager
def running(
    words: Sequence[str | Path], variables: Mapping[str, str], log: Path, folder: Path | None = None
) -> Iterator[int]:
    """Run a server and all that it starts while the block runs; what they print goes to a file.

    Yields:
        The number of its process.
    """
    with log.open("w", encoding="utf-8") as screen:
        process = subprocess.Popen(
            words,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process.pid
    finally:
        os.killpg(process.pid, SIGTERM)
        process.wait()


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for(address: str | urllib.request.Request, timeout: float = 5, pause: float = 0.2) -> None:
    """Wait until an address answers, or a request is answered; ask again after a pause."""
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            with urllib.request.urlopen(address, timeout=timeout):
                return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(pause)
