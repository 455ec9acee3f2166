"""`kedro mlflow server`: the tracking server of deploy/tracking-server, without a container."""

import os
import runpy
import sys
from pathlib import Path

import click
from dotenv import load_dotenv
from kedro.framework.startup import ProjectMetadata

from ..errors import TrackingError

_FOLDER = Path("deploy") / "tracking-server"


@click.command("server")
@click.option("--host", help="Address to listen on. [default: MLFLOW_HOST, or 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on. [default: MLFLOW_PORT, or 5000]")
@click.option("--no-auth", is_flag=True, help="Disable sign-in; for this machine only.")
@click.pass_obj
def command(metadata: ProjectMetadata, host: str | None, port: int | None, no_auth: bool) -> None:
    """Run the team's tracking server, from the variables of its compose file."""
    folder = Path(metadata.project_path) / _FOLDER
    if not (folder / "start.py").is_file():
        raise TrackingError(f"{folder}/start.py is missing: restore it with git.")
    load_dotenv(folder / ".env", override=False)
    given = {"MLFLOW_HOST": host, "MLFLOW_PORT": port and str(port)}
    os.environ.update({name: value for name, value in given.items() if value})
    data = folder / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    os.chdir(data)
    sys.argv = [str(folder / "start.py"), *(["--no-auth"] if no_auth else [])]
    runpy.run_path(sys.argv[0], run_name="__main__")
