"""A pipeline of two seconds that keeps a metric every tenth of one, and what became of its run."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow import MlflowClient
from mlflow.entities import Run

if TYPE_CHECKING:
    from tests.support.project import Project
    from tests.support.proxy import Proxy

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


def wait_for_calls(proxy: Proxy, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(proxy.calls) < count:
        assert time.monotonic() < deadline, proxy.calls
        time.sleep(0.02)


def captured_metrics(folder: Path) -> set[str]:
    """The metrics in whole lines of a run's journal."""
    names: set[str] = set()
    for path in folder.glob("*.jsonl"):
        for line in path.read_bytes().split(b"\n")[:-1]:
            record = json.loads(line)
            if record["kind"] == "metrics":
                names |= {name for name, *_ in record["data"]["values"] if name.startswith("m")}
    return names
