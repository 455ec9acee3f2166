"""Namespaces: the parts of a modular pipeline that get child runs, if mlflow.yml says so."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..config import RunOptions

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node


def namespace_of(node: "Node", options: RunOptions) -> str:
    """Tell the namespace in whose child run a node is tracked; empty for the run itself."""
    return (node.namespace or "") if options.nested == "namespace" else ""


def parts_of(pipeline: "Pipeline", options: RunOptions) -> dict[str, "Pipeline"]:
    """Split a pipeline into what each run tracks: the run itself, under "", and its child runs.

    Returns:
        By namespace, parents before their children: ``a`` before ``a.b``.
    """
    from kedro.pipeline import Pipeline

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


def count_nodes(parts: Mapping[str, "Pipeline"]) -> dict[str, int]:
    """Count the nodes in each namespace, those of the namespaces inside it included."""
    return {
        namespace: sum(
            len(part.nodes) for name, part in parts.items() if is_inside(name, namespace)
        )
        for namespace in parts
    }


def is_inside(name: str, namespace: str) -> bool:
    """Tell whether a namespace is another one or inside it."""
    return not namespace or f"{name}.".startswith(f"{namespace}.")


def parent_of(namespace: str) -> str:
    """Name the namespace around one; empty for the run itself."""
    return namespace.rpartition(".")[0]


def local_name(name: str, namespace: str) -> str:
    """Leave the namespace out of a name, as its child run does: so runs can be compared."""
    return name.removeprefix(f"{namespace}.")
