"""Nodes and their namespaces, and the record of a run: one JSON file, ``kedro/run.json``."""

import json
import types
from collections.abc import Iterable, Iterator
from functools import partial
from inspect import getattr_static
from pathlib import Path
from typing import Any

from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from ...config import RunOptions
from ..journal import Record, all_records
from .foreign import name_of

FOLDER, FILE = "kedro", "run.json"

_MOST_DECORATORS = 100
# What has a module, a name and, if it is written in Python, a place of its own.
_FUNCTIONS = (
    *(types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.MethodWrapperType),
    *(types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType),
)


def describe_node(node: Node, project_path: Path) -> dict[str, Any]:
    """Describe a node: its name, function, data sets, and where its function is written."""
    function = undecorated(node.func)
    return {
        "name": node.name,
        "function": ".".join(filter(None, function_name(function))),
        "source": source_location(function, project_path),
        "inputs": list(node.inputs),
        "outputs": list(node.outputs),
    }


def function_name(function: Any) -> tuple[str, str]:
    """Return module and name of a function or a class, or else those of an object's class."""
    if issubclass(type(function), type):
        return name_of(function)
    if not issubclass(type(function), _FUNCTIONS):
        return name_of(type(function))
    # A method of a built-in class, such as `str.upper`, has no module.
    module = getattr(function, "__module__", None)
    return (module if type(module) is str else "builtins"), function.__qualname__


def source_location(function: Any, project_path: Path) -> str | None:
    """Return ``src/package/nodes.py:12``, or an absolute path; none if it is not in Python."""
    function = undecorated(function)
    if type(function) is not types.FunctionType:
        return None
    code = function.__code__
    path = Path(code.co_filename)
    if path.is_relative_to(project_path):
        path = path.relative_to(project_path)
    return f"{path.as_posix()}:{code.co_firstlineno}"


def undecorated(function: Any) -> Any:
    """Return the function inside decorators and partial applications."""
    for _ in range(_MOST_DECORATORS):
        if issubclass(type(function), partial):
            function = partial.func.__get__(function)
        elif type(function) is types.MethodType:
            function = function.__func__
        elif (inner := getattr_static(function, "__wrapped__", None)) and callable(inner):
            function = inner
        else:
            break
    return function


# --- Namespaces ---


def namespace_of(node: Node, options: RunOptions) -> str:
    """Return the namespace in whose child run a node is tracked; empty for the run itself."""
    return (node.namespace or "") if options.nested == "namespace" else ""


def parts_of(pipeline: Pipeline, options: RunOptions) -> dict[str, Pipeline]:
    """Split a pipeline into what each run tracks: the run itself, under "", and its child runs.

    By namespace, parents before their children: ``a`` before ``a.b``.
    """
    if options.nested != "namespace":
        return {"": pipeline}
    namespaces = {""}
    for node in pipeline.nodes:
        names = namespace_of(node, options).split(".")
        namespaces |= {".".join(names[:count]) for count in range(1, len(names) + 1)}
    return {
        namespace: Pipeline(
            [node for node in pipeline.nodes if namespace_of(node, options) == namespace]
        )
        for namespace in sorted(namespaces)
    }


def is_inside(name: str, namespace: str) -> bool:
    """Return whether a namespace is another one or inside it."""
    return not namespace or f"{name}.".startswith(f"{namespace}.")


def local_name(name: str, namespace: str) -> str:
    """Leave the namespace out of a name, as its child run does: so runs can be compared."""
    return name.removeprefix(f"{namespace}.")


# --- The record of a run ---


def write_run_record(journal: Path, end: Record) -> Path:
    """Write the record of a run beside its journal; it is the run's artifact ``kedro/run.json``.

    It holds what `_summary` has (times in ms since 1970), and ``nodes``, as `nodes_of` lists them.
    The run's end need not be in the journal yet.
    """
    path = journal / "files" / FILE
    summary = json.dumps(_summary(all_records(journal), end), indent=2)
    nodes = (json.dumps(node) for node in nodes_of(all_records(journal)))
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{summary.removesuffix("}").rstrip()},\n  "nodes": [')
        for number, node in enumerate(nodes):
            file.write(f"{',' if number else ''}\n    {node}")
        file.write("\n  ]\n}\n")
    return path


def _summary(records: Iterable[Record], end: Record) -> dict[str, Any]:
    of_run = ("run_started", "tags", "input", "critical_path")
    kept = [record for record in records if record.kind in of_run]
    start = next((record for record in kept if record.kind == "run_started"), None)
    tags = tags_of(kept)
    return {
        "run_id": tags.get("kedro.run_id"),
        "name": start.data["name"] if start else None,
        "status": end.data["status"],
        "reason": end.data.get("reason"),
        "started": start.time if start else None,
        "ended": end.time,
        "pipelines": tags.get("kedro.pipelines", "").split(", "),
        "command": tags.get("kedro.command"),
        "environment": tags.get("kedro.env"),
        "runner": tags.get("kedro.runner"),
        "versions": {"kedro": tags.get("kedro.version"), "template": tags.get("template.version")},
        "git": {
            "commit": tags.get("mlflow.source.git.commit"),
            "dirty": tags.get("mlflow.source.git.dirty", "") == "true",
        },
        "inputs": inputs_of(kept),
        **{each.kind: each.data["nodes"] for each in records_of("critical_path", kept)},
    }


def nodes_of(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """Yield a run's nodes as they ended, process by process, and then the ``UNFINISHED`` ones."""
    running: dict[str, dict[str, Any]] = {}
    for record in records:
        if record.kind == "node_started":
            running[record.data["name"]] = dict(record.data)
        elif record.kind == "node":
            running.pop(record.data["name"], None)
            # Journals of version 1 do not say it.
            seconds = (record.data["ended_ns"] - record.data["started_ns"]) / 1e9
            yield {"seconds": seconds, **record.data}
    for node in running.values():
        yield {**node, "ended_ns": None, "seconds": None, "status": "UNFINISHED"}


def inputs_of(records: Iterable[Record]) -> list[dict[str, Any]]:
    """List the data that a run has read, each once: two processes may have captured the same."""
    inputs = {record.data["name"]: dict(record.data) for record in records_of("input", records)}
    return [inputs[name] for name in sorted(inputs)]


def tags_of(records: Iterable[Record]) -> dict[str, str]:
    """Collect a run's tags: those of its start, and over them what came since."""
    first: dict[str, str] = {}
    later: dict[str, str] = {}
    for record in records:
        if record.kind == "run_started":
            first |= record.data["tags"]
        elif record.kind == "tags":
            later |= record.data["values"]
    return first | later


def records_of(kind: str, records: Iterable[Record]) -> list[Record]:
    """Pick the records of one kind."""
    return [record for record in records if record.kind == kind]
