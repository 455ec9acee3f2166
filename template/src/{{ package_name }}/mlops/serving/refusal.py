"""What a caller gets to read when a request is not answered: one sentence, never a traceback."""

from collections.abc import Callable, Sequence
from reprlib import Repr
from typing import Any

HeaderList = tuple[tuple[bytes, bytes], ...]

_LONGEST = 500
_repr = Repr()
_repr.maxstring = _repr.maxother = 40
_repr.maxlong = 20


class RefusalError(Exception):
    """A request that its sender can fix: the message says what is wrong, and where."""

    def __init__(self, message: str, status: int = 400, headers: HeaderList = ()) -> None:
        super().__init__(shortened(message))
        self.status = status
        self.headers = headers


def shortened(text: str, longest: int = _LONGEST) -> str:
    """Put a text into one line of bounded length: much of it may come from the request."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def shown(value: Any) -> str:
    """Show a value of a request, whatever its size."""
    return _repr.repr(value)


def listed(
    names: Sequence[Any],
    most: int = 5,
    show: Callable[[Any], str] = lambda name: shortened(name, 60),
) -> str:
    """List the first of these: there may be a million."""
    more = len(names) - most
    text = ", ".join(show(name) for name in names[:most])
    return f"{text} and {more} more" if more > 0 else text
