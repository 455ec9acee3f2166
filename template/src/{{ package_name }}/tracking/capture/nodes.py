"""Nodes: what is written down of each, beside its outputs."""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kedro.pipeline.node import Node


def describe_node(node: "Node", project_path: Path) -> dict[str, Any]:
    """Describe a node: its name, function, data sets, and where its function is written."""
    function = _function(node.func)
    return {
        "name": node.name,
        "function": f"{function.__module__}.{getattr(function, '__qualname__', type(function))}",
        "source": source_location(node.func, project_path),
        "inputs": list(node.inputs),
        "outputs": list(node.outputs),
    }


def source_location(function: Callable[..., Any], project_path: Path) -> str | None:
    """Tell a function's file and line, relative to the project if it is part of it.

    Returns:
        ``src/package/nodes.py:12``; none for what is not written in Python.
    """
    code = getattr(_function(function), "__code__", None)
    if code is None:
        return None
    path = Path(code.co_filename)
    if path.is_relative_to(project_path):
        path = path.relative_to(project_path)
    return f"{path.as_posix()}:{code.co_firstlineno}"


def _function(function: Any) -> Any:
    """Look through decorators, partial applications and bound methods."""
    while isinstance(function, partial):
        function = function.func
    return inspect.unwrap(function)
