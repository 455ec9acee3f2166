"""Runners whose workers were there before the run, as Dask's, Ray's and joblib's are."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.answers import REPOSITORY
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project
from tests.support.tiny import small

PIPELINES = """
import os
from kedro.pipeline import Pipeline, node

def first(alpha):
    import mlflow
    mlflow.log_metric("inside", 1.0)
    return {"score": alpha, "process": os.getpid()}

def second(numbers):
    return {"score": numbers["score"] * 2}

PIPELINES = {"__default__": Pipeline([
    node(first, "params:alpha", "one", name="first"),
    node(second, "one", "two", name="second"),
])}
"""
CATALOG = """
one: {type: json.JSONDataset, filepath: data/one.json}
two: {type: json.JSONDataset, filepath: data/two.json}
"""
RUNNERS = """
import os

from joblib.externals.loky import ProcessPoolExecutor
from kedro.framework.hooks.manager import _create_hook_manager, _register_hooks
from kedro.framework.project import settings
from kedro.runner import AbstractRunner
from kedro.runner.task import Task

def run_with_hooks(node, catalog, is_async, run_id):
    manager = _create_hook_manager()
    _register_hooks(manager, settings.HOOKS)
    Task(node, catalog, is_async, manager, run_id).execute()

def run_task(node, catalog, is_async, run_id):
    Task(node, catalog, is_async, _create_hook_manager(), run_id).execute()

def run_half(node, *others):
    (run_with_hooks if node.name == "first" else call_function)(node, *others)

def call_function(node, catalog, is_async, run_id):
    for name, value in node.run({name: catalog.load(name) for name in node.inputs}).items():
        catalog.save(name, value)

class JoblibRunner(AbstractRunner):
    run_node = staticmethod(run_with_hooks)

    def __init__(self, is_async=False):
        super().__init__(is_async=is_async)
        self.workers = ProcessPoolExecutor(1)  # joblib's own; before there is a run.
        assert os.getpid() != self.workers.submit(os.getpid).result()

    def _get_executor(self, max_workers):
        return None

    def _run(self, pipeline, catalog, hook_manager=None, run_id=None, **_):
        for node in pipeline.nodes:
            self.workers.submit(self.run_node, node, catalog, self._is_async, run_id).result()

class TaskRunner(JoblibRunner):
    run_node = staticmethod(run_task)

class HalfRunner(JoblibRunner):
    run_node = staticmethod(run_half)
"""
KILL = """import os

def kill():
    open("killed", "w").close()
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def elsewhere(project: Project) -> Project:
    made = small(project, PIPELINES)
    made.write("conf/base/catalog.yml", CATALOG)
    made.write("conf/base/parameters.yml", "alpha: 3.0")
    made.write(f"src/{PACKAGE}/runners.py", RUNNERS)
    return made


@weekly
@pytest.mark.parametrize("runner", ["JoblibRunner", "TaskRunner"])
def test_workers_that_were_there_before_capture_what_they_run(
    elsewhere: Project, runner: str
) -> None:
    screen = elsewhere.forked("kedro", "run", "--runner", f"{PACKAGE}.runners.{runner}").stdout
    assert "has finished" in " ".join(screen.split())
    (run,) = elsewhere.runs()
    assert run.info.status == "FINISHED"
    metrics = run.data.metrics
    assert (metrics["one/score"], metrics["two/score"], metrics["inside"]) == (3.0, 6.0, 1.0)
    assert {"node_seconds/first", "node_seconds/second"} <= metrics.keys()
    assert run.data.params == {"alpha": "3.0"}
    assert "kedro.missing_nodes" not in run.data.tags


def test_nodes_are_captured_there_and_those_that_ran_without_hooks_are_named(
    elsewhere: Project,
) -> None:
    result = elsewhere.kedro("run", "--runner", f"{PACKAGE}.runners.HalfRunner")
    said = " ".join((result.stdout + result.stderr).split())
    assert "The run has nothing of 1 of its 2 nodes (second)" in said
    (run,) = elsewhere.runs()
    assert run.info.status == "FINISHED"
    assert run.data.tags["kedro.missing_nodes"] == "1"
    metrics = run.data.metrics
    assert (metrics.pop("one/score"), metrics.pop("inside")) == (3.0, 1.0)
    assert metrics.pop("node_seconds/first") >= 0
    assert {name for name in metrics if name != "one/process"} == set()
    assert run.data.params == {"alpha": "3.0"}


@weekly
def test_the_runner_for_ray_that_the_page_shows_captures_what_its_workers_run(
    elsewhere: Project, tmp_path: Path
) -> None:
    packages = tmp_path / "ray"
    python = elsewhere.environment / "bin" / "python"
    install = ["uv", "pip", "install", "--quiet", "--python", str(python), "ray==2.60.0"]
    subprocess.run([*install, "--target", str(packages)], check=True)
    page = (REPOSITORY / "docs" / "run-anywhere.md").read_text("utf-8")
    (code,) = (each for each in page.split("```")[1::2] if "class RayRunner" in each)
    elsewhere.write(f"src/{PACKAGE}/ray_runner.py", code.removeprefix("python\n"))
    env = {"PYTHONPATH": f"{elsewhere.folder}/src:{packages}", "RAY_TMPDIR": "/tmp"}
    command = ("kedro", "run", "--runner", f"{PACKAGE}.ray_runner.RayRunner")
    killed = "return {'score': numbers['score'] * 2 if os.path.exists('killed') else kill()}"
    small_py = f"src/{PACKAGE}/pipelines/small.py"
    elsewhere.edit(small_py, 'return {"score": numbers["score"] * 2}', killed)
    elsewhere.edit(small_py, "import os", KILL)
    elsewhere.run(*command, env=env)
    elsewhere.edit(small_py, "return {'score'", "return {'score': 1 / 0, 'other'")
    screen = elsewhere.run(*command, env=env, code=1)
    failed, run = elsewhere.runs()
    assert (run.info.status, failed.info.status) == ("FINISHED", "FAILED")
    metrics = run.data.metrics
    assert (metrics["one/score"], metrics["two/score"], metrics["inside"]) == (3.0, 6.0, 1.0)
    for name in ("one/score", "two/score"):
        assert len(elsewhere.client.get_metric_history(run.info.run_id, name)) == 1
    assert "kedro.missing_nodes" not in run.data.tags
    assert "ZeroDivisionError" in screen.stdout + screen.stderr
    assert failed.data.tags["kedro.failure"] == "node 'second': ZeroDivisionError: division by zero"
