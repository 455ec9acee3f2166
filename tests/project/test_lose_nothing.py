"""Servers die, networks break, processes are killed: every captured value arrives, once."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.project.conftest import PACKAGE, Project, free_port, tracking_server
from tests.project.proxy import Proxy, proxy_of

NODES = 20

# A pipeline of nodes that take a moment each, and return a metric each.
REGISTRY = f"""
import time

from kedro.pipeline import Pipeline, node


def make(number):
    def measure(seconds):
        time.sleep(seconds)
        return float(number)

    return node(measure, "params:seconds", f"m{{number}}", name=f"n{{number}}")


def register_pipelines():
    return {{"__default__": Pipeline([make(number) for number in range({NODES})])}}
"""


@pytest.fixture
def slow(project: Project) -> Project:
    """A project whose run takes two seconds and keeps a metric every tenth of one."""
    project.write(f"src/{PACKAGE}/pipeline_registry.py", REGISTRY)
    project.write("conf/base/parameters.yml", "seconds: 0.1\n")
    start, _, rest = (
        (project.folder / "conf/base/mlflow.yml").read_text(encoding="utf-8").partition("\nmodel:")
    )
    rest = rest[rest.index("\nmirrors:") :]
    project.write("conf/base/mlflow.yml", f"{start}\nmodel: null\n{rest}")
    return project


@pytest.fixture(scope="module")
def server(rendered: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with tracking_server(rendered, tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    with proxy_of(server) as made:
        yield made


@pytest.fixture
def experiment(slow: Project, request: pytest.FixtureRequest) -> str:
    """An experiment of the test's own on the shared server."""
    name = str(request.node.name)
    slow.edit("conf/base/mlflow.yml", f"    name: {PACKAGE}\n", f"    name: {name}\n")
    return name


def runs(server: str, experiment: str) -> list[Run]:
    client = MlflowClient(server)
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id])) if found else []


def journals(project: Project) -> list[Path]:
    folder = project.folder / ".kedro_mlflow" / "journal"
    return sorted(folder.iterdir()) if folder.exists() else []


def expected(count: int = NODES) -> dict[str, float]:
    return {f"m{number}": float(number) for number in range(count)}


def measured(run: Run) -> dict[str, float]:
    return {name: value for name, value in run.data.metrics.items() if name.startswith("m")}


def test_a_server_that_is_away_gets_the_run_later_as_it_would_have_looked(
    slow: Project, server: str, experiment: str
) -> None:
    away = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}"}
    before = time.time() * 1000
    screen = slow.run("kedro", "run", env=away).stdout
    after = time.time() * 1000
    assert screen.count("does not answer") == 1
    assert "uv run kedro mlflow sync" in " ".join(screen.split())
    assert not runs(server, experiment)
    slow.run("kedro", "mlflow", "sync", env=away, code=1)
    slow.run("kedro", "mlflow", "sync", env={"MLFLOW_TRACKING_URI": server})
    (run,) = runs(server, experiment)
    assert measured(run) == expected()
    assert run.info.status == "FINISHED"
    assert before <= run.info.start_time <= run.info.end_time <= after
    assert not journals(slow)
    slow.run("kedro", "mlflow", "sync", env={"MLFLOW_TRACKING_URI": server})
    assert len(runs(server, experiment)) == 1


def test_a_run_that_must_be_tracked_stops_at_once_when_the_server_is_away(slow: Project) -> None:
    slow.edit("conf/base/mlflow.yml", "on_unreachable: offline", "on_unreachable: fail")
    started = time.monotonic()
    result = slow.run(
        "kedro", "run", env={"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}"}, code=1
    )
    assert time.monotonic() - started < 20
    assert "cannot be reached" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert not journals(slow)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_refuses_for_a_while_gets_everything(
    slow: Project, proxy: Proxy, server: str, experiment: str, status: int
) -> None:
    process = slow.start("kedro", "run", env={"MLFLOW_TRACKING_URI": proxy.url})
    wait_for_calls(proxy, 4)
    proxy.answer = status
    time.sleep(1.5)
    proxy.answer = None
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    (run,) = runs(server, experiment)
    assert measured(run) == expected()
    assert run.info.status == "FINISHED"


def test_an_answer_that_is_lost_on_its_way_makes_nothing_twice(
    slow: Project, proxy: Proxy, server: str, experiment: str
) -> None:
    proxy.cut = {"experiments/create", "runs/create", "runs/log-batch", "runs/update"}
    slow.run("kedro", "run", env={"MLFLOW_TRACKING_URI": proxy.url})
    assert not proxy.cut
    (run,) = runs(server, experiment)
    assert measured(run) == expected()
    assert run.info.status == "FINISHED"
    assert not journals(slow)


def wait_for_calls(proxy: Proxy, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(proxy.calls) < count:
        assert time.monotonic() < deadline, proxy.calls
        time.sleep(0.02)


def test_a_killed_process_loses_nothing_that_was_captured(
    slow: Project, server: str, experiment: str
) -> None:
    """Killed at random moments, many times; then `sync`, twice."""
    variables = {"MLFLOW_TRACKING_URI": server}
    chance = random.Random(7)
    captured: dict[str, set[str]] = {}
    for _ in range(6):
        process = slow.start("kedro", "run", env=variables)
        known = set(journals(slow))
        deadline = time.monotonic() + 60
        while not (started := set(journals(slow)) - known):
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 2.5))
        process.kill()
        process.communicate()
        for folder in started & set(journals(slow)):
            captured[folder.name] = captured_metrics(folder)
    assert any(captured.values())
    slow.run("kedro", "mlflow", "sync", env=variables)
    slow.run("kedro", "mlflow", "sync", env=variables)
    assert not journals(slow)
    delivered = {run.data.tags["kedro.run_id"]: run for run in runs(server, experiment)}
    assert len(delivered) == len(runs(server, experiment))
    for name, metrics in captured.items():
        assert set(measured(delivered[name])) == metrics
        assert delivered[name].info.status in ("KILLED", "FINISHED")


def captured_metrics(folder: Path) -> set[str]:
    """The metrics in whole lines of a run's journal."""
    names: set[str] = set()
    for path in folder.glob("*.jsonl"):
        for line in path.read_bytes().split(b"\n")[:-1]:
            record = json.loads(line)
            if record["kind"] == "metrics":
                names |= {name for name, *_ in record["data"]["values"] if name.startswith("m")}
    return names


def test_a_mirror_gets_the_same_run_and_one_that_is_away_delays_nobody(
    slow: Project, server: str, experiment: str
) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    slow.edit(
        "conf/base/mlflow.yml",
        "mirrors: []",
        f"mirrors: [{{mlflow_tracking_uri: '{server}'}}, {{mlflow_tracking_uri: '{away}'}}] #",
    )
    screen = slow.run("kedro", "run").stdout
    (own,) = slow.runs()
    (mirrored,) = runs(server, experiment)
    assert measured(own) == measured(mirrored) == expected()
    assert own.info.status == mirrored.info.status == "FINISHED"
    assert f"MLflow at {away} did not take the whole run" in " ".join(screen.split())
    assert len(journals(slow)) == 1


def test_a_journal_that_cannot_be_written_costs_the_tracking_and_not_the_run(
    slow: Project,
) -> None:
    slow.write(".kedro_mlflow", "a file where a folder should be")
    screen = slow.run("kedro", "run").stdout
    assert "is not tracked" in screen
    assert "Pipeline execution completed successfully" in screen


def test_a_model_whose_registration_was_cut_off_has_one_version(
    project: Project, proxy: Proxy, server: str
) -> None:
    project.edit(
        "conf/base/mlflow.yml", "  name: diabetes_progression\n  pipe", "  name: cut\n  pipe"
    )
    proxy.cut = {"registered-models/create", "model-versions/create", "logged-models"}
    project.run("kedro", "run", env={"MLFLOW_TRACKING_URI": proxy.url})
    assert not proxy.cut
    client = MlflowClient(server)
    assert len(client.search_model_versions("name = 'cut'")) == 1
    version = client.get_model_version_by_alias("cut", "champion")
    assert client.get_run(str(version.run_id)).info.status == "FINISHED"
