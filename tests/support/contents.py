"""All that MLflow has of a run, but for times, so that two runs can be compared value by value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow import MlflowClient

# What is another in each run, and what only a run has that tasks have run.
_TAGS = {"kedro.run_id", "kedro.journal", "kedro.command", "kedro.env", "mlflow.note.content"}
_TAGS |= {"kedro.begun", "mlflow.user", "mlflow.runName", "kedro.runner"}
_RECORD = {"run_id", "started", "ended", "command", "environment", "critical_path", "runner"}
_NODE = {"started_ns", "ended_ns", "seconds", "process", "waited_seconds"}


def contents(client: MlflowClient, run_id: str) -> dict[str, Any]:
    """Return what can be compared: values, inputs, files, models, versions, spans, the record."""
    run = client.get_run(run_id)
    experiment = run.info.experiment_id
    found: dict[str, Any] = {"status": run.info.status, "params": run.data.params}
    found["tags"] = {key: each for key, each in run.data.tags.items() if key not in _TAGS}
    found["metrics"] = {
        name: sorted((each.step, each.value) for each in client.get_metric_history(run_id, name))
        for name in run.data.metrics
        if not name.startswith("node_seconds/")
    }
    found["times"] = sorted(name for name in run.data.metrics if name.startswith("node_seconds/"))
    inputs = run.inputs.dataset_inputs if run.inputs else []
    found["inputs"] = sorted(repr(each.dataset.to_dictionary()) for each in inputs)
    files = [path for path in files_of(client, run_id) if not path.startswith("kedro/parts/")]
    found["files"] = sorted(files)
    models = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    found["models"] = sorted(
        (model.name, str(model.status), sorted((model.params or {}).items()), measured(model))
        for model in models
    )
    found["outputs"] = len(run.outputs.model_outputs) if run.outputs else 0
    versions = client.search_model_versions(f"run_id = '{run_id}'")
    found["versions"] = sorted(version.name for version in versions)
    spans = client.get_trace(f"tr-{run_id}").data.spans
    found["spans"] = sorted((span.name, span.status.status_code.value) for span in spans)
    with TemporaryDirectory() as scratch:
        path = Path(client.download_artifacts(run_id, "kedro/run.json", scratch))
        record = json.loads(path.read_text("utf-8"))
    nodes = record.pop("nodes")
    found["record"] = {key: each for key, each in record.items() if key not in _RECORD}
    found["nodes"] = sorted(
        repr({key: each for key, each in node.items() if key not in _NODE}) for node in nodes
    )
    return found


def differences(one: Any, other: Any, at: str = "") -> list[str]:
    """Say in a line each where two contents differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted({*one, *other})
        return [
            line
            for key in keys
            for line in differences(one.get(key), other.get(key), f"{at}/{key}")
        ]
    return [] if one == other else [f"{at}: {one} != {other}"]


def measured(model: Any) -> list[Any]:
    """Return how a model was measured, and on what."""
    metrics = model.metrics or []
    return sorted(
        (each.key, each.value, each.dataset_name, each.dataset_digest) for each in metrics
    )


def files_of(client: MlflowClient, run_id: str, folder: str = "") -> Iterator[str]:
    """Yield the paths of a run's artifacts."""
    for each in client.list_artifacts(run_id, folder):
        if each.is_dir:
            yield from files_of(client, run_id, each.path)
        else:
            yield each.path
