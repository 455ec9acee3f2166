"""The error that is raised on purpose, the line that any other becomes, and values shown in one."""

from collections.abc import Callable, Sequence
from reprlib import Repr
from typing import Any

from click import ClickException

from .redaction import mask_text

# For lines of the log with brackets in them, which the screen would read as a style.
AS_IT_IS = {"markup": False}
_LONGEST_LINE = 200
# Shows a value of a request, whatever its size.
_repr = Repr()
_repr.maxstring = _repr.maxother = 40
_repr.maxlong = 20
shown = _repr.repr


class TrackingError(ClickException):
    """An error that its reader can fix: the message says what is wrong, where, and what to do.

    A ``ClickException``: ``kedro run`` prints the message alone, on one line, and exits with 1.
    """

    def __init__(self, message: str) -> None:
        super().__init__(mask_text(message))


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message or else its class; foreign ones are shortened.

    A line that ends in a colon says nothing by itself: those below it come along.
    """
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # Its class may say nothing, or break when it is asked.
        lines = []
    lines = lines or [type(error).__name__]
    said = " ".join(lines) if lines[0].endswith(":") else lines[0]
    text = mask_text(" ".join(said.split()))
    short = isinstance(error, TrackingError) or len(text) <= _LONGEST_LINE
    return text if short else f"{text[:_LONGEST_LINE]}..."


def shortened(text: str, longest: int = 500) -> str:
    """Put a text into one line of bounded length: much of it may come from a request."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def listed(
    names: Sequence[Any],
    most: int = 5,
    show: Callable[[Any], str] = lambda name: shortened(name, 60),
) -> str:
    """List the first of these: there may be a million."""
    more = len(names) - most
    text = ", ".join(show(name) for name in names[:most])
    return f"{text} and {more} more" if more > 0 else text
