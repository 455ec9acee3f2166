"""The section `promotion:` of mlflow.yml."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid")


class BoundOptions(_Options):
    """Between which limits a value must be."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "BoundOptions":
        if self.min is None and self.max is None:
            raise ValueError("give it min, max or both")
        return self


class ImprovementOptions(_Options):
    """How a metric must compare with the champion's."""

    better: Literal["lower", "higher"]
    tolerance: float = 0.0


class PromotionOptions(_Options):
    """When a version becomes the champion; without rules, whenever that is asked for.

    Attributes:
        auto: whether each run that registers a version asks for it.
        evaluation: the data set of numbers that the rules speak of; one node makes it.
        holdout: the rows that this node measures on.
        predictions: what the model has predicted for them; the node reads both.
        thresholds: bounds by metric.
        slices: bounds of the ratio of each group's value to the overall one, by metric.
        improvement: comparisons with the champion, by metric.
    """

    auto: bool = False
    evaluation: str = "evaluation"
    holdout: str | None = None
    predictions: str | None = None
    thresholds: dict[str, BoundOptions] = Field(default_factory=dict)
    slices: dict[str, BoundOptions] = Field(default_factory=dict)
    improvement: dict[str, ImprovementOptions] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _can_be_compared(self) -> "PromotionOptions":
        if self.improvement and not (self.holdout and self.predictions):
            raise ValueError("improvement compares on the same rows: give holdout and predictions")
        return self
