"""What MLflow shows has happened: nodes that ended, reasons of failures, parameters, files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run

from tests.support.profiles import IS_WEEKLY, weekly
from tests.support.project import PACKAGE, Project
from tests.support.tiny import SESSION, small

NODES = """\
import os
import time

from kedro.framework.hooks import hook_impl
from kedro.io import AbstractDataset
from kedro.pipeline import Pipeline, node


class Broken(AbstractDataset):
    def __init__(self, metadata=None):
        pass

    def load(self):
        raise OSError("the disk is gone")

    def save(self, data):
        raise OSError("the disk is full")

    def _describe(self):
        return {}


class Slow(AbstractDataset):
    def load(self):
        return 1

    def save(self, data):
        time.sleep(0.3)

    def _describe(self):
        return {}


def refuse(data):
    raise ValueError("no such thing")


def take(data):
    return 1


def two():
    return {"x": 1}, {"x": 2}


def fail():
    raise RuntimeError("the node is wrong")


def chunks():
    time.sleep(0.2)
    yield 1
    time.sleep(0.2)
    yield 2


def breaks():
    yield 1
    raise RuntimeError("the second chunk is wrong")


class Others:
    def happens(self, event):
        if event == os.environ["EVENT"]:
            raise RuntimeError("the hook is wrong")

    @hook_impl
    def before_pipeline_run(self): self.happens("before_pipeline_run")
    @hook_impl
    def before_dataset_loaded(self): self.happens("before_dataset_loaded")
    @hook_impl
    def after_dataset_loaded(self): self.happens("after_dataset_loaded")
    @hook_impl
    def before_node_run(self): self.happens("before_node_run")
    @hook_impl
    def after_node_run(self): self.happens("after_node_run")
    @hook_impl
    def before_dataset_saved(self): self.happens("before_dataset_saved")
    @hook_impl
    def after_dataset_saved(self): self.happens("after_dataset_saved")
    @hook_impl
    def after_pipeline_run(self): self.happens("after_pipeline_run")


def one(node):
    return Pipeline([node])


PIPELINES = {
    "load": one(node(take, "broken", "good", name="n")),
    "missing": one(node(take, "missing", "good", name="n")),
    "save": one(node(two, None, ["good", "broken"], name="n")),
    "validate_load": one(node(take, "refused", "good", name="n")),
    "validate_save": one(node(take, "params:alpha", "refused", name="n")),
    "node": one(node(fail, None, "good", name="n")),
    "generator": one(node(breaks, None, "slow", name="n")),
    "hook": one(node(take, "there", "good", name="n")),
    "times": one(node(chunks, None, "slow", name="n")),
    "outputs": one(node(two, None, ["good", "memory"], name="n")),
}
PIPELINES["__default__"] = PIPELINES["hook"]
"""

CATALOG = f"""\
broken: {{type: {PACKAGE}.pipelines.small.Broken}}
slow: {{type: {PACKAGE}.pipelines.small.Slow}}
missing: {{type: json.JSONDataset, filepath: data/missing.json}}
there: {{type: json.JSONDataset, filepath: data/there.json}}
good: {{type: json.JSONDataset, filepath: data/good.json, metadata: {{mlflow: {{artifact: true}}}}}}
refused:
  type: json.JSONDataset
  filepath: data/there.json
  validator: {PACKAGE}.pipelines.small.refuse
"""


@pytest.fixture
def claims(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in which all that can fail does, and in which an earlier run has left its file."""
    monkeypatch.chdir(project.folder)
    small(project, NODES)
    project.write("conf/base/catalog.yml", CATALOG)
    project.write("data/there.json", "1")
    project.write("data/good.json", '"of an earlier run"')
    return project


def record(project: Project, run: Run) -> dict[str, Any]:
    """The run's record, ``kedro/run.json``."""
    uri = project.client.tracking_uri
    path = download_artifacts(
        run_id=run.info.run_id, artifact_path="kedro/run.json", tracking_uri=uri
    )
    content: dict[str, Any] = json.loads(Path(path).read_text("utf-8"))
    return content


def artifacts(project: Project, run: Run) -> list[str]:
    return [file.path for file in project.client.list_artifacts(run.info.run_id, "data")]


FAILURES = {
    "load": "node 'n', loading 'broken': OSError: the disk is gone",
    "missing": "node 'n', loading 'missing': FileNotFoundError: ",
    "save": "node 'n', saving 'broken': OSError: the disk is full",
    "validate_load": "node 'n', loading 'refused': DataValidationError: ",
    "validate_save": "node 'n', saving 'refused': DataValidationError: ",
    "node": "node 'n': RuntimeError: the node is wrong",
    "generator": "node 'n': RuntimeError: the second chunk is wrong",
}

RUN_ALL = """\
from kedro.runner import *

if __name__ == "__main__":
    for name in {names}:
        with KedroSession.create(Path.cwd()) as session:
            try:
                session.run(pipeline_names=[name], runner={runner})
            except Exception as error:
                print(type(error))
"""


@pytest.mark.parametrize(
    "runner",
    [
        *("SequentialRunner()", "ParallelRunner()"),
        pytest.param("SequentialRunner(is_async=True)", marks=weekly),
        pytest.param("ThreadRunner()", marks=weekly),
    ],
)
def test_a_failure_says_at_the_run_which_node_and_data_set_and_why(
    claims: Project, runner: str
) -> None:
    # Kedro refuses generators that are to be saved asynchronously.
    names = [name for name in FAILURES if "async" not in runner or name != "generator"]
    if "Parallel" in runner and not IS_WEEKLY:  # Each run starts processes.
        names = ["load", "save", "node"]
    claims.script(SESSION + RUN_ALL.format(names=names, runner=runner))
    runs = {str(run.info.run_name): run for run in claims.runs()}
    assert set(runs) == set(names)
    for name, run in runs.items():
        assert run.info.status == "FAILED"
        assert run.data.tags["kedro.failure"].startswith(FAILURES[name])
        asynchronous = "async" in runner
        assert ("--async" in run.data.tags["kedro.command"]) is asynchronous
        content = record(claims, run)
        assert content["command"] == run.data.tags["kedro.command"]
        assert (content["status"], content["reason"]) == ("FAILED", run.data.tags["kedro.failure"])
        (node,) = content["nodes"]
        assert (node["name"], node["status"]) == ("n", "FAILED")
        assert not [metric for metric in run.data.metrics if metric.startswith("node_seconds")]
        # What an earlier run has saved is none of this one's; what this one has saved is.
        if name != "save" or not asynchronous:  # There Kedro does not say what was saved.
            assert artifacts(claims, run) == (["data/good"] if name == "save" else []), name


EVENTS = {
    "before_pipeline_run": "RuntimeError: the hook is wrong",
    "before_dataset_loaded": "node 'n', loading 'there': RuntimeError: the hook is wrong",
    "after_dataset_loaded": "node 'n', loading 'there': RuntimeError: the hook is wrong",
    "before_node_run": "node 'n': RuntimeError: the hook is wrong",
    "after_node_run": "node 'n': RuntimeError: the hook is wrong",
    "before_dataset_saved": "node 'n', saving 'good': RuntimeError: the hook is wrong",
    "after_dataset_saved": "node 'n', saving 'good': RuntimeError: the hook is wrong",
    "after_pipeline_run": "RuntimeError: the hook is wrong",
}


RUN_EVENTS = f"""\
for event in {[*EVENTS]}:
    os.environ["EVENT"] = event
    with KedroSession.create(Path.cwd()) as session:
        try:
            session.run(pipeline_names=["hook"])
        except RuntimeError as error:
            print(error)
"""


@pytest.mark.parametrize("order", ["MlflowHook(), Others()", "Others(), MlflowHook()"])
def test_a_failure_of_another_hook_is_one_of_the_run(claims: Project, order: str) -> None:
    settings = f"src/{PACKAGE}/settings.py"
    claims.edit(settings, "HOOKS = (MlflowHook(),)", f"HOOKS = ({order})")
    imports = "\nload_environment()\nfrom .pipelines.small import Others"
    claims.edit(settings, "\nload_environment()", imports)
    said = claims.script(SESSION + RUN_EVENTS)
    assert said.count("the hook is wrong") == len(EVENTS)
    runs = list(reversed(claims.runs()))
    assert [run.info.status for run in runs] == ["FAILED"] * len(EVENTS)
    assert [run.data.tags["kedro.failure"] for run in runs] == list(EVENTS.values())
    statuses = [[node["status"] for node in record(claims, run)["nodes"]] for run in runs]
    assert statuses == [[], *[["FAILED"]] * 6, ["FINISHED"]]


def test_a_node_takes_as_long_as_its_own_work_takes(claims: Project) -> None:
    claims.kedro("run", "--pipelines", "times")
    (run,) = claims.runs()
    (node,) = record(claims, run)["nodes"]
    assert node["status"] == "FINISHED"
    whole = (node["ended_ns"] - node["started_ns"]) / 1e9
    assert 0.4 <= node["seconds"] <= whole - 0.6 + 1e-6  # Two chunks, two saves between them.
    assert run.data.metrics["node_seconds/n"] == node["seconds"]


def test_parameters_are_those_of_nodes_that_ran(claims: Project) -> None:
    small(
        claims,
        """\
from kedro.pipeline import Pipeline, node

def fit(alpha):
    return alpha

def evaluate(state, beta):
    return {"rmse": state}

def fail(evaluation):
    raise RuntimeError

nodes = [
    node(fit, "params:model.alpha", "state"),
    node(evaluate, ["state", "params:beta"], "evaluation"),
]
after = [node(fail, "evaluation", "nothing"), node(evaluate, ["nothing", "params:gamma"], "end")]
PIPELINES = {"__default__": Pipeline(nodes), "failing": Pipeline(nodes + after)}
""",
    )
    entries = ["state", "evaluation"]
    claims.write(
        "conf/base/catalog.yml",
        "".join(f"{n}: {{type: json.JSONDataset, filepath: data/{n}.json}}\n" for n in entries),
    )
    claims.write("conf/base/parameters.yml", "model: {alpha: 10}\nbeta: 1\ngamma: 2\n")
    claims.kedro("run")
    (claims.folder / "data/evaluation.json").unlink()
    claims.kedro("run", "--only-missing-outputs", "--params", "model.alpha=99.0")
    claims.kedro("run", "--pipelines", "failing", "--runner", "ParallelRunner", code=1)
    failed, missing, first = claims.runs()
    assert first.data.params == {"model.alpha": "10", "beta": "1"}
    assert missing.data.params == {"beta": "1"}
    assert failed.data.params == {"model.alpha": "10", "beta": "1"}
    command = "kedro run --params model.alpha=99.0 --only-missing-outputs"
    assert missing.data.tags["kedro.command"] == command
