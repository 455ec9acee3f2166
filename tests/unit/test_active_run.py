"""Whether nodes may call MLflow themselves is read from the sources that they come from."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest
from kedro.pipeline import Pipeline, node

from tests.support.rooms import Rooms


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("import mlflow", True),
        ("from mlflow import log_metric", True),
        ("import json, mlflow.sklearn", True),
        ("mlflow = __import__('mlflow')", True),
        ("mlflow_uri = 'x'", False),
        ("import json", False),
    ],
)
def test_a_library_that_a_node_comes_from_may_call_mlflow_in_another_module(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, expected: bool
) -> None:
    package = tmp_path / "library_of_nodes"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "log.py").write_text(f"def log():\n    {line}\n", encoding="utf-8")
    (package / "nodes.py").write_text(
        "from .log import log\n\n\ndef work():\n    log()\n    return 1\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("library_of_nodes")]:
        monkeypatch.delitem(sys.modules, name)
    work = import_module("library_of_nodes.nodes").work
    uses_mlflow = mlops("tracking.active_run").uses_mlflow
    assert uses_mlflow(Pipeline([node(work, None, "out")])) is expected
