"""MLflow's own server on this machine: started for a command, stopped when the command ends."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..config import PlaceOptions
from ..errors import TrackingError

_SECONDS_TO_START = 120


class PageServer:
    """A server that shows what is in a database.

    Attributes:
        url: its address.
    """

    def __init__(self, url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.url = url
        self._process = process
        self._log = log

    def wait_until_up(self) -> None:
        """Wait until it answers.

        Raises:
            TrackingError: it has ended instead, or takes too long.
        """
        deadline = time.monotonic() + _SECONDS_TO_START
        while not _is_well(self.url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = self._log.read_text().strip() or "it said nothing"
                raise TrackingError(
                    f"The page could not be started ({words.splitlines()[-1]}). See {self._log}."
                )
            time.sleep(0.2)

    def wait(self) -> None:
        """Wait until it ends."""
        self._process.wait()


@contextmanager
def page_server(place: PlaceOptions, host: str, port: int, log: Path) -> Iterator[PageServer]:
    """Start a server for the block, and stop it at the block's end or at SIGTERM.

    Args:
        place: the database that holds the runs, and the one that holds the registry.
        host: the address to listen on.
        port: the port to listen on.
        log: where the server's own words go.

    Raises:
        TrackingError: something answers there already.
    """
    url = f"http://{host}:{port}"
    if _is_well(url):
        raise TrackingError(f"Something answers at {url} already: choose another --port.")
    log.parent.mkdir(exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # So that the server below ends too.
    with log.open("w") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server"),
                *("--host", host, "--port", str(port), "--workers", "1"),
            ],
            env=os.environ | _settings(place),
            stdout=output,
            stderr=output,
        )
    try:
        yield PageServer(url, process, log)
    finally:
        process.terminate()
        process.wait()


def _settings(place: PlaceOptions) -> dict[str, str]:
    """Tell the server by variables where its databases are.

    Everybody on the machine can read a process's arguments, and an address may hold a password.
    """
    settings = {
        "MLFLOW_BACKEND_STORE_URI": str(place.mlflow_tracking_uri),
        # A page for one person: without the job runner it is 2 processes instead of 15.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    if place.mlflow_registry_uri:
        settings["MLFLOW_REGISTRY_STORE_URI"] = place.mlflow_registry_uri
    return settings


def _is_well(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5):
            return True
    except OSError:
        return False
