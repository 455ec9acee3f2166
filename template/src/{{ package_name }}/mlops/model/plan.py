"""Runs the inference pipeline on data in memory, without a Kedro session."""

import inspect
import logging
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.validation import (
    DataValidationError,
    ParameterValidator,
    ValidatorSpec,
    resolve_validator,
)

from ..mlflow_internals import call_node, node_outputs
from ..project import PACKAGE, registered_pipeline
from ..validation import refuse_in_words

if TYPE_CHECKING:
    from .schema import Schema
    from .tensor_schema import TensorSchema

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class InferencePlan:
    """The inference pipeline, ready to predict, in several threads at once."""

    steps: "Sequence[Step]"  # In an order in which they can run.
    input: str
    output: str
    constants: Mapping[str, Any]  # All else that nodes read: fitted data sets and parameters.
    validate: Callable[[Any], Any] | None = None  # Checks rows as the input's catalog entry does.
    schema: "Schema | TensorSchema | None" = None  # Of the input; models of version 2.0 have none.

    @classmethod
    def load(cls, config: Mapping[str, Any], artifacts: Mapping[str, str]) -> "InferencePlan":
        """Create the plan from a packaged model: its ``model_config`` and its files by data set."""
        pipeline = registered_pipeline(config["pipeline"], "model.pipeline")
        fitted = {
            name: dataset_at(name, entry, artifacts[name]).load()
            for name, entry in config["datasets"].items()
        }
        parameters = parameters_of(config, pipeline)
        return cls(
            steps_of(pipeline, fitted.keys(), parameters.keys()),
            config["input"],
            config["output"],
            {**fitted, **parameters},
            input_validator(config["input"], config["validator"]),
            _schema(artifacts),
        )

    def predict(self, rows: Any) -> Any:
        """Return the output data set for these rows of the input data set, which stay as they are.

        A DataValidationError says that they are not what training had, or what the input's catalog
        entry declares.
        """
        return self.predict_table(self.schema.conform(rows) if self.schema else rows)

    def predict_table(self, rows: Any) -> Any:
        """Do the same for a table that has the types of the schema already."""
        # No variable here holds what the nodes pass on: a table is freed after its last reader.
        data = {**self.constants, self.input: self._checked(rows)}
        for step in self.steps:
            step.run(data)
        if self.schema and self.schema.ids:
            return self.schema.add_ids(rows, data[self.output])
        return data[self.output]

    def _checked(self, rows: Any) -> Any:
        checked = self.validate(rows) if self.validate else rows
        return deepcopy(rows) if checked is rows else checked


def _schema(artifacts: Mapping[str, str]) -> "Schema | TensorSchema | None":
    from .schema import FILE, read_schema  # With pandas: a run that only tracks does without.

    return read_schema(artifacts[FILE]) if FILE in artifacts else None


@dataclass(frozen=True)
class Step:
    """One node."""

    node: Node
    copied: Set[str]  # Inputs that later steps read as well: a node may change what it gets.
    released: Set[str]  # Inputs that no later step reads.

    def run(self, data: dict[str, Any]) -> None:
        """Call the node's function with values of `data`, and add its outputs there."""
        outputs = node_outputs(self.node, self._call(data))
        if inspect.isgeneratorfunction(self.node.func):
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


def steps_of(pipeline: Pipeline, fitted: Set[str], parameters: Set[str]) -> list[Step]:
    """List the steps of a pipeline that reads these fitted data sets and parameters.

    All predictions share what is fitted, and no node may change it: a copy of a model would take
    longer than its prediction. Of the parameters each node gets its own copy.
    """
    last_reader = {name: node for node in pipeline.nodes for name in node.inputs}
    steps = []
    for node in pipeline.nodes:
        read = set(node.inputs) - fitted
        released = {name for name in read - parameters if last_reader[name] is node}
        steps.append(Step(node, read - released, released))
    return steps


def parameters_of(config: Mapping[str, Any], pipeline: Pipeline) -> dict[str, Any]:
    """Return the parameters that a packaged pipeline reads, by their names in the catalog."""
    values = typed = config["parameters"]
    if values:
        typed = ParameterValidator({config["pipeline"]: pipeline}).validate_raw_params(values)
    names = {name.removeprefix("params:") for name in pipeline.inputs() if "params:" in name}
    read = {f"params:{n}": typed[n] if n in typed else _nested(values, n) for n in names}
    return {"parameters": typed, **read}


def _nested(values: Any, name: str) -> Any:
    """Find `a.b` in the value of `a`, which a node reads as well."""
    head, dot, rest = name.partition(".")
    while dot and head not in values:
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return _nested(values[head], rest) if dot else values[head]


def input_validator(name: str, declared: Any) -> Callable[[Any], Any] | None:
    """Return what checks rows as loading a data set would, by the `validator:` of its entry.

    It raises a DataValidationError, unless the validator's severity is `warn`. None if loading
    would check nothing.
    """
    spec = ValidatorSpec.from_dataset_config(name, declared) if declared else None
    if not (spec and spec.enabled and "load" in spec.on):
        return None
    refuse_in_words()
    validator = resolve_validator(spec)

    def validate(rows: Any) -> Any:
        try:
            return validator.validate(rows)
        except DataValidationError as error:
            refusal = error
        except Exception as error:  # Whatever a validator raises is its verdict.
            refusal = DataValidationError(str(error))
            refusal.__cause__ = error
        refusal.dataset_name = name
        refusal.validator = refusal.validator or spec.class_path
        if spec.severity != "warn":
            raise refusal
        logger.warning("%s", refusal)
        return rows

    return validate


def dataset_at(name: str, entry: Mapping[str, Any], path: str | Path) -> AbstractDataset[Any, Any]:
    """Create a data set of the class and options of a catalog entry, with its file at this path."""
    return AbstractDataset.from_config(name, {**with_current_type(entry), "filepath": str(path)})


def with_current_type(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a data set's entry with the name that its class has now: a model may be older."""
    kind = str(entry["type"])
    if old_names := sys.modules.get(f"{PACKAGE}.mlops.old_names"):
        kind = old_names.current_name(kind)
    return {**entry, "type": kind}
