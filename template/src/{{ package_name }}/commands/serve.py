"""`kedro mlflow serve`: the champion behind an HTTP address."""

import signal
import subprocess
import sys
from pathlib import Path

import click
from kedro.framework.startup import ProjectMetadata

from .. import serving
from ..tracking.errors import TrackingError
from ..tracking.pipeline_model.scoring import download, find_version
from ..tracking.shipping.models import CHAMPION
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # So that the server below ends too.
    program = [sys.executable, str(Path(serving.__file__).with_name("server.py"))]
    # It imports MLflow, and so does this process, which has the credentials: both at once.
    with subprocess.Popen([*program, host, str(port)], stdin=subprocess.PIPE, text=True) as server:
        try:
            version = find_version(config.model.name, config.server)
            folder = download(version, config.server)
            name = f"{version.name} version {version.version} ({CHAMPION})"
            server.communicate(f"{folder}\n{name}\n")
        except BaseException:
            server.terminate()
            raise
    raise SystemExit(server.returncode)
