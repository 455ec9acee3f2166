"""`tracking.run.nested: namespace`: each namespace of a modular pipeline has a child run."""

from __future__ import annotations

from textwrap import dedent

import pytest
from mlflow.entities import Run

from tests.support.project import Project
from tests.support.tiny import small

PIPELINES = """\
from kedro.pipeline import Pipeline, node, pipeline
from sklearn.linear_model import Ridge


def prepare(rows):
    return rows


def fit(rows, alpha):
    if alpha > LIMIT:
        raise RuntimeError("too much")
    return Ridge(alpha=alpha).fit([[0.0], [1.0]], [0.0, 1.0]), {"mae": alpha / rows}


def own_calls(alpha):
    import mlflow

    mlflow.log_metric("own", alpha)
    return alpha


LIMIT = %s
models = Pipeline(
    [
        node(fit, ["rows", "params:alpha"], ["model", "scores"], name="fit"),
        node(own_calls, "params:alpha", "seen", name="own_calls"),
    ]
)
parts = [
    pipeline(models, namespace=name, inputs="rows", parameters=parameters)
    for name, parameters in (("low", None), ("high", None), ("both.inner", {"alpha": "alpha"}))
]
PIPELINES = {"__default__": sum(parts, Pipeline([node(prepare, "params:rows", "rows")]))}
"""

CONFIG = """\
  run:
    nested: namespace
  params:
    dict_params:
      flatten: true
"""


def modular(project: Project, limit: float) -> Project:
    """A project of four namespaces, one of them inside another."""
    small(project, PIPELINES % limit, CONFIG)
    project.write(
        "conf/base/parameters.yml", "rows: 10\nalpha: 0.5\nlow: {alpha: 1}\nhigh: {alpha: 2}\n"
    )
    return project


def by_name(project: Project) -> dict[str, Run]:
    return {run.info.run_name: run for run in project.runs()}


@pytest.mark.parametrize("runner", ["SequentialRunner", "ParallelRunner"])
def test_each_namespace_has_a_child_run_with_its_own_params_metrics_and_models(
    project: Project, runner: str
) -> None:
    modular(project, 10)
    project.kedro("run", "--runner", runner)
    runs = by_name(project)
    assert set(runs) == {"__default__", "low", "high", "both", "both.inner"}
    parents = {name: run.data.tags.get("mlflow.parentRunId") for name, run in runs.items()}
    root = runs["__default__"].info.run_id
    assert parents == {
        "__default__": None,
        "low": root,
        "high": root,
        "both": root,
        "both.inner": runs["both"].info.run_id,
    }
    # Names without the namespace: so MLflow's page compares the runs column by column.
    params = {name: run.data.params for name, run in runs.items()}
    assert params == {
        "__default__": {"rows": "10"},
        "low": {"alpha": "1"},
        "high": {"alpha": "2"},
        "both": {},
        "both.inner": {"alpha": "0.5"},
    }
    for name, alpha in (("low", 1), ("high", 2), ("both.inner", 0.5)):
        run = runs[name]
        values = {"scores/mae": alpha / 10, "own": alpha, "seen": alpha}
        assert run.data.metrics.items() >= values.items()
        assert run.data.metrics["node_seconds/fit"] >= 0
        assert run.data.tags["kedro.namespace"] == name
        assert run.outputs is not None
        (model,) = run.outputs.model_outputs
        assert project.client.get_logged_model(model.model_id).name == "model"
    assert not [name for name in runs["__default__"].data.metrics if "mae" in name]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    for run in runs.values():
        assert run.info.start_time <= run.info.end_time <= runs["__default__"].info.end_time


def test_child_runs_end_as_their_nodes_have_ended(project: Project) -> None:
    modular(project, 1.5)
    project.kedro("run", code=1)
    runs = by_name(project)
    # Kedro takes the nodes by their names: those of `low` were not all run.
    assert {name: run.info.status for name, run in runs.items()} == {
        "__default__": "FAILED",
        "high": "FAILED",
        "low": "FAILED",
        "both": "FINISHED",
        "both.inner": "FINISHED",
    }
    assert runs["both.inner"].info.end_time < runs["__default__"].info.end_time
    assert runs["low"].data.metrics["own"] == 1


def test_a_killed_run_ends_its_child_runs_when_it_is_synced(project: Project) -> None:
    modular(project, 10)
    die = dedent(
        """
        def own_calls(alpha):
            import os, signal

            os.kill(os.getpid(), signal.SIGKILL)


        LIMIT ="""
    )
    path = project.folder / "src" / "diabetes_progression" / "pipelines" / "small.py"
    path.write_text(path.read_text(encoding="utf-8").replace("LIMIT =", die), encoding="utf-8")
    project.kedro("run", code=-9)
    project.kedro("mlflow", "sync")
    runs = by_name(project)
    assert set(runs) == {"__default__", "low", "high", "both", "both.inner"}
    assert {run.info.status for run in runs.values()} == {"KILLED"}
