"""A server started by `kedro mlflow serve`, and what asks it."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from signal import SIGKILL, SIGTERM
from subprocess import Popen
from typing import Any

import pytest

from tests.support.forked_kedro import Forked
from tests.support.machine import free_port
from tests.support.processes import wait_until
from tests.support.project import Project, answers_at

JSON = "application/json"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Message
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)

    @property
    def message(self) -> str:
        return str(self.body.get("message") or self.body["error"])


@dataclass(frozen=True)
class Served:
    """A running server.

    Attributes:
        url: its address.
        metrics: that of its metrics.
        process: the supervisor.
        log: what it and its workers print.
        token: what it asks for.
    """

    url: str
    metrics: str
    process: Popen[str] | Forked
    log: Path
    token: str | None = None

    def ask(
        self,
        path: str,
        body: Any = None,
        content_type: str | None = JSON,
        method: str | None = None,
        **headers: str,
    ) -> Answer:
        """Send a request; a body that is no bytes goes as JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        given = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if body is not None and content_type:
            given["Content-Type"] = content_type
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"{self.url}{path}", body, given, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    def screen(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def workers(self) -> list[int]:
        """The process numbers of those that answer."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(number) for number in children.read_text().split()]


@contextmanager
def serving(
    project: Project,
    folder: Path,
    *options: str,
    token: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Served]:
    """Start a server, wait until it answers, and end it as an orchestrator does."""
    metrics = free_port()
    variables = {**(env or {}), **({"SERVING_TOKEN": token} if token else {})}
    command = ("kedro", "mlflow", "serve", "--metrics-port", str(metrics), *options)
    with _started(project, folder / "serving.log", variables, *command) as (url, process):
        log = folder / "serving.log"
        yield Served(url, f"http://127.0.0.1:{metrics}/metrics", process, log, token)
        if process.poll() is None:
            process.send_signal(SIGTERM)
            assert process.wait(timeout=60) == 0, log.read_text(encoding="utf-8")


@contextmanager
def mlflows_own(project: Project, folder: Path, model: Path) -> Iterator[Served]:
    """Serve a model by `mlflow models serve`."""
    log = folder / "mlflow.log"
    command = ("mlflow", "models", "serve", "--env-manager", "local", "--model-uri", str(model))
    with _started(project, log, {}, *command) as (url, process):
        yield Served(url, "", process, log)


@contextmanager
def _started(
    project: Project, log: Path, variables: Mapping[str, str], *command: str
) -> Iterator[tuple[str, Popen[str] | Forked]]:
    port = free_port()
    command = (*command, "--port", str(port))
    process: Popen[str] | Forked
    if command[0] == "kedro":
        process = project.fork(*command, env=variables, screen=log)
    else:
        with log.open("w", encoding="utf-8") as screen:
            process = project.start(*command, env=variables, screen=screen)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers_at(f"{url}/ping") or process.poll() is not None, 120)
        if process.poll() is not None:
            pytest.fail(f"The server has not started: {log.read_text(encoding='utf-8')}")
        yield url, process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, SIGKILL)
        process.wait(timeout=30)
