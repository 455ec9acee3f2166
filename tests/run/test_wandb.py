"""The example of docs/sinks.md: Weights & Biases gets every run, by a class in the project."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.support.answers import REPOSITORY
from tests.support.project import PACKAGE, Project
from tests.support.shared import packages
from tests.support.slow import journals

EXAMPLE = REPOSITORY / "docs" / "examples" / "wandb_sink.py"

PIPELINE = """
import json
import os
import signal
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from kedro.pipeline import Pipeline, node
from sklearn.linear_model import Ridge


def train(alpha):
    model = Ridge(alpha=alpha).fit(np.eye(3), np.arange(3))
    return model, {"rmse": 1.5}, [3.0, 2.0, 1.0], plt.figure()


def kill(scores):
    if "KILLED" in os.environ:
        while len(delivered()) < 2:
            time.sleep(0.1)
        os.killpg(os.getpgid(0), signal.SIGKILL)
    return 7.0


def delivered():
    paths = Path(".kedro_mlflow/journal").glob("*/delivery-*.json")
    return [path for path in paths if json.loads(path.read_text())["offsets"]]


def register_pipelines():
    outputs = ["model", "scores", "loss", "plot"]
    nodes = [node(train, "params:alpha", outputs), node(kill, "scores", "last")]
    return {"__default__": Pipeline(nodes)}
"""


@pytest.fixture(scope="session")
def wandb(rendered: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """wandb and what it needs: the project does without."""
    python = str(rendered.environment / "bin" / "python")
    freeze = ["uv", "pip", "--quiet", "freeze", "--exclude-editable", "--python", python]
    constraints = tmp_path_factory.mktemp("wandb") / "constraints.txt"
    constraints.write_bytes(subprocess.check_output(freeze))
    wanted = ("--constraint", str(constraints), f"wandb=={version('wandb')}")
    return packages(rendered, tmp_path_factory, "wandb", *wanted)


@pytest.fixture
def mirrored(project: Project) -> Project:
    """A project whose runs go to Weights & Biases too."""
    shutil.copy(EXAMPLE, project.folder / "src" / PACKAGE)
    project.write(f"src/{PACKAGE}/pipeline_registry.py", PIPELINE)
    project.write("conf/base/catalog.yml", "")
    project.write("conf/base/parameters.yml", "alpha: 0.5\n")
    project.write(
        "conf/base/mlflow.yml",
        f"""
server:
  mlflow_tracking_uri: sqlite:///mlflow.db
mirrors:
  - type: {PACKAGE}.wandb_sink.WandbSink
    init_kwargs:
      project: demo
""",
    )
    return project


def offline(project: Project, wandb: Path) -> dict[str, str]:
    """The variables of a machine without a network."""
    places = {
        name: str(project.folder.parent / name)
        for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR")
    }
    return places | {
        "WANDB_MODE": "offline",
        "WANDB_ERROR_REPORTING": "false",
        "PYTHONPATH": str(wandb),
    }


class Offline:
    """What the folders of a project's offline runs hold, in the order of their making."""

    def __init__(self, project: Project) -> None:
        self.folders = sorted((project.folder / "wandb").glob("offline-run-*"))
        self.ids: set[str] = set()
        self.config: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        self.history: dict[int, dict[str, Any]] = {}
        self.artifacts: set[str] = set()
        self.exit_codes: list[int] = []
        for folder in self.folders:
            (path,) = folder.glob("*.wandb")
            for record in records(path):
                self._take(record)

    def _take(self, record: Any) -> None:
        kind = record.WhichOneof("record_type")
        if kind == "run":
            self.ids.add(record.run.run_id)
            self.config |= values(record.run.config.update)
        elif kind == "config":
            self.config |= values(record.config.update)
        elif kind == "summary":
            self.summary |= values(record.summary.update)
        elif kind == "history":
            row = values(record.history.item)
            self.history.setdefault(record.history.step.num, {}).update(row)
        elif kind == "artifact":
            self.artifacts.add(f"{record.artifact.name} {record.artifact.digest}")
        elif kind == "exit":
            self.exit_codes.append(record.exit.exit_code)

    def files(self) -> set[str]:
        return {
            path.relative_to(folder / "files").as_posix()
            for folder in self.folders
            for path in (folder / "files").rglob("*")
            if path.is_file()
        }


def values(items: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def records(path: Path) -> Iterator[Any]:
    """Read wandb's file: LevelDB's log format with a head of 7 bytes; a last record may be cut."""
    content, block = path.read_bytes(), 32_768
    place, data = 7, b""
    while place + 7 <= len(content):
        if block - place % block < 7:  # No room for another head: zeros.
            place += block - place % block
            continue
        _, size, kind = struct.unpack("<IHB", content[place : place + 7])
        data += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # A whole record, or the last part of one.
            messages: Any = import_module("wandb.proto.wandb_internal_pb2")
            yield messages.Record.FromString(data)
            data = b""


def test_weights_and_biases_gets_what_mlflow_gets(mirrored: Project, wandb: Path) -> None:
    screen = mirrored.kedro("run", env=offline(mirrored, wandb)).stdout
    assert "Weights & Biases" not in screen
    assert not journals(mirrored)
    (run,) = mirrored.runs()
    found = Offline(mirrored)
    assert found.ids == {run.data.tags["kedro.journal"]}
    assert found.config["alpha"] == 0.5
    assert found.config["kedro.run_id"] == run.data.tags["kedro.run_id"]
    assert {name: found.summary[name] for name in run.data.metrics} == run.data.metrics
    assert [found.history[step]["loss"] for step in range(3)] == [3, 2, 1]
    assert found.history[0].items() >= {"scores/rmse": 1.5, "last": 7}.items()
    assert abs(found.history[0]["_timestamp"] * 1000 - run.info.end_time) < 60_000
    assert found.files() >= {"figures/plot.png", "kedro/run.json"}
    (model,) = found.artifacts
    assert model.startswith("model ")
    assert found.exit_codes == [0]


def test_a_run_that_was_killed_is_completed_under_the_same_id(
    mirrored: Project, wandb: Path
) -> None:
    variables = offline(mirrored, wandb)
    mirrored.kedro("run", env=variables | {"KILLED": "1"}, code=-9)
    assert Offline(mirrored).exit_codes == []
    mirrored.kedro("mlflow", "sync", env=variables)
    mirrored.kedro("mlflow", "sync", env=variables)
    (run,) = mirrored.runs()
    assert run.info.status == "KILLED"
    found = Offline(mirrored)
    assert len(found.folders) == 2
    assert found.ids == {run.data.tags["kedro.journal"]}
    assert found.exit_codes == [255]
    assert {name: found.summary[name] for name in run.data.metrics} == run.data.metrics
    assert [found.history[step]["loss"] for step in range(3)] == [3, 2, 1]
    assert found.files() >= {"figures/plot.png", "kedro/run.json"}
    assert len(found.artifacts) == 1


def test_without_its_library_it_says_so_and_mlflow_has_the_run(mirrored: Project) -> None:
    screen = " ".join(mirrored.kedro("run").stdout.split())
    assert (
        "Weights & Biases did not take the whole run (wandb is not installed: run `uv add wandb`). "
        "The rest is kept: `uv run kedro mlflow sync` delivers it." in screen
    )
    (run,) = mirrored.runs()
    assert run.info.status == "FINISHED"
    assert run.data.metrics["last"] == 7
    assert len(journals(mirrored)) == 1


def test_the_example_keeps_the_rules_of_the_project_that_it_is_copied_into(
    mirrored: Project,
) -> None:
    mirrored.run("ruff", "check", f"src/{PACKAGE}/wandb_sink.py")
    mirrored.run("ruff", "format", "--check", f"src/{PACKAGE}/wandb_sink.py")
