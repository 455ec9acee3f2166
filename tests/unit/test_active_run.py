"""Whether nodes may call MLflow themselves is read from the sources that they come from."""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

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
    (package / "nodes.py").unlink()  # As if it had come from an archive.
    assert uses_mlflow(Pipeline([node(work, None, "out")])) is expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("pipelines/nodes.py", True),
        ("nodes.py", True),
        ("settings.py", False),
        ("mlops/config.py", False),
        ("notes.txt", False),
    ],
)
def test_the_projects_own_modules_may_call_mlflow(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, expected: bool
) -> None:
    active_run = mlops("tracking.active_run")
    monkeypatch.setattr(active_run, "PACKAGE_FOLDER", tmp_path)
    monkeypatch.setattr(mlops("project"), "TEMPLATE_FOLDER", tmp_path / "mlops")
    monkeypatch.setattr(active_run, "_SETTINGS", tmp_path / "settings.py")
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("import mlflow\n", encoding="utf-8")
    nodes = Pipeline([node(sorted, "a", "out")])
    assert active_run.uses_mlflow(nodes) is expected


def test_a_function_of_a_notebook_may_do_anything(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    active_run = mlops("tracking.active_run")
    monkeypatch.setattr(active_run, "PACKAGE_FOLDER", tmp_path)
    script, notebook = ModuleType("__main__"), ModuleType("__main__")
    (tmp_path / "script.txt").touch()
    script.__file__ = str(tmp_path / "script.txt")

    def typed() -> int:
        return 1

    typed.__module__ = "__main__"
    for main, function, expected in (
        (notebook, typed, True),
        (notebook, partial(typed), True),
        (script, typed, False),
        (notebook, sorted, False),
    ):
        monkeypatch.setitem(sys.modules, "__main__", main)
        nodes = Pipeline([node(function, None if function is not sorted else "a", "out")])
        assert active_run.uses_mlflow(nodes) is expected
