"""`kedro mlflow server`: the tracking server of deploy/tracking-server, without a container."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from dotenv import load_dotenv

from ..backend.access import environment_of
from ..backend.client import connect
from ..backend.webhooks import register, require_key
from ..errors import TrackingError
from . import Project, for_project

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from ..config import WebhookOptions

_FOLDER = Path("deploy") / "tracking-server"


@click.command("server", context_settings={"ignore_unknown_options": True})
@for_project
@click.argument("words", metavar="[COMMAND]...", nargs=-1, type=click.UNPROCESSED)
@click.option("--host", help="Address to listen on. [default: MLFLOW_HOST, or 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on. [default: MLFLOW_PORT, or 5000]")
@click.option("--no-auth", is_flag=True, help="Disable sign-in; for this machine only.")
@click.option(
    "--webhooks-only",
    is_flag=True,
    help="Start no server: register the webhooks of mlflow.yml at the one that it names.",
)
def command(
    project: Project,
    words: tuple[str, ...],
    host: str | None,
    port: int | None,
    no_auth: bool,
    webhooks_only: bool,
) -> None:
    """Run the team's tracking server, with the variables of deploy/tracking-server/.env.

    Before it answers, the webhooks that mlflow.yml names are registered (server.webhooks).

    With a COMMAND, do what its administrator does instead: backup, restore BACKUP, gc, nightly,
    users. `kedro mlflow server users -- --help` describes one.
    """
    folder = project.path / _FOLDER
    if not (folder / "start.py").is_file():
        raise TrackingError(f"{folder}/start.py is missing: restore it with git.")
    load_dotenv(folder / ".env", override=False)
    data = folder / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    if words:
        admin = [sys.executable, str(folder / "admin.py"), *words]
        raise SystemExit(subprocess.run(admin, cwd=data, check=False).returncode)
    environment = environment_of(project.path, project.env)
    webhooks = environment.config.server.webhooks
    if webhooks_only:
        with environment.admitted():
            _register(connect(environment.config.server), webhooks)
        return
    require_key(webhooks)
    given = {"MLFLOW_HOST": host, "MLFLOW_PORT": port and str(port)}
    os.environ.update({name: value for name, value in given.items() if value})
    os.chdir(data)
    sys.argv = [str(folder / "start.py"), *(["--no-auth"] if no_auth else [])]
    start = runpy.run_path(sys.argv[0])
    start["main"](lambda: _register_here(webhooks))


def _register_here(webhooks: "list[WebhookOptions]") -> None:
    """Register them in the database of the server that starts."""
    if webhooks:
        from mlflow import MlflowClient

        uri = os.environ["MLFLOW_BACKEND_STORE_URI"]
        _register(MlflowClient(uri, uri), webhooks)


def _register(client: "MlflowClient", webhooks: "list[WebhookOptions]") -> None:
    for line in register(client, webhooks):
        click.echo(line)
