"""Runs the inference pipeline's nodes on data in memory, with no Kedro session around them."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset
from kedro.validation import ParameterValidator, Validator

from ..project import registered_pipeline
from .declared import DeclaredValidator
from .steps import Step, steps_of

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline


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
