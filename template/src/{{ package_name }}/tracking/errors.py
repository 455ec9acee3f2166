"""The one error that tracking raises on purpose."""

from click import ClickException

from .redaction import mask_text


class TrackingError(ClickException):
    """Something its reader can mend: the message says what is wrong, where, and what to do.

    A ``ClickException``, so that ``kedro run`` prints the message alone, on one line, and exits
    with 1. Called from Python it is an exception like any other. In the message, user and password
    of addresses are masked.
    """

    def __init__(self, message: str) -> None:
        super().__init__(mask_text(message))
