"""A new champion takes over while requests keep coming, and no request notices."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL
from urllib.parse import urlsplit

import pytest

from tests.support.processes import wait_until
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project, Trained, answers_at
from tests.support.serving import Served, serving


@pytest.fixture(scope="module")
def project(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The trained project, for its champion to change; its models stay where they are."""
    folder = tmp_path_factory.mktemp("reloading") / "project"
    shutil.copytree(trained.project.folder, folder)
    (folder / "conf/quick").mkdir()
    (folder / "conf/quick/mlflow.yml").write_text("serving:\n  poll_seconds: 0.5\n")
    return Project(folder, trained.project.environment)


@pytest.fixture(scope="module")
def served(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("serving")
    with serving(project, folder, "--reload-on-promote", "--env", "quick") as server:
        yield server


class Callers:
    """Threads that ask again and again, on connections that they keep, and count the answers."""

    def __init__(self, served: Served, project: Project) -> None:
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        rows = (project.folder / "data/05_model_input/instances.csv").read_text().splitlines()
        self._body = "\n".join(rows[:2])
        self._address = urlsplit(served.url).netloc
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(2)]

    def _call(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        while not self._done.wait(0.05):  # All that a machine can do is no use to the reload.
            try:
                connection.request("POST", "/invocations", self._body, {"Content-Type": "text/csv"})
                response = connection.getresponse()
                content = response.read()
                if response.status == 200:
                    self.answers[json.loads(content)["model_version"]] += 1
                else:
                    self.failures.append(f"{response.status} {content!r}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()

    @contextmanager
    def calling(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._done.set()
            for thread in self._threads:
                thread.join()


def test_a_champion_that_cannot_be_served_changes_nothing(
    served: Served, project: Project, tmp_path: Path
) -> None:
    source = project.client.get_model_version_download_uri(PACKAGE, "2").removeprefix("file://")
    broken = tmp_path / "broken"
    shutil.copytree(source, broken)
    nodes = broken / f"code/{PACKAGE}/pipelines/inference/nodes.py"
    nodes.write_text("raise ValueError('no such thing as a free lunch')\n")
    made = project.client.create_model_version(PACKAGE, str(broken))
    callers = Callers(served, project)
    with callers.calling():
        project.client.set_registered_model_alias(PACKAGE, "champion", made.version)
        wait_until(lambda: "cannot be served" in served.screen())
        wait_until(lambda: callers.answers["1"] > 30)
    assert callers.answers.keys() == {"1"}
    assert not callers.failures, callers.failures[:5]
    (line,) = (line for line in served.screen().splitlines() if "cannot be served" in line)
    assert "no such thing as a free lunch" in line
    assert line.endswith(f"{PACKAGE} version 1 is still served.")


def test_a_new_champion_takes_over_without_a_request_lost(served: Served, project: Project) -> None:
    callers = Callers(served, project)
    with callers.calling():
        wait_until(lambda: callers.answers["1"] > 30)
        wait_until(lambda: len(served.workers()) == 1)
        (old,) = served.workers()
        project.client.set_registered_model_alias(PACKAGE, "champion", "2")
        wait_until(lambda: callers.answers["2"] > 30)
        wait_until(lambda: old not in served.workers())
        asked = callers.answers["1"]
        wait_until(lambda: callers.answers["2"] > 60)
        assert callers.answers["1"] == asked
    assert not callers.failures, callers.failures[:5]
    assert f"Serving {PACKAGE} version 2 now." in served.screen()


@weekly
def test_a_champion_that_is_put_back_is_served_again(served: Served, project: Project) -> None:
    callers = Callers(served, project)
    with callers.calling():
        project.client.set_registered_model_alias(PACKAGE, "champion", "1")
        wait_until(lambda: callers.answers["1"] > 30)
    assert not callers.failures, callers.failures[:5]


def test_kserves_protocol_is_not_there_unless_it_is_rendered(served: Served) -> None:
    for path in ("/v2", "/v2/health/ready", f"/v2/models/{PACKAGE}"):
        assert served.ask(path).status == 404


def test_workers_end_with_a_supervisor_that_is_killed(served: Served) -> None:
    wait_until(lambda: len(served.workers()) == 1)
    (worker,) = served.workers()
    os.kill(served.process.pid, SIGKILL)
    served.process.wait(timeout=30)
    wait_until(lambda: not answers_at(f"{served.url}/ping"))
    wait_until(lambda: not Path(f"/proc/{worker}/cmdline").exists() or is_zombie(worker))


def is_zombie(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"
