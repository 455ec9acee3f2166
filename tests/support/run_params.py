"""What Kedro passes to its hooks of a run."""

from __future__ import annotations

from typing import Any

# Of `kedro run` without an option.
NOTHING: dict[str, Any] = {
    "run_id": "2026-01-01T00.00.00.000Z",
    "project_path": "/nowhere",
    "runner": "None",
    "kedro_version": "1.7.0",
    "env": None,
    "pipeline_names": None,
    "tags": None,
    "node_names": None,
    "from_nodes": None,
    "to_nodes": None,
    "from_inputs": None,
    "to_outputs": None,
    "load_versions": None,
    "namespaces": None,
    "runtime_params": {},
    "only_missing_outputs": False,
}
