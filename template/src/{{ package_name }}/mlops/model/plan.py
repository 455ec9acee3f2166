"""Runs the inference pipeline on data in memory, without a Kedro session."""

import inspect
import logging
from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset
from kedro.validation import (
    DataValidationError,
    ParameterValidator,
    Validator,
    ValidatorSpec,
    resolve_validator,
)

from ..project import registered_pipeline

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

logger = logging.getLogger(__name__)


class DeclaredValidator:
    """Checks the rows of a data set as loading it would."""

    def __init__(self, name: str, spec: ValidatorSpec) -> None:
        """Take what is declared.

        Args:
            name: the data set.
            spec: its entry's `validator:`.
        """
        self._name = name
        self._spec = spec
        self._validator = resolve_validator(spec)

    @classmethod
    def of(cls, name: str, declared: Any) -> "DeclaredValidator | None":
        """Make it of a catalog entry's `validator:`; none when loading would check nothing."""
        if not declared:
            return None
        spec = ValidatorSpec.from_dataset_config(name, declared)
        return cls(name, spec) if spec.enabled and "load" in spec.on else None

    def validate(self, rows: Any) -> Any:
        """Return the rows as the validator returns them.

        Raises:
            DataValidationError: it refuses them, and is not declared to warn alone.
        """
        try:
            return self._validator.validate(rows)
        except DataValidationError as error:
            return self._refused(error, rows)
        except Exception as error:  # Whatever a validator raises is its verdict.
            return self._refused(DataValidationError(str(error)), rows)

    def _refused(self, error: DataValidationError, rows: Any) -> Any:
        error.dataset_name = self._name
        error.validator = error.validator or self._spec.class_path
        if self._spec.severity == "warn":
            logger.warning("%s", error)
            return rows
        raise error


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


@dataclass(frozen=True)
class InferencePlan:
    """The inference pipeline, ready to predict, in several threads at once.

    Attributes:
        steps: the nodes.
        input: the data set that holds the rows to predict for.
        output: the data set that holds the predictions.
        given: everything else that the nodes read, loaded: fitted data sets and parameters, by
            name.
        validator: what checks the input's rows before the first node, as it does for the input's
            catalog entry.
    """

    steps: tuple[Step, ...]
    input: str
    output: str
    given: Mapping[str, Any]
    validator: Validator | None = None

    @classmethod
    def load(cls, config: Mapping[str, Any], artifacts: Mapping[str, str]) -> "InferencePlan":
        """Make the plan from what a packaged model holds.

        Args:
            config: the model's ``model_config``, as `packaging.py` writes it.
            artifacts: the files of the fitted data sets, by data set name.
        """
        pipeline = registered_pipeline(config["pipeline"], "model.pipeline")
        typed = config["parameters"]
        if typed:
            typed = ParameterValidator({config["pipeline"]: pipeline}).validate_raw_params(typed)
        fitted = {
            name: dataset_at(name, entry, artifacts[name]).load()
            for name, entry in config["datasets"].items()
        }
        return cls.of(
            pipeline,
            config["input"],
            config["output"],
            fitted,
            {"parameters": typed} | {f"params:{name}": value for name, value in typed.items()},
            DeclaredValidator.of(config["input"], config["validator"]),
        )

    @classmethod
    def of(
        cls,
        pipeline: "Pipeline",
        input: str,
        output: str,
        fitted: Mapping[str, Any],
        parameters: Mapping[str, Any],
        validator: Validator | None = None,
    ) -> "InferencePlan":
        """Make the plan from what has been loaded.

        Args:
            pipeline: the nodes.
            input: the data set that holds the rows to predict for.
            output: the data set that holds the predictions.
            fitted: the fitted data sets, which no node may change: all predictions share them.
            parameters: the parameters by the names of their data sets; each node gets its own copy.
            validator: what checks the rows.
        """
        return cls(
            steps_of(pipeline, shared=fitted, kept=parameters),
            input,
            output,
            {**fitted, **parameters},
            validator,
        )

    def predict(self, rows: Any) -> Any:
        """Return the output data set for these rows of the input data set, which stay as they are.

        Raises:
            DataValidationError: the rows are not what the input's catalog entry declares.
        """
        # No variable here holds what the nodes pass on: each table goes when the last has read it.
        data = {**self.given, self.input: self._checked(rows)}
        for step in self.steps:
            step.run(data)
        return data[self.output]

    def _checked(self, rows: Any) -> Any:
        checked = self.validator.validate(rows) if self.validator else rows
        return deepcopy(rows) if checked is rows else checked


def dataset_at(name: str, entry: Mapping[str, Any], path: str | Path) -> AbstractDataset[Any, Any]:
    """Make a data set of the class and options of a catalog entry, with its file in this place."""
    return AbstractDataset.from_config(name, {**entry, "filepath": str(path)})
