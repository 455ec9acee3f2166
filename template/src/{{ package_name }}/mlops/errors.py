"""The error that is raised on purpose, and the one line that any other error becomes."""

from click import ClickException

from .redaction import mask_text

# For lines of the log with brackets in them, which the screen would read as a style.
AS_IT_IS = {"markup": False}
_LONGEST_LINE = 200


class TrackingError(ClickException):
    """An error that its reader can fix: the message says what is wrong, where, and what to do.

    A ``ClickException``: ``kedro run`` prints the message alone, on one line, and exits with 1.
    """

    def __init__(self, message: str) -> None:
        super().__init__(mask_text(message))


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message or else its class; foreign ones are shortened."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # Its class may say nothing, or break when it is asked.
        lines = []
    lines = lines or [type(error).__name__]
    text = mask_text(" ".join(lines[0].split()))
    short = isinstance(error, TrackingError) or len(text) <= _LONGEST_LINE
    return text if short else f"{text[:_LONGEST_LINE]}..."
