"""`kedro mlflow ui`: the MLflow page of the tracked runs."""

import os
import signal
import subprocess
import sys
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..backend.client import connect, is_missing, is_reachable
from ..backend.databases import why_closed
from ..backend.pages import front_page, has_pages, how_to_open, page
from ..config import KedroMlflowConfig, PlaceOptions
from ..errors import TrackingError
from ..project import State, is_database
from ..redaction import mask
from . import Project, for_project

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SECONDS_TO_START = 120


@click.command("ui")
@for_project
@click.option("--run-id", help="Open the page of this run, not of the experiment.")
@click.option("--host", help="Address to listen on. [default: ui.host in mlflow.yml]")
@click.option("--port", type=int, help="Port to listen on. [default: ui.port in mlflow.yml]")
def command(project: Project, run_id: str | None, host: str | None, port: int | None) -> None:
    """Open the MLflow page of this project's runs.

    A tracking server has its own page. For a database, this command starts a server and stops it
    when it ends: --host and --port are its address.
    """
    config = project.config
    # A person waits for it.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    uri, experiment = config.server.uri, config.tracking.experiment.name
    if is_database(uri):
        url = f"http://{host or config.ui.host}:{port or config.ui.port}"
        _serve_page(config, run_id, url, State.of(project.path).folder / "ui.log")
        return
    on_server = has_pages(uri)
    address = find_page(connect(config.server), uri, experiment, run_id) if on_server else None
    if address := address or front_page(uri):
        click.echo(f"The runs of this project: {mask('', address)}")
        webbrowser.open(address)
    else:
        click.echo(f"The runs of this project are on {mask('', uri)}. {how_to_open(uri)}")


def _serve_page(config: KedroMlflowConfig, run_id: str | None, url: str, log: Path) -> None:
    if reason := why_closed(config.server.uri):
        raise TrackingError(
            f"The runs cannot be shown, {reason}. `uv run kedro mlflow doctor` says what to do."
        )
    server = PlaceOptions(mlflow_tracking_uri=url)
    if is_reachable(server):
        raise TrackingError(f"A server answers at {url} already: choose another --port.")
    try:
        with _server(config.server, url, log) as process:
            # It imports MLflow, which takes the server as long: both at once.
            client = connect(server)
            _wait_until_up(server, process, log)
            address = find_page(client, url, config.tracking.experiment.name, run_id) or url
            click.echo(f"The runs of this project: {address}\nCtrl-C stops the page.")
            webbrowser.open(address)
            process.wait()
    except KeyboardInterrupt:
        click.echo()


def find_page(
    client: "MlflowClient", uri: str, experiment: str, run_id: str | None = None
) -> str | None:
    """Find the page of a run, or of its experiment; none if there is none, or it is not known."""
    from mlflow.exceptions import MlflowException

    try:
        if run_id:
            return page(uri, client.get_run(run_id).info.experiment_id, run_id)
        if found := client.get_experiment_by_name(experiment):
            return page(uri, found.experiment_id)
        click.echo(f"There is no run of this project yet: no experiment '{experiment}'.")
    except MlflowException as error:
        if run_id and is_missing(error):
            raise TrackingError(f"--run-id: MLflow knows no run '{run_id}'.") from error
        click.echo(
            "MLflow did not say which page is this project's: `uv run kedro mlflow doctor` "
            "finds out why."
        )
    return None


@contextmanager
def _server(options: PlaceOptions, url: str, log: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Run MLflow's own server for the block; stop it at the block's end, or at SIGTERM."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    log.parent.mkdir(exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # So that the server below ends too.
    arguments = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", port]
    # Everybody on the machine can read a process's arguments, and an address may hold a password.
    variables = {
        "MLFLOW_BACKEND_STORE_URI": options.uri,
        "MLFLOW_REGISTRY_STORE_URI": options.registry_uri,
        # A page for one person: without the job runner it is 2 processes instead of 15.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with log.open("w") as output:
        process = subprocess.Popen(
            [*arguments, "--workers", "1"], env=os.environ | variables, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _wait_until_up(server: PlaceOptions, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while not is_reachable(server):
        if process.poll() is not None or time.monotonic() > deadline:
            (*_, last) = log.read_text().strip().splitlines() or ["it printed nothing"]
            raise TrackingError(f"The page could not be started ({last}). See {log}.")
        time.sleep(0.2)
