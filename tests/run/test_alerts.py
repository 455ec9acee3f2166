"""The example of docs/sinks.md: Apprise posts what a run has come to, and harms no run."""

from __future__ import annotations

import json
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support import answers
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project
from tests.support.shared import packages
from tests.support.slow import journals
from tests.support.tiny import said

pytestmark = weekly

PAGE = (answers.REPOSITORY / "docs" / "sinks.md").read_text("utf-8")
SINK = re.search(r"```python\n(\"\"\"Alerts.*?)```", PAGE, re.DOTALL)
MIRRORS = re.search(r"```yaml\n(mirrors:\n  - type: my_project\.alert.*?)```", PAGE, re.DOTALL)
assert SINK
assert MIRRORS
INSTANCES = "data/05_model_input/instances.csv"
SCORE = ("run", "--pipelines", "inference")


@pytest.fixture(scope="module")
def apprise(rendered: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Apprise and what it needs: the project does without."""
    return packages(rendered, tmp_path_factory, "apprise", "apprise==2.2.0")


@pytest.fixture(scope="module")
def alerting(
    rendered: Project, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """A project with monitoring and the sink, as the page has it."""
    assert SINK
    assert MIRRORS
    folder = tmp_path_factory.mktemp("alerting") / "project"
    answers.render(template, folder, {"features": "[monitoring]"})
    answers.git(folder, "init", "--quiet")
    project = Project(folder, rendered.environment)
    project.write(f"src/{PACKAGE}/alert_sink.py", SINK[1])
    config = project.read("conf/base/mlflow.yml")
    config = re.sub(r"(?m)^mirrors:.*\n", MIRRORS[1].replace("my_project", PACKAGE), config)
    assert "AlertSink" in config
    config = config.replace("deadline: 60 ", "deadline: 300 ")  # A busy machine judges slowly.
    assert "deadline: 300" in config
    project.write("conf/base/mlflow.yml", config)
    project.edit("conf/base/promotion.yml", "auto: false", "auto: true")
    return project


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted, and answers with a status."""

    status = 200

    def __init__(self) -> None:
        self.posted = list[dict[str, Any]]()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        self.server.posted.append(json.loads(content))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def hanging() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def variables(apprise: Path, port: int) -> dict[str, str]:
    return {"APPRISE_URLS": f"json://127.0.0.1:{port}/", "PYTHONPATH": str(apprise)}


def test_what_a_run_has_come_to_is_posted_once(
    alerting: Project, apprise: Path, receiver: Receiver
) -> None:
    env = variables(apprise, receiver.server_address[1])

    def alert(*command: str, code: int = 0) -> tuple[str, list[str]]:
        alerting.kedro(*command, env=env, code=code)
        (found,) = receiver.posted
        receiver.posted.clear()
        assert found["title"].startswith("Run ")
        lines = found["message"].splitlines()
        assert lines.pop() == f"MLflow run {alerting.runs()[0].info.run_id}"
        return f"{found['title'].rpartition(': ')[2]} {found['type']}", lines

    status, lines = alert("run")
    assert (status, lines) == ("FINISHED success", [f"Registered {PACKAGE} version 1 (champion)."])
    status, lines = alert("run", "--params", "model.alpha=100000")
    assert status == "FINISHED warning"
    assert lines[0].startswith(f"Version 2 of {PACKAGE} does not become the champion: ")
    assert lines[1:] == [f"Registered {PACKAGE} version 2 (challenger)."]

    rows = pd.read_csv(alerting.folder / "data/01_raw/diabetes.csv").drop(columns="progression")
    rows.to_csv(alerting.folder / INSTANCES, index=False)
    assert alert(*SCORE) == ("FINISHED success", [])  # What it was trained on.
    rows["bmi"] = (rows["bmi"] * 1.3).round(1)
    rows.to_csv(alerting.folder / INSTANCES, index=False)
    status, lines = alert(*SCORE)
    assert status == "FINISHED warning"
    assert lines[0].startswith("The data have drifted since the training: bmi psi")
    rows.drop(columns="bmi").to_csv(alerting.folder / INSTANCES, index=False)
    status, lines = alert(*SCORE, code=1)
    assert status == "FAILED failure"
    assert "bmi" in lines[0]


@pytest.mark.parametrize("wrong", ["fails", "hangs", "is away"])
def test_a_receiver_harms_no_run(
    wrong: str, alerting: Project, apprise: Path, receiver: Receiver, tmp_path: Path
) -> None:
    project = Project(tmp_path / "project", alerting.environment)
    shutil.copytree(alerting.folder, project.folder, ignore=shutil.ignore_patterns("mlflow.db"))
    rows = pd.read_csv(project.folder / "data/01_raw/diabetes.csv")
    rows.drop(columns="progression").to_csv(project.folder / INSTANCES, index=False)
    receiver.status = 500
    with hanging() as silent:
        port = {"fails": receiver.server_address[1], "hangs": silent, "is away": 1}[wrong]
        done = project.kedro("run", env=variables(apprise, port) | {"CI": "true"})
    screen = said(done.stdout + done.stderr)
    assert "Alerts refuses the alert for good" in screen
    assert "a receiver has not taken it" in screen
    (run,) = project.runs()
    assert run.info.status == "FINISHED"
    assert not journals(project)
    # Once it answers, it can have what it has missed.
    receiver.status = 200
    receiver.posted.clear()
    env = variables(apprise, receiver.server_address[1])
    project.kedro("mlflow", "sync", "--refused", env=env)
    assert [each["type"] for each in receiver.posted] == ["success"]


def test_the_example_keeps_the_rules_of_the_project_that_it_is_copied_into(
    alerting: Project,
) -> None:
    alerting.run("ruff", "check", f"src/{PACKAGE}/alert_sink.py")
    alerting.run("ruff", "format", "--check", f"src/{PACKAGE}/alert_sink.py")
