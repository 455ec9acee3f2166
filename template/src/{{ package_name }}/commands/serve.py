"""`kedro mlflow serve`: the champion behind an HTTP address."""

import os
import subprocess
import sys
from pathlib import Path

import click
from kedro.framework.startup import ProjectMetadata

from .. import serving
from ..tracking.errors import TrackingError
from ..tracking.start import project_config


@click.command("serve")
@click.option("--env", "-e", help="Kedro environment whose mlflow.yml counts.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, help="Port to listen on.")
@click.pass_obj
def command(metadata: ProjectMetadata, env: str | None, host: str, port: int) -> None:
    """Serve the champion: POST rows to /invocations, ask /ping whether it is up."""
    config = project_config(Path(metadata.project_path), env)
    if config.model is None:
        raise TrackingError("mlflow.yml names no model to serve: set model.name.")
    environment = os.environ | {"MLFLOW_TRACKING_URI": str(config.server.mlflow_tracking_uri)}
    if config.server.mlflow_registry_uri:
        environment["MLFLOW_REGISTRY_URI"] = config.server.mlflow_registry_uri
    server = [sys.executable, str(Path(serving.__file__).with_name("server.py"))]
    raise SystemExit(
        subprocess.call([*server, config.model.name, host, str(port)], env=environment)
    )
