"""The one error that tracking raises on purpose."""

from click import ClickException


class TrackingError(ClickException):
    """Something its reader can mend: the message says what is wrong, where, and what to do.

    A ``ClickException``, so that ``kedro run`` prints the message alone, on one line, and exits
    with 1. Called from Python it is an exception like any other.
    """
