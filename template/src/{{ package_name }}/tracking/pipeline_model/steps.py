"""The nodes of a pipeline as functions to call, one after another, on data in memory.

`Node.run` tells the log of each call and checks what cannot change from call to call. A prediction
for one row takes less than that: here it is done once, when the model is loaded.
"""

import inspect
from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node


@dataclass(frozen=True)
class Step:
    """One node, its data sets resolved.

    Attributes:
        node: the node.
        arguments: the data sets whose values are the function's arguments, in this order.
        named: the same for arguments that have a name.
        copied: which of these others will read after it: a node may change what it gets.
        released: which of these nobody will.
        streams: whether the function yields its outputs in parts.
    """

    node: "Node"
    arguments: tuple[str, ...]
    named: Mapping[str, str]
    copied: frozenset[str]
    released: frozenset[str]
    streams: bool

    def run(self, data: dict[str, Any]) -> None:
        """Call the node's function: its inputs come from `data`, and its outputs go there.

        Raises:
            ValueError: the function has not returned what the node's outputs are.
        """
        outputs = self.node._outputs_to_dictionary(self._call(data))
        if self.streams:
            # Kedro saves part after part, and a data set in memory holds the last one.
            parts = list(zip(*outputs.values(), strict=False))[-1:]
            outputs = {
                name: part for last in parts for name, part in zip(outputs, last, strict=True)
            }
        data.update(outputs)

    def _call(self, data: dict[str, Any]) -> Any:
        values = {name: self._value(name, data) for name in (*self.arguments, *self.named.values())}
        for name in self.released:
            del data[name]
        return self.node.func(
            *(values[name] for name in self.arguments),
            **{argument: values[name] for argument, name in self.named.items()},
        )

    def _value(self, name: str, data: Mapping[str, Any]) -> Any:
        return deepcopy(data[name]) if name in self.copied else data[name]


def steps_of(
    pipeline: "Pipeline", shared: Collection[str], kept: Collection[str]
) -> tuple[Step, ...]:
    """Make the steps of a pipeline, in an order in which they can run.

    Args:
        pipeline: the nodes.
        shared: the data sets that all predictions share: they are handed out as they are, for a
            copy of a fitted model would take longer than its prediction.
        kept: what else is there before the first step and is needed for the next prediction.
    """
    nodes = pipeline.nodes
    last_reader = {name: node for node in nodes for name in node.inputs}

    def step(node: "Node") -> Step:
        read = set(node.inputs) - set(shared)
        released = {name for name in read - set(kept) if last_reader[name] is node}
        return Step(
            node,
            *_arguments_of(node),
            frozenset(read - released),
            frozenset(released),
            inspect.isgeneratorfunction(node.func),
        )

    return tuple(step(node) for node in nodes)


def _arguments_of(node: "Node") -> tuple[tuple[str, ...], Mapping[str, str]]:
    # Node.inputs has lost which argument each goes to.
    inputs = node._inputs
    if isinstance(inputs, dict):
        return (), inputs
    return tuple(node.inputs), {}
