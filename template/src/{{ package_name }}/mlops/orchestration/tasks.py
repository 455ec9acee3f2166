"""Tasks: what an orchestrator runs, in which order, and what passes between them."""

import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from kedro.io import DataCatalog, MemoryDataset
from kedro.io.core import is_parameter
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from ..mlflow_internals import uncached
from ..tracking.capture.command import replay_command

# Tags of nodes that say what they need: cpu-2, memory-4Gi, gpu-1.
_RESOURCE = re.compile(r"(cpu|memory|gpu)-(([\d.]+)([a-zA-Z]*))")
# The units of Kubernetes, whose letters most orchestrators know.
_UNITS = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_UNITS |= {f"{letter}i": 2.0**power for letter, power in (("K", 10), ("M", 20), ("G", 30))}

Groups = dict[str, list[Node]]


@dataclass(frozen=True)
class Task:
    """Nodes that run in one process."""

    name: str  # Letters, digits, "_" and "-".
    command: str  # A line for a shell.
    needs: list[str]  # The names of the tasks that come before it.
    resources: dict[str, str]  # By cpu, memory and gpu: the most that one of its nodes asks for.


def tasks_of(
    pipeline: Pipeline, catalog: DataCatalog, by: str, options: Sequence[str] = ()
) -> list[Task]:
    """Split a pipeline into tasks by ``node``, ``namespace`` or ``memory``, in an order to run in.

    By memory, what passes between nodes without a file stays inside a task. The options are those
    that each `kedro run` is given.
    """
    groups, needs = _ordered(pipeline, group(pipeline, catalog, by))
    names = _names(groups)
    return [
        Task(
            names[key],
            shlex.join(["kedro", "run", *options, *_selection(pipeline, key, nodes)]),
            sorted(names[each] for each in needs[key]),
            _resources(nodes),
        )
        for key, nodes in groups.items()
    ]


def in_memory(pipeline: Pipeline, catalog: DataCatalog, by: str) -> list[str]:
    """List what passes between tasks and has no file: the tasks would not find it."""
    groups, _ = _ordered(pipeline, group(pipeline, catalog, by))
    made = {name: key for key, nodes in groups.items() for each in nodes for name in each.outputs}
    passed = {
        name
        for key, nodes in groups.items()
        for each in nodes
        for name in each.inputs
        if made.get(name, key) != key
    }
    return sorted(name for name in passed if _is_in_memory(name, catalog))


def group(pipeline: Pipeline, catalog: DataCatalog, by: str) -> Groups:
    """Group a pipeline's nodes; those that pass data in memory count as one, by ``memory``."""
    if by != "memory":
        nodes = {node.name: node for node in pipeline.nodes}
        found = pipeline.group_nodes_by("namespace" if by == "namespace" else None)
        return {each.name: [nodes[name] for name in each.nodes] for each in found}
    groups = {node.name: [node] for node in pipeline.nodes}
    users: defaultdict[str, list[str]] = defaultdict(list)
    for node in pipeline.nodes:
        for name in {*node.inputs, *node.outputs}:
            if _is_in_memory(name, catalog):
                users[name].append(node.name)
    for some in users.values():
        _join(groups, some)
    return groups


def _join(groups: Groups, nodes: Iterable[str]) -> None:
    """Make one group of those that have these nodes, under the name of the first."""
    first, *others = dict.fromkeys(
        key
        for name in nodes
        for key, each in groups.items()
        if name in [node.name for node in each]
    )
    for other in others:
        groups[first] += groups.pop(other)


def _ordered(pipeline: Pipeline, groups: Groups) -> tuple[Groups, dict[str, set[str]]]:
    """Sort groups, those first that others need; what would wait for each other becomes one."""
    while True:
        of_node = {node.name: key for key, nodes in groups.items() for node in nodes}
        needs: dict[str, set[str]] = {key: set() for key in groups}
        for node, parents in pipeline.node_dependencies.items():
            own = of_node[node.name]
            needs[own] |= {of_node[parent.name] for parent in parents} - {own}
        try:
            order = list(TopologicalSorter(needs).static_order())
        except CycleError as error:
            _join(groups, [groups[key][0].name for key in error.args[1]])
            continue
        return {key: groups[key] for key in order}, needs


def _names(groups: Groups) -> dict[str, str]:
    """Name tasks by their groups, so that every orchestrator takes the name."""
    names: dict[str, str] = {}
    for key in groups:
        name = short = re.sub(r"\W+", "_", key, flags=re.ASCII).strip("_") or "task"
        number = 1
        while name in names.values():
            number += 1
            name = f"{short}_{number}"
        names[key] = name
    return names


def _selection(pipeline: Pipeline, key: str, nodes: Sequence[Node]) -> list[str]:
    """Return the options of `kedro run` that select these nodes."""
    if nodes[0].namespace and set(nodes) == {
        node for node in pipeline.nodes if f"{node.namespace}.".startswith(f"{key}.")
    }:
        return ["--namespaces", key]
    return ["--nodes", ",".join(node.name for node in nodes)]


def _resources(nodes: Sequence[Node]) -> dict[str, str]:
    asked: dict[str, tuple[float, str]] = {}
    for found in (_RESOURCE.fullmatch(tag) for node in nodes for tag in node.tags):
        if found and found[4] in _UNITS:
            amount = float(found[3]) * _UNITS[found[4]], found[2]
            asked[found[1]] = max(amount, asked.get(found[1], amount))
    return {name: text for name, (_, text) in sorted(asked.items())}


def _is_in_memory(name: str, catalog: DataCatalog) -> bool:
    if is_parameter(name):
        return False
    dataset = catalog.get(name)  # None for a name that the catalog does not have.
    return dataset is None or isinstance(uncached(dataset), MemoryDataset)


def options_of(run_params: Mapping[str, Any]) -> list[str]:
    """Return the options of `kedro run` that each task gets: its environment and parameters."""
    chosen = {key: run_params[key] for key in ("env", "pipeline_names", "runtime_params")}
    words = shlex.split(replay_command({**chosen, "runner": None}), comments=True)
    return words[2:]  # Without "kedro run".
