"""`kedro mlflow ui`: the page of the tracked runs."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import webbrowser
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote

import click
from kedro.framework.startup import ProjectMetadata

from ..tracking.errors import TrackingError
from ..tracking.start import project_config
from ..tracking.uris import is_server, page

_SECONDS_TO_START = 120


@click.command("ui")
@click.option("--env", "-e", help="Kedro environment whose mlflow.yml counts.")
@click.option("--host", help="Address to listen on. [default: ui.host in mlflow.yml]")
@click.option("--port", type=int, help="Port to listen on. [default: ui.port in mlflow.yml]")
@click.pass_obj
def command(metadata: ProjectMetadata, env: str | None, host: str | None, port: int | None) -> None:
    """Open the MLflow page of this project's runs."""
    project_path = Path(metadata.project_path)
    config = project_config(project_path, env)
    uri, experiment = str(config.server.mlflow_tracking_uri), config.tracking.experiment.name
    if is_server(uri):
        click.echo(f"The runs are on the tracking server: {uri}")
        webbrowser.open(uri)
        return
    address = f"http://{host or config.ui.host}:{port or config.ui.port}"
    if _get(f"{address}/health") is not None:
        raise TrackingError(f"Something answers at {address} already: choose another --port.")
    log = project_path / ".kedro_mlflow" / "ui.log"
    log.parent.mkdir(exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # So that the server below ends too.
    with log.open("w") as output:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server"),
                *("--host", host or config.ui.host, "--port", str(port or config.ui.port)),
                *("--workers", "1"),
            ],
            env=os.environ
            | {
                # It may hold a password, and everyone on the machine can read arguments.
                "MLFLOW_BACKEND_STORE_URI": uri,
                # A page for one person: without the job runner it is 2 processes instead of 15.
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            },
            stdout=output,
            stderr=output,
        )
    try:
        _wait_for(server, address, log)
        url = _experiment_page(address, experiment)
        click.echo(f"The runs of this project: {url}\nCtrl-C closes the page.")
        webbrowser.open(url)
        server.wait()
    except KeyboardInterrupt:
        click.echo()
    finally:
        server.terminate()
        server.wait()


def _wait_for(server: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while _get(f"{address}/health") is None:
        if server.poll() is not None or time.monotonic() > deadline:
            last_line = (log.read_text().strip() or "it said nothing").splitlines()[-1]
            raise TrackingError(f"The page could not be started ({last_line}). See {log}.")
        time.sleep(0.2)


def _experiment_page(address: str, experiment: str) -> str:
    path = f"api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(experiment)}"
    found = _get(f"{address}/{path}")
    return page(address, json.loads(found)["experiment"]["experiment_id"]) if found else address


def _get(url: str) -> bytes | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            content: bytes = response.read()
            return content
    except (URLError, OSError):
        return None
