"""The tracking server of deploy/tracking-server, run as its compose file and its command say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from typing import Any

import yaml
from mlflow import MlflowClient

from tests.support.databases import PASSWORD
from tests.support.machine import free_port
from tests.support.processes import Service
from tests.support.profiles import IS_WEEKLY
from tests.support.project import Project, answers_at, listening
from tests.support.proxy import basic

ADMIN_PASSWORD = "CANARY-admin-password"
# What a proxy shows that signs people in.
PROXY_PASSWORD = "CANARY-proxy-password-of-32-characters"
SECRETS = {
    "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN_PASSWORD,
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "CANARY-secret-key",
    "DATABASE_PASSWORD": PASSWORD,
}

# What all who are let in may read.
FIRST = "/api/2.0/mlflow/experiments/get?experiment_id=0"

WEBHOOK_SECRET = "CANARY-webhook-secret"
# Webhooks may call this machine, and have a key for their secrets.
WEBHOOKS = {
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": f"{'A' * 43}=",
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "https,http",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "DEPLOY_WEBHOOK_SECRET": WEBHOOK_SECRET,
}


def webhook_of(url: str) -> str:
    """A webhook as mlflow.yml has it."""
    events = "[registered_model.created]"
    return f"{{name: deploy, url: '{url}', events: {events}, secret_env: DEPLOY_WEBHOOK_SECRET}}"


@dataclass
class TrackingServer:
    """A running tracking server that asks who you are.

    Attributes:
        group: the number of its process group.
        log: what it prints.
        url: where it answers.
        folder: the working directory that it was started in.
    """

    group: int
    log: Path
    url: str
    folder: Path

    def login(self, user: str = "admin", password: str = ADMIN_PASSWORD) -> dict[str, str]:
        """The variables by which a run reaches it."""
        return {
            "MLFLOW_TRACKING_URI": self.url,
            "MLFLOW_TRACKING_USERNAME": user,
            "MLFLOW_TRACKING_PASSWORD": password,
        }

    def status(
        self, path: str = FIRST, login: tuple[str, str] | None = None, **headers: str
    ) -> int:
        """What it answers to a GET by somebody, or by a stranger."""
        headers |= {"Authorization": basic(*login)} if login else {}
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    @property
    def users(self) -> Any:
        """MLflow's client of the users, as the admin."""
        from mlflow.server import get_app_client  # Takes seconds.

        return get_app_client("basic-auth", tracking_uri=self.url)

    @property
    def client(self) -> MlflowClient:
        """MLflow's client, as the admin."""
        return MlflowClient(self.url)


@contextmanager
def by_command(project: Project, variables: Mapping[str, str]) -> Iterator[TrackingServer]:
    """Run the server by `kedro mlflow server` in a project."""
    port, log = free_port(), project.folder.with_name("server.log")
    command = ("kedro", "mlflow", "server", "--port", str(port))
    env, url = {"MLFLOW_WORKERS": "1", **SECRETS, **variables}, f"http://127.0.0.1:{port}"
    with listening(project, *command, url=f"{url}/health", env=env, log=log) as process:
        yield TrackingServer(process.pid, log, url, project.folder)


@contextmanager
def by_compose(
    project: Project, data: Path, database_port: int, env_file: Mapping[str, str], destination: str
) -> Iterator[TrackingServer]:
    """Run the command of the image with what the compose file gives to it.

    Only where things are differs from a container: the database's name, and the folders of the
    image and of its volume.
    """
    folder = project.folder / "deploy" / "tracking-server"
    port = free_port()
    env_file = {
        **env_file,
        **SECRETS,
        "MLFLOW_WORKERS": "2" if IS_WEEKLY else "1",  # Each imports MLflow first.
        "MLFLOW_ARTIFACTS_DESTINATION": destination,
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"127.0.0.1:{port}",
    }
    service = compose(folder, env_file)["services"]["server"]
    here = {"database:5432": f"127.0.0.1:{database_port}"}
    given = {name: _moved(str(value), here) for name, value in service["environment"].items()}
    given |= {"MLFLOW_HOST": "127.0.0.1", "MLFLOW_PORT": str(port)}
    path = {"PATH": f"{project.environment / 'bin'}:{os.environ['PATH']}"}
    command = [_moved(part, {"/opt/tracking-server": str(folder)}) for part in command_of(folder)]
    url, log = f"http://127.0.0.1:{port}", data.parent / f"{data.name}-server.log"
    env = {**path, **env_file, **given}
    if not IS_WEEKLY:  # As a program it would import MLflow twice, before it answers.
        with listening(
            project, *command, url=f"{url}/health", env=env, cwd=str(data), forked=True, log=log
        ) as process:
            yield TrackingServer(process.pid, log, url, data)
        return
    service = Service(command, log, lambda: answers_at(f"{url}/health"), env=env, cwd=data)
    service.start()
    try:
        yield TrackingServer(service.group, log, url, data)
    finally:
        service.stop(SIGTERM)


def compose(folder: Path, env_file: Mapping[str, str]) -> dict[str, Any]:
    """The compose file with its variables replaced, by the rules of the Compose specification."""

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        name, kind, word = match.groups()
        if value := env_file.get(name):
            return value
        assert kind != "?", f"{name}: {word}"
        return word or ""

    text = (folder / "compose.yaml").read_text(encoding="utf-8")
    replaced = re.sub(r"\$\$|\$\{(\w+)(?::([-?])([^}]*))?\}", replace, text)
    content: dict[str, Any] = yaml.safe_load(replaced)
    return content


def command_of(folder: Path) -> list[str]:
    """The command that the image runs."""
    text = (folder / "Dockerfile").read_text(encoding="utf-8")
    match = re.search(r"^CMD (\[.*\])$", text, re.MULTILINE)
    assert match is not None
    command: list[str] = json.loads(match[1])
    return command


def arguments_of(group: int) -> str:
    """What `ps` shows of all processes of a group."""
    result = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pgid=,args="], capture_output=True, text=True, check=True
    )
    lines = [line.split(None, 1) for line in result.stdout.splitlines()]
    return "\n".join(args for number, args in lines if int(number) == group)


def _moved(text: str, places: Mapping[str, str]) -> str:
    for there, here in places.items():
        text = text.replace(there, here)
    return text
