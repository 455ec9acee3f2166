"""Runs the inference pipeline on data in memory, without a Kedro session."""

import inspect
import logging
from collections.abc import Mapping
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

from ..mlflow_internals import call_node, node_outputs
from ..old_names import current_name
from ..project import registered_pipeline

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class InferencePlan:
    """The inference pipeline, ready to predict, in several threads at once.

    Attributes:
        steps: the nodes, in an order in which they can run.
        input: the data set that holds the rows to predict for.
        output: the data set that holds the predictions.
        constants: everything else that the nodes read: fitted data sets and parameters, by name.
        validator: checks the input's rows before the first node, as its catalog entry would.
    """

    steps: "tuple[Step, ...]"
    input: str
    output: str
    constants: Mapping[str, Any]
    validator: Validator | None = None

    @classmethod
    def load(cls, config: Mapping[str, Any], artifacts: Mapping[str, str]) -> "InferencePlan":
        """Create the plan from a packaged model: its ``model_config`` and its files by data set."""
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
            InputValidator.of(config["input"], config["validator"]),
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
        """Create the plan from loaded values, by the names of their data sets.

        All predictions share what is fitted, and no node may change it: a copy of a model would
        take longer than its prediction. Of the parameters each node gets its own copy.
        """
        last_reader = {name: node for node in pipeline.nodes for name in node.inputs}
        steps = []
        for node in pipeline.nodes:
            read = set(node.inputs) - fitted.keys()
            released = {name for name in read - parameters.keys() if last_reader[name] is node}
            streams = inspect.isgeneratorfunction(node.func)
            steps.append(Step(node, frozenset(read - released), frozenset(released), streams))
        return cls(tuple(steps), input, output, {**fitted, **parameters}, validator)

    def predict(self, rows: Any) -> Any:
        """Return the output data set for these rows of the input data set, which stay as they are.

        Raises:
            DataValidationError: the rows are not what the input's catalog entry declares.
        """
        # No variable here holds what the nodes pass on: a table is freed after its last reader.
        data = {**self.constants, self.input: self._checked(rows)}
        for step in self.steps:
            step.run(data)
        return data[self.output]

    def _checked(self, rows: Any) -> Any:
        checked = self.validator.validate(rows) if self.validator else rows
        return deepcopy(rows) if checked is rows else checked


@dataclass(frozen=True)
class Step:
    """One node.

    Attributes:
        node: the node.
        copied: inputs that later steps read as well: a node may change what it gets.
        released: inputs that no later step reads.
        streams: whether the function yields its outputs in parts.
    """

    node: "Node"
    copied: frozenset[str]
    released: frozenset[str]
    streams: bool

    def run(self, data: dict[str, Any]) -> None:
        """Call the node's function with values of `data`, and add its outputs there."""
        outputs = node_outputs(self.node, self._call(data))
        if self.streams:
            # Kedro saves part after part, and a data set in memory holds the last one.
            parts = list(zip(*outputs.values(), strict=False))
            outputs = dict(zip(outputs, parts[-1], strict=True)) if parts else {}
        data.update(outputs)

    def _call(self, data: dict[str, Any]) -> Any:
        values = {
            name: deepcopy(data[name]) if name in self.copied else data[name]
            for name in self.node.inputs
        }
        for name in self.released:
            del data[name]
        return call_node(self.node, values)


class InputValidator:
    """Checks the rows of a data set as loading it would."""

    def __init__(self, name: str, spec: ValidatorSpec) -> None:
        self._name, self._spec = name, spec
        self._validator = resolve_validator(spec)

    @classmethod
    def of(cls, name: str, declared: Any) -> "InputValidator | None":
        """Create it from a catalog entry's `validator:`; none if loading would check nothing."""
        if not declared:
            return None
        spec = ValidatorSpec.from_dataset_config(name, declared)
        return cls(name, spec) if spec.enabled and "load" in spec.on else None

    def validate(self, rows: Any) -> Any:
        """Return the rows as the validator returns them.

        Raises:
            DataValidationError: it refuses them, and its severity is not `warn`.
        """
        try:
            return self._validator.validate(rows)
        except DataValidationError as error:
            refusal = error
        except Exception as error:  # Whatever a validator raises is its verdict.
            refusal = DataValidationError(str(error))
            refusal.__cause__ = error
        refusal.dataset_name = self._name
        refusal.validator = refusal.validator or self._spec.class_path
        if self._spec.severity != "warn":
            raise refusal
        logger.warning("%s", refusal)
        return rows


def dataset_at(name: str, entry: Mapping[str, Any], path: str | Path) -> AbstractDataset[Any, Any]:
    """Create a data set of the class and options of a catalog entry, with its file at this path."""
    kind = current_name(str(entry["type"]))  # A model may be older than this code.
    return AbstractDataset.from_config(name, {**entry, "type": kind, "filepath": str(path)})
