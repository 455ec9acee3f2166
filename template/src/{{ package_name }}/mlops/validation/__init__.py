"""Parameters that Kedro checks before a run starts, and tables (`tables.py`), refused in words.

Every command imports this module, so it imports neither pandas nor pandera.
"""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import wraps
from typing import TYPE_CHECKING, Any

from kedro.validation import PanderaValidator
from kedro.validation.exceptions import ModelInstantiationError
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

if TYPE_CHECKING:
    from pandera.pandas import DataFrameSchema


class Parameters(BaseModel):
    """A group of parameters. Unknown keys are refused, and nothing is guessed from text."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _fail_in_one_line(cls, value: Any, handler: Callable[[Any], Any]) -> Any:
        # Kedro shows this exception's text as it is; pydantic's own takes three lines and a link.
        try:
            return handler(value)
        except ValidationError as error:
            problems = [_problem(found, list(cls.model_fields)) for found in error.errors()]
            raise ModelInstantiationError("; ".join(problems)) from error


def _problem(found: Mapping[str, Any], known: Sequence[str]) -> str:
    """Turn one pydantic error into a clause: the key, the value, what it should be."""
    key = ".".join(map(str, found["loc"]))
    if found["type"] == "missing":
        return f"{key} is missing"
    if found["type"] == "extra_forbidden":
        nearest = get_close_matches(key, known, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"known: {', '.join(known)}"
        return f"{key} is not a parameter here ({hint})"
    expected = found["msg"].removeprefix("Value error, ").removeprefix("Input ")
    subject = f"{key} is {found['input']!r}, but" if key else f"{found['input']!r}"
    return f"{subject} {expected}"


def refuse_in_words() -> None:
    """Let the pandera models that catalog entries name refuse a table as `validated` does.

    Kedro's own validator for them converts nothing, and names neither row nor rule in words.
    """
    kedros = PanderaValidator.validate
    if hasattr(kedros, "__wrapped__"):
        return

    @wraps(kedros)
    def validate(self: PanderaValidator, data: Any) -> Any:
        from . import tables

        return tables.checked_by(self, data) if tables.checks(data) else kedros(self, data)

    PanderaValidator.validate = validate  # type: ignore[method-assign]


def schema_of(validator: Any) -> "DataFrameSchema | None":
    """Return the pandera schema that a validator checks by: see `tables.py`."""
    from . import tables

    found: DataFrameSchema | None = tables.schema_of(validator)
    return found
