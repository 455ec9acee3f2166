"""A server that takes calls and does not answer them: a pipeline neither stops nor slows."""

from __future__ import annotations

import time

import pytest

from tests.support.forked_kedro import Forked
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project
from tests.support.proxy import Proxy
from tests.support.slow import (
    captured_metrics,
    expected,
    journals,
    measured,
    runs,
    wait_for_calls,
)

# Nodes whose module imports MLflow want the run to be there before they start.
USES_MLFLOW = "import mlflow\n"


def screen_of(process: Forked) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    assert "Traceback" not in out + err
    return " ".join(out.split())


@pytest.mark.parametrize("nodes", [pytest.param("", marks=weekly), USES_MLFLOW])
def test_a_server_that_hangs_from_the_start_gets_the_run_later(
    slow: Project, proxy: Proxy, server: str, experiment: str, nodes: str
) -> None:
    slow.write(f"src/{PACKAGE}/pipelines/own.py", nodes)
    proxy.hanging = True
    screen = screen_of(slow.fork("kedro", "run", env={"MLFLOW_TRACKING_URI": proxy.url}))
    assert screen.count("does not answer: the run continues") == 1
    assert "uv run kedro mlflow sync" in screen
    # What would be made when the server wakes up is not asked for.
    assert set(proxy.calls) == {"GET /health"}
    assert not runs(server, experiment)
    proxy.hanging = False
    slow.kedro("mlflow", "sync", env={"MLFLOW_TRACKING_URI": proxy.url})
    (run,) = runs(server, experiment)
    assert measured(run) == expected()
    assert run.info.status == "FINISHED"
    assert not journals(slow)


def test_a_run_that_must_be_tracked_stops_at_once_when_the_server_hangs(
    slow: Project, proxy: Proxy
) -> None:
    slow.edit("conf/base/mlflow.yml", "on_unreachable: offline", "on_unreachable: fail")
    proxy.hanging = True
    result = slow.kedro("run", env={"MLFLOW_TRACKING_URI": proxy.url}, code=1)
    # It is asked once, for seconds, before the first node.
    assert proxy.calls == ["GET /health"]
    assert "Running node" not in result.stdout
    assert "cannot be reached" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert not journals(slow)


def test_a_server_that_hangs_for_a_while_slows_nothing_and_gets_everything(
    slow: Project, proxy: Proxy, server: str, experiment: str
) -> None:
    process = slow.fork("kedro", "run", env={"MLFLOW_TRACKING_URI": proxy.url})
    wait_for_calls(proxy, 4)
    proxy.hanging = True
    (folder,) = journals(slow)
    deadline = time.monotonic() + 60
    while captured_metrics(folder) != set(expected()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    proxy.hanging = False
    screen_of(process)
    (run,) = runs(server, experiment)
    assert measured(run) == expected()
    assert run.info.status == "FINISHED"
    assert not journals(slow)


@pytest.mark.parametrize(
    "call",
    [
        "log-batch",
        pytest.param("mlflow-artifacts/", marks=weekly),
        pytest.param("traces", marks=weekly),
        pytest.param("runs/update", marks=weekly),
    ],
)
def test_a_run_ends_though_the_server_hangs_whatever_it_was_asked(
    slow: Project, proxy: Proxy, server: str, experiment: str, call: str
) -> None:
    proxy.hang_at = call
    variables = {"MLFLOW_TRACKING_URI": proxy.url, "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}
    screen = screen_of(slow.fork("kedro", "run", env=variables))
    assert proxy.hanging
    assert screen.count("did not take the whole run (it does not answer)") == 1
    assert "View run" not in screen
    proxy.hanging = False
    slow.kedro("mlflow", "sync", env=variables)
    (run,) = runs(server, experiment)
    assert measured(run) == expected()
    assert run.info.status == "FINISHED"
    assert not journals(slow)
