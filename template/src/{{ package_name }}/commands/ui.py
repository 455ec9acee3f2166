"""`kedro mlflow ui`: the page of the tracked runs."""

import os
import subprocess
import sys
import webbrowser
from pathlib import Path

import click
from kedro.framework.startup import ProjectMetadata

from ..tracking.start import project_config
from ..tracking.uris import is_server


@click.command("ui")
@click.option("--env", "-e", help="Kedro environment whose mlflow.yml counts.")
@click.option("--host", help="Address to listen on. [default: ui.host in mlflow.yml]")
@click.option("--port", type=int, help="Port to listen on. [default: ui.port in mlflow.yml]")
@click.pass_obj
def command(metadata: ProjectMetadata, env: str | None, host: str | None, port: int | None) -> None:
    """Open the MLflow page of this project's runs."""
    config = project_config(Path(metadata.project_path), env)
    uri = str(config.server.mlflow_tracking_uri)
    if is_server(uri):
        click.echo(f"The runs are on the tracking server: {uri}")
        webbrowser.open(uri)
        return
    host, port = host or config.ui.host, port or config.ui.port
    click.echo(f"The MLflow page opens on http://{host}:{port} in a moment; Ctrl-C stops it.")
    server = [
        "mlflow",
        "server",
        "--backend-store-uri",
        uri,
        "--host",
        host,
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    # A page for one person: without the job runner it is 2 processes instead of 15.
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    raise SystemExit(subprocess.call([sys.executable, "-m", *server], env=environment))
