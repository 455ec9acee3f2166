"""Redaction: keeps secrets out of what is written, logged, shown or raised."""

import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

MASK = "********"
# Words that mark a key as a secret's, at a word's border: `api_key`, `accessToken` and
# `PGPASSWORD`, not `monkey` or `max_tokens`.
_SECRET_KEY = re.compile(
    r"(?:[a-z]*(?:passwords?|passwd|passphrase)|(?:^|[^a-z])(?:pwd|secrets?|token|credentials?"
    r"|authorization|connection[_-]?string"
    r"|(?:api|access|private|secret|account)[_-]?keys?))(?:$|[^a-z])",
    re.IGNORECASE,
)
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")
# A shorter value would be masked in the middle of other words.
_SHORTEST_SECRET = 6
_URI_USERINFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")
Patterns = Sequence[re.Pattern[str]]


def is_secret(key: str, patterns: Patterns = ()) -> bool:
    """Return whether a name suggests that its value is a secret; patterns match anywhere in it."""
    return bool(_SECRET_KEY.search(_CAMEL_CASE.sub("_", key))) or any(
        pattern.search(key) for pattern in patterns
    )


def mask(key: str, value: Any, patterns: Patterns = ()) -> Any:
    """Mask a value whose key looks like a secret's, and the user and password of URIs in any other.

    Mappings and lists are masked entry by entry; other values come back as they are.
    """
    if is_secret(key, patterns) and value not in (None, ""):
        return MASK
    if isinstance(value, Mapping):
        return {name: mask(str(name), entry, patterns) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [mask("", entry, patterns) for entry in value]
    return mask_text(value) if isinstance(value, str) else value


def secret_values(values: Mapping[str, Any], patterns: Patterns = ()) -> set[str]:
    """Collect the values that `mask` would mask in a mapping."""
    found: set[str] = set()
    for key, value in values.items():
        if key == "PWD":  # The working directory, as shells have it.
            continue
        if is_secret(key, patterns):
            found |= _leaves(value)
        elif isinstance(value, Mapping):
            found |= secret_values({str(name): entry for name, entry in value.items()}, patterns)
        elif isinstance(value, str):
            for userinfo in _URI_USERINFO.findall(value):
                found |= {userinfo, userinfo.partition(":")[2]}
    return {secret for secret in found if len(secret) >= _SHORTEST_SECRET}


def mask_text(text: str, secrets: Collection[str] = ()) -> str:
    """Mask secrets in a text by their values, and the user and password of URIs."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _URI_USERINFO.sub(MASK, text)


def _leaves(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        return {leaf for entry in value.values() for leaf in _leaves(entry)}
    if isinstance(value, list | tuple):
        return {leaf for entry in value for leaf in _leaves(entry)}
    return {str(value)}


@contextmanager
def redacted_log(secrets: set[str]) -> Iterator[None]:
    """Mask secrets in every log message, of any logger; the set is cleared at the end."""
    make = logging.getLogRecordFactory()

    def make_redacted(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        with suppress(Exception):  # A message that cannot be formatted is reported by its handler.
            text = record.getMessage()
            if (masked := mask_text(text, secrets)) != text:
                record.msg, record.args = masked, ()
        if record.exc_info and record.exc_info[1]:
            mask_error(record.exc_info[1], secrets)
        return record

    logging.setLogRecordFactory(make_redacted)
    try:
        yield
    finally:
        secrets.clear()
        if logging.getLogRecordFactory() is make_redacted:
            logging.setLogRecordFactory(make)


def mask_error(error: BaseException, secrets: Collection[str]) -> None:
    """Mask secrets in the messages of an error and of its causes, in place."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.args = tuple(
            mask_text(value, secrets) if isinstance(value, str) else value for value in each.args
        )
        # Many errors keep their message in an attribute as well; system errors in `strerror`.
        for name in (*vars(each), "strerror"):
            value = getattr(each, name, None)
            if isinstance(value, str) and (masked := mask_text(value, secrets)) != value:
                with suppress(AttributeError):
                    setattr(each, name, masked)
        waiting += [each.__cause__, each.__context__]
