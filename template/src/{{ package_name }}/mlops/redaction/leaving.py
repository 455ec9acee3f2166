"""What leaves by itself: lines of the log, and errors, which Python and Kedro print."""

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from operator import is_
from typing import Any

from .values import KNOWN, is_masked, mask, mask_text


@contextmanager
def redacted_log(secrets: Collection[str] = ()) -> Iterator[None]:
    """Mask secrets in every log message, of any logger; what is learnt within is then forgotten."""
    make, known = logging.getLogRecordFactory(), set(KNOWN.values)

    def make_redacted(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        with suppress(Exception):  # A message that cannot be formatted is reported by its handler.
            text = record.getMessage()
            if (masked := mask_text(text, secrets)) != text:
                message, given, record.msg, record.args = record.msg, record.args, masked, ()
                if str(message) % (kept := _masked(given, secrets)) == masked:
                    record.msg, record.args = message, kept  # Some handlers look at these.
        if record.exc_info and record.exc_info[1]:
            mask_error(record.exc_info[1], secrets)
        return record

    logging.setLogRecordFactory(make_redacted)
    try:
        yield
    finally:
        KNOWN.clear()
        KNOWN.add(known)  # Those of the command, which continues after a run within it.
        if logging.getLogRecordFactory() is make_redacted:
            logging.setLogRecordFactory(make)


def mask_error(error: BaseException, secrets: Collection[str] = ()) -> None:
    """Mask secrets in an error, its notes, its causes and the errors of its group, in place."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        _mask_one(each, secrets)
        waiting += [each.__cause__, each.__context__]
        with suppress(Exception):
            waiting += getattr(each, "exceptions", ())


def _mask_one(error: BaseException, secrets: Collection[str]) -> None:
    with suppress(Exception):  # A class of errors may answer in its own way, or not at all.
        masked = [_masked(arg, secrets) for arg in error.args]
        if any(new is not old for new, old in zip(masked, error.args, strict=True)):
            error.args = tuple(masked)
    # Many errors keep their message in an attribute as well; system errors in three of them.
    for name in (*vars(error), "strerror", "filename", "filename2", "msg", "reason", "text"):
        with suppress(Exception):
            value = getattr(error, name, None)
            if (new := _masked(value, secrets)) is not value:
                setattr(error, name, new)
    with suppress(Exception):
        text = str(error)
        if mask_text(text, secrets) == text:
            return
        if not hasattr(error, "exceptions"):  # An argument may be of a class of its own.
            error.args = tuple(_shown(arg, secrets) for arg in error.args)
        if mask_text(text := str(error), secrets) != text:
            error.__class__ = _silent(type(error))
            error.__dict__[_TEXT] = mask_text(text, secrets)


def _masked(value: Any, secrets: Collection[str], key: str = "") -> Any:
    """Mask a text, bytes or plain collection; the same object, if there is nothing to mask."""
    kind = type(value)
    if is_masked(key, value):
        return mask(key, value)
    if issubclass(kind, str):
        text = mask_text(value, secrets)
        return value if text == value else text
    if kind in (bytes, bytearray):
        text = value.decode("utf-8", "surrogateescape")
        masked = mask_text(text, secrets)
        return value if masked == text else kind(masked.encode("utf-8", "surrogateescape"))
    if kind is dict:
        new = {name: _masked(entry, secrets, str(name)) for name, entry in value.items()}
        return value if all(new[name] is value[name] for name in value) else new
    if kind in (list, tuple, set, frozenset):
        # In a command, what is behind an option is its value.
        options = [each if type(each) is str and each[:1] == "-" else "" for each in ("", *value)]
        entries = [
            _masked(each, secrets, option.lstrip("-"))
            for option, each in zip(options, value, strict=False)
        ]
        return value if all(map(is_, entries, value)) else kind(entries)
    return value


def _shown(value: Any, secrets: Collection[str]) -> Any:
    text = repr(value)
    return value if mask_text(text, secrets) == text else mask_text(text, secrets)


_TEXT = "_masked_text"


def _silent(kind: type[BaseException]) -> type[BaseException]:
    """Make a subclass of a class of errors that says what was masked, and is it by name."""

    def reduce(self: BaseException, protocol: Any) -> Any:
        reduced: Any = kind.__reduce_ex__(self, protocol)
        made, arguments, *state = reduced
        return (kind if made is silent else made, arguments, *state)

    members: dict[str, Callable[..., Any] | str] = {
        "__str__": lambda self: self.__dict__[_TEXT],
        "__reduce_ex__": reduce,
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
    }
    silent = type(kind.__name__, (kind,), members)
    return silent
