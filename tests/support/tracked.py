"""A tracked run in this process: its nodes' events by hand, or by Kedro's runner and the hook."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from kedro.pipeline.node import Node
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.support.rooms import Rooms

RUN_PARAMS: dict[str, Any] = {
    "run_id": "2026-01-01T00.00.00.000Z",
    "runner": "None",
    "kedro_version": "1.7.0",
    "env": None,
    "pipeline_names": ["training"],
    "runtime_params": {},
}


def measure(alpha: float) -> dict[str, float]:
    return {"rmse": alpha * 2}


def double(score: Mapping[str, float]) -> dict[str, float]:
    return {"rmse": score["rmse"] * 2}


PIPELINE = Pipeline(
    [
        node(measure, "params:alpha", "score", name="measure"),
        node(double, "score", "doubled", name="double"),
    ]
)


def catalog_of(values: Mapping[str, Any]) -> DataCatalog:
    return DataCatalog({name: MemoryDataset(value) for name, value in values.items()})


def config_of(mlops: Rooms, project: Path, uri: str, **content: Any) -> Any:
    """Read a mlflow.yml of this content, for runs that go to an address."""
    module = mlops("config")
    content["tracking"] = {"experiment": {"name": "study"}, **content.get("tracking", {})}
    content.setdefault("shipping", {"deadline": 60})
    return module.resolve(
        module.parse_config({"server": {"mlflow_tracking_uri": uri}, **content}), project
    )


def started(
    mlops: Rooms,
    project: Path,
    config: Any,
    pipeline: Pipeline = PIPELINE,
    listeners: Any = (),
    catalog: DataCatalog | None = None,
    **run_params: Any,
) -> Any:
    """Start a run, as the hook does."""
    given = RUN_PARAMS | {"project_path": str(project)} | run_params
    catalog = catalog or catalog_of({"params:alpha": 0.5})
    return mlops("tracking.start").start_run(config, given, pipeline, catalog, listeners)


def work(
    run: Any,
    node: Node,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    catalog: DataCatalog | None = None,
) -> None:
    """Let a node run and save its outputs."""
    progress = run.node_started(node)
    run.node_called(node, inputs, catalog or DataCatalog())
    progress.work_starts()
    progress.work_ends()
    run.node_finished(node, outputs)
    run.node_ended(progress)


def finish(
    run: Any, pipeline: Pipeline = PIPELINE, status: str = "FINISHED", alpha: float = 0.5
) -> None:
    """Let the nodes of a run finish, one after another, and end it."""
    value: Any = alpha
    for each in pipeline.nodes:
        before, value = value, each.func(value)
        work(run, each, {each.inputs[0]: before}, {each.outputs[0]: value})
    if status == "FINISHED":
        run.complete(catalog_of(dict.fromkeys(pipeline.all_outputs())))
    run.finish(status)


def runs_of(uri: str, experiment: str = "study") -> list[Run]:
    """The runs of an experiment, the oldest first."""
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    assert found, "there is no such experiment"
    runs: list[Run] = client.search_runs([found.experiment_id], order_by=["start_time"])
    return runs
