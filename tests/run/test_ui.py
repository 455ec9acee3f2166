"""`kedro mlflow ui` opens the page that a tracking server has itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.guarded import GuardedServer
from tests.support.machine import free_port
from tests.support.project import PACKAGE, Project


class Browser:
    """A stand-in for a browser: writes down what it is told to open."""

    def __init__(self, folder: Path) -> None:
        self._opened = folder / "opened"
        self._program = folder / "browser"
        self._program.write_text(f'#!/bin/sh\necho "$1" >> {self._opened}\n')
        self._program.chmod(0o755)

    @property
    def variables(self) -> dict[str, str]:
        return {"BROWSER": f"{self._program} %s"}

    def opened(self) -> list[str]:
        return self._opened.read_text().splitlines()


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(tmp_path)


def test_the_projects_experiment_opens_on_its_server(
    project: Project, guarded: GuardedServer, browser: Browser
) -> None:
    name = "shown by kedro mlflow ui"
    project.edit("conf/base/mlflow.yml", f"    name: {PACKAGE}\n", f"    name: {name}\n")
    variables = guarded.login() | browser.variables
    screen = project.kedro("mlflow", "ui", env=variables).stdout
    assert f"no run of this project yet: no experiment '{name}'" in screen
    experiment_id = guarded.create_experiment(name)
    run = guarded.call("POST", "2.0/mlflow/runs/create", experiment_id=experiment_id)["run"]
    run_id = run["info"]["run_id"]
    screen = project.kedro("mlflow", "ui", env=variables).stdout
    project.kedro("mlflow", "ui", "--run-id", run_id, env=variables)
    page, view = f"{guarded.url}/#/experiments/{experiment_id}", "workflowType=machine_learning"
    assert browser.opened() == [guarded.url, f"{page}?{view}", f"{page}/runs/{run_id}?{view}"]
    assert f"{page}?{view}" in screen
    unknown = ("mlflow", "ui", "--run-id", "none")
    error = project.kedro(*unknown, code=1, env=variables).stderr
    assert "--run-id: MLflow knows no run 'none'" in error


@pytest.mark.parametrize("trouble", ["password", "silence"])
def test_the_front_page_opens_when_the_server_does_not_tell_more(
    project: Project, guarded: GuardedServer, browser: Browser, trouble: str
) -> None:
    variables = guarded.login(password="wrong-pass-phrase")
    if trouble == "silence":
        variables["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{free_port()}"
    screen = project.kedro("mlflow", "ui", env=variables | browser.variables).stdout
    assert "kedro mlflow doctor" in screen
    assert browser.opened() == [variables["MLFLOW_TRACKING_URI"]]
