"""`kedro mlflow ui`: the page of the tracked runs."""

import os
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click
from kedro.framework.startup import ProjectMetadata

from ..backend.access import project_config
from ..backend.client import connect, is_missing
from ..backend.databases import why_closed
from ..backend.pages import find_page, front_page, has_pages, way_in
from ..config import KedroMlflowConfig, PlaceOptions
from ..errors import TrackingError
from ..project import is_database
from ..redaction import mask
from ._page_server import page_server

if TYPE_CHECKING:
    from mlflow import MlflowClient


@click.command("ui")
@click.option("--env", "-e", help="Kedro environment whose mlflow.yml counts.")
@click.option("--run-id", help="Open the page of this run, not that of all of them.")
@click.option("--host", help="Address to listen on. [default: ui.host in mlflow.yml]")
@click.option("--port", type=int, help="Port to listen on. [default: ui.port in mlflow.yml]")
@click.pass_obj
def command(
    metadata: ProjectMetadata,
    env: str | None,
    run_id: str | None,
    host: str | None,
    port: int | None,
) -> None:
    """Open the MLflow page of this project's runs.

    A tracking server has a page of its own. For a database one is made, as long as this command
    runs: --host and --port are its address.
    """
    project_path = Path(metadata.project_path)
    config = project_config(project_path, env)
    # Somebody waits at the screen.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    if is_database(str(config.server.mlflow_tracking_uri)):
        log = project_path / ".kedro_mlflow" / "ui.log"
        _serve_page(config, run_id, host or config.ui.host, port or config.ui.port, log)
    else:
        _open_page(config, run_id)


def _open_page(config: KedroMlflowConfig, run_id: str | None) -> None:
    """Open the page that the tracking server itself has."""
    uri = str(config.server.mlflow_tracking_uri)
    if has_pages(uri):
        address = _page(connect(config.server), uri, config.tracking.experiment.name, run_id)
    else:
        address = front_page(uri)
    if address is None:
        click.echo(f"The runs of this project are on {mask('', uri)}. {way_in(uri)}")
        return
    click.echo(f"The runs of this project: {mask('', address)}")
    webbrowser.open(address)


def _serve_page(
    config: KedroMlflowConfig, run_id: str | None, host: str, port: int, log: Path
) -> None:
    """Open a page for the runs in a database, until Ctrl-C."""
    if reason := why_closed(str(config.server.mlflow_tracking_uri)):
        raise TrackingError(
            f"The runs cannot be shown, {reason}. `uv run kedro mlflow doctor` says what to do."
        )
    try:
        with page_server(config.server, host, port, log) as server:
            # It imports MLflow, which takes the server as long: both at once.
            client = connect(PlaceOptions(mlflow_tracking_uri=server.url))
            server.wait_until_up()
            address = _page(client, server.url, config.tracking.experiment.name, run_id)
            click.echo(f"The runs of this project: {address}\nCtrl-C closes the page.")
            webbrowser.open(str(address))
            server.wait()
    except KeyboardInterrupt:
        click.echo()


def _page(client: "MlflowClient", uri: str, experiment: str, run_id: str | None) -> str | None:
    """Find the page to open; the front page while there is no run, or the server is silent."""
    from mlflow.exceptions import MlflowException

    try:
        if address := find_page(client, uri, experiment, run_id):
            return address
        click.echo(f"There is no run of this project yet: no experiment '{experiment}'.")
    except MlflowException as error:
        if run_id and is_missing(error):
            raise TrackingError(f"--run-id: MLflow knows no run '{run_id}'.") from error
        click.echo(
            "MLflow did not say which page is this project's: `uv run kedro mlflow doctor` "
            "finds out why."
        )
    return front_page(uri)
