"""The parameters of the training pipeline: their types, their limits, and words for what is wrong.

The nodes' type hints name these classes, so Kedro checks `parameters.yml` before a run starts.
The values stand in `conf/base/parameters.yml` and nowhere else: there are no defaults here.
"""

from collections.abc import Callable
from difflib import get_close_matches
from itertools import pairwise
from typing import Annotated, Any

from kedro.validation.exceptions import ModelInstantiationError
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

# NumPy's seeds are unsigned 32-bit integers.
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Parameters(BaseModel):
    """A group of parameters. Unknown keys are refused, and nothing is guessed from text."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _say_it_in_one_line(cls, value: Any, handler: Callable[[Any], Any]) -> Any:
        # Kedro shows this exception's text as it is; pydantic's own takes three lines and a link.
        try:
            return handler(value)
        except ValidationError as error:
            problems = [_problem(dict(found), list(cls.model_fields)) for found in error.errors()]
            raise ModelInstantiationError("; ".join(problems)) from error


class Split(Parameters):
    """How patients are divided into training and test."""

    test_fraction: float = Field(gt=0, lt=1)
    seed: Seed


class Model(Parameters):
    """The regressor: a ridge regression."""

    alpha: float = Field(ge=0)


class Evaluation(Parameters):
    """How the slices of the evaluation are cut."""

    age_bands: list[int]

    @field_validator("age_bands")
    @classmethod
    def _ascending(cls, ages: list[int]) -> list[int]:
        if any(second <= first for first, second in pairwise(ages)):
            raise ValueError("ages should ascend, each once")
        return ages


class Importance(Parameters):
    """How permutation importance is measured."""

    repeats: int = Field(ge=2)
    seed: Seed


def _problem(found: dict[str, Any], known: list[str]) -> str:
    """One pydantic error as a clause: the key, the value, what it should be."""
    key = ".".join(str(part) for part in found["loc"])
    if found["type"] == "missing":
        return f"{key} is missing"
    if found["type"] == "extra_forbidden":
        nearest = get_close_matches(key, known, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"known: {', '.join(known)}"
        return f"{key} is not a parameter here ({hint})"
    expected = found["msg"].removeprefix("Value error, ").removeprefix("Input ")
    subject = f"{key} is {found['input']!r}, but" if key else f"{found['input']!r}"
    return f"{subject} {expected}"
