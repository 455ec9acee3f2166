"""Keeps secrets out of the log, the screen and error messages while runs are under way."""

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .redaction import mask_text


@contextmanager
def discreet_log(secrets: set[str]) -> Iterator[None]:
    """Mask secrets in whatever is logged, by whomever, to whichever handler.

    Args:
        secrets: their values, looked at anew for each message; forgotten at the end.
    """
    make = logging.getLogRecordFactory()

    def make_discreetly(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        with suppress(Exception):  # A message that cannot be formatted is reported by its handler.
            text = record.getMessage()
            if (masked := mask_text(text, secrets)) != text:
                record.msg, record.args = masked, ()
        if record.exc_info and record.exc_info[1]:
            mask_error(record.exc_info[1], secrets)
        return record

    logging.setLogRecordFactory(make_discreetly)
    try:
        yield
    finally:
        secrets.clear()
        if logging.getLogRecordFactory() is make_discreetly:
            logging.setLogRecordFactory(make)


def mask_error(error: BaseException, secrets: Collection[str]) -> None:
    """Mask secrets in what an error says, and those that have led to it; it stays the same."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.args = tuple(_masked(value, secrets) for value in each.args)
        # Many errors keep their message beside their arguments; the system's, as `strerror`.
        for name in (*vars(each), "strerror"):
            value = getattr(each, name, None)
            if isinstance(value, str) and (masked := mask_text(value, secrets)) != value:
                with suppress(AttributeError):
                    setattr(each, name, masked)
        waiting += [each.__cause__, each.__context__]


def _masked(value: Any, secrets: Collection[str]) -> Any:
    return mask_text(value, secrets) if isinstance(value, str) else value
