"""Tokens that expire while a run is under way: the token command of mlflow.yml gets new ones."""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.support import issuer
from tests.support.answers import REPOSITORY
from tests.support.issuer import bearer, issued
from tests.support.little import little
from tests.support.machine import free_port
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project, listening
from tests.support.proxy import Proxy, proxy_of
from tests.support.tiny import TWO_NODES, small

ISSUER = Path(issuer.__file__)

# Nodes that take seconds, together longer than a token is good for, and call MLflow themselves.
NODES = """
import os
import time
from functools import partial, update_wrapper

from kedro.pipeline import Pipeline, node

def measure(number):
    import mlflow

    time.sleep(0.8)
    mlflow.log_metric(f"own{number}", number)
    mlflow.log_metric(f"process{number}", os.getpid())
    return float(number)

def make(number):
    function = update_wrapper(partial(measure, number), measure)
    return node(function, None, f"m{number}", name=f"n{number}")

PIPELINES = {"__default__": Pipeline([make(number) for number in range(6)])}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the issuer keeps its key, and notes who has got a token."""
    (tmp_path / "key").write_text("a key")
    return tmp_path


@pytest.fixture
def front(server: str, folder: Path) -> Iterator[Proxy]:
    """A real tracking server, behind a front that lets in who brings a good token."""
    with proxy_of(server, bearer(folder)) as proxy:
        yield proxy


def with_tokens(project: Project, front: Proxy, folder: Path, seconds: float) -> dict[str, str]:
    """Name the token command in mlflow.yml; the variables of who uses it."""
    # With tracking_preset=server the template renders it.
    module = "mlops/backend/token_command.py"
    source = REPOSITORY / "template" / "src" / "{{ package_name }}" / module
    project.write(f"src/{PACKAGE}/{module}", source.read_text(encoding="utf-8"))
    provider = f"  request_header_provider:\n    type: {PACKAGE}.mlops.TokenCommand\n"
    server = f"${{oc.env:MLFLOW_TRACKING_URI}}\n{provider}"
    server += "    init_kwargs: {command: '${oc.env:TOKENS}'}\n"
    project.edit("conf/base/mlflow.yml", "sqlite:///mlflow.db\n", server)
    project.edit("conf/base/mlflow.yml", f"    name: {PACKAGE}\n", f"    name: {folder.name}\n")
    (project.folder / "mlflow.db").unlink(missing_ok=True)
    return {
        "MLFLOW_TRACKING_URI": front.url,
        "TOKENS": f"{sys.executable} {ISSUER} {folder} {seconds}",
    }


@pytest.mark.parametrize(
    "runner", ["SequentialRunner", pytest.param("fork", marks=weekly), "spawn"]
)
def test_a_run_outlives_its_token_in_whatever_process_its_nodes_run(
    project: Project, server: str, front: Proxy, folder: Path, runner: str
) -> None:
    small(project, NODES, "shipping: {on_unreachable: fail}\n")
    variables = with_tokens(project, front, folder, seconds=4)
    how = ["--runner", runner]
    if runner != "SequentialRunner":  # All nodes in one other process, which outlives a token.
        variables["KEDRO_MP_CONTEXT"] = runner
        how = ["--runner", "ParallelRunner", "--runner-params", "max_workers=1"]
    screen = project.kedro("run", *how, env=variables)
    client = MlflowClient(server)
    experiment = client.get_experiment_by_name(folder.name)
    assert experiment is not None, screen
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    expected = {f"m{number}": number for number in range(6)}
    assert run.data.metrics.items() >= expected.items()
    assert run.data.metrics.items() >= {f"own{number}": number for number in range(6)}.items()
    processes = {run.data.metrics[f"process{number}"] for number in range(6)}
    askers = {float(process) for process in issued(folder)}
    assert len(issued(folder)) > len(askers)
    if runner == "spawn":  # A worker that was not forked has no token of its parent's.
        assert processes <= askers
    assert not re.search(r"\b401\b", screen.stdout + screen.stderr)


def test_the_other_commands_bring_a_token_too(
    project: Project, server: str, front: Proxy, folder: Path
) -> None:
    variables = with_tokens(little(project), front, folder, seconds=60)
    config = project.read("conf/base/mlflow.yml")
    project.write(
        "conf/base/mlflow.yml", f"{config}shipping: {{deadline: '${{oc.env:DEADLINE,60}}'}}\n"
    )
    away = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}", "DEADLINE": "0.1"}
    project.kedro("run", env=variables | away)
    assert "finished, delivered" in project.kedro("mlflow", "sync", env=variables).stdout
    project.kedro("run", "--pipelines", "inference", env=variables)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    serve = ("kedro", "mlflow", "serve", "--port", str(port))
    with listening(project, *serve, url=f"{url}/ping", env=variables):
        rows = (project.folder / "data/instances.csv").read_bytes()
        request = urllib.request.Request(
            f"{url}/invocations", rows, {"Content-Type": "text/csv"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            assert len(json.load(response)["predictions"]) == rows.count(b"\n") - 1


def test_a_token_command_that_fails_is_told_of_in_a_line_and_the_run_is_kept(
    project: Project, front: Proxy, folder: Path
) -> None:
    variables = with_tokens(small(project, TWO_NODES), front, folder, seconds=60)
    variables["TOKENS"] = f"{sys.executable} -c \"print('CANARY'); exit(1)\""
    result = project.kedro("run", env=variables)
    screen = " ".join((result.stdout + result.stderr).split())
    assert screen.count("has ended with the exit code 1: run it yourself to see why") == 1
    assert "it does not let you in" in screen
    assert "CANARY" not in screen
    assert any((project.folder / ".kedro_mlflow/journal").iterdir())
