"""Parameters that Kedro checks before a run starts, with one clause for each that is wrong."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from kedro.validation.exceptions import ModelInstantiationError
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator


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
