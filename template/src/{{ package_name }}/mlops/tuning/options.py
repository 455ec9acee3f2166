"""The schema of tuning.yml: what is searched, for which metric, and how long."""

from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from ..config import Options, explain, read_file
from ..directions import direction_of
from ..errors import TrackingError

FILE = "tuning.yml"

_SINGLE = (bool, int, float, str, type(None))


class RangeOptions(Options):
    """Numbers between two bounds, both included."""

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    log: bool = False
    step: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    when: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_a_range(self) -> "RangeOptions":
        if self.low >= self.high:
            raise ValueError(f"low is {self.low:g}, which is not below high: {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs a low above 0, and it is {self.low:g}")
        if self.log and self.step is not None:
            raise ValueError("give it log or step, not both")
        return self


class ChoicesOptions(Options):
    """One of some values."""

    choices: list[Any] = Field(min_length=2)
    when: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_each_once(self) -> "ChoicesOptions":
        if not all(isinstance(each, _SINGLE) for each in self.choices):
            raise ValueError("a choice is a single value: a number, a text, true, false or null")
        if len({(type(each), each) for each in self.choices}) < len(self.choices):
            raise ValueError("a choice is there twice")
        return self


def _kind(value: Any) -> str:
    has_choices = isinstance(value, dict) and "choices" in value
    return "choices" if has_choices or isinstance(value, ChoicesOptions) else "range"


SearchOptions = Annotated[
    Annotated[RangeOptions, Tag("range")] | Annotated[ChoicesOptions, Tag("choices")],
    Discriminator(_kind),
]


class TuningOptions(Options):
    """All of tuning.yml."""

    metric: str = Field(min_length=1)
    better: Literal["lower", "higher"] | None = None  # None: as the metric's name says.
    search: dict[str, SearchOptions] = Field(min_length=1)
    dataset: str | None = None  # None: promotion.evaluation.
    pipeline: str = "__default__"
    trials: int = Field(default=50, ge=1)
    timeout: float | None = Field(default=None, gt=0)
    jobs: int = Field(default=1, ge=1)
    sampler: Literal["tpe", "random", "qmc"] = "tpe"
    seed: int | None = Field(default=None, ge=0, lt=2**32)
    pruner: Literal["median", "hyperband", "halving", "none"] = "median"
    storage: str | None = None  # None: a file in .kedro_mlflow.

    @model_validator(mode="after")
    def _says_what_is_better(self) -> "TuningOptions":
        if not (self.better or direction_of(self.metric)):
            raise ValueError(
                f"the name of '{self.metric}' does not say which values are better: give "
                "better: lower, or better: higher"
            )
        return self

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """What Optuna calls it."""
        better = self.better or direction_of(self.metric)
        return "maximize" if better == "higher" else "minimize"


def read_options(loader: Any) -> TuningOptions:
    """Read tuning.yml; a TrackingError has a line for each key that is wrong."""
    return parse_options(read_file(loader, "tuning"))


def parse_options(content: dict[str, Any]) -> TuningOptions:
    """Check the content of tuning.yml."""
    if not content:
        raise TrackingError(
            f"conf/base/{FILE} is empty or missing: name a metric, and the parameters to search."
        )
    try:
        return TuningOptions.model_validate(content)
    except ValidationError as error:
        lines = dict.fromkeys(_explained(each) for each in error.errors())
        raise TrackingError("\n".join(f"{FILE}: {line}" for line in lines)) from error


def _explained(problem: Any) -> str:
    """Say what is wrong with a key, and in which of the two kinds of search it is."""
    location = list(problem["loc"])
    if location[:1] != ["search"] or len(location) < 3:
        return explain(TuningOptions, problem)
    schema: Any = {"range": RangeOptions, "choices": ChoicesOptions}[location.pop(2)]
    if problem["type"] == "model_type":
        return f"{'.'.join(location)}: give it low and high, or choices."
    return explain(schema, {**problem, "loc": tuple(location)})
