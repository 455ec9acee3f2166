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
# Tokens of a text, and of a tokenizer, which are none: `pad_token_id`, `token_column`, `n_token`.
_TOKEN_OF_A_TEXT = re.compile(
    r"(?<![a-z])(?:pad|padding|eos|bos|unk|sep|cls|mask|special|begin|start|end|stop|eot|eod|image"
    r"|audio|video|prefix|suffix|middle|next|first|last|num|n|max|min|per|total|added|additional)"
    r"[^a-z]*token(?![a-z])"
    r"|(?<![a-z])token[^a-z]*(?:columns?|counts?|length|len|limit|types?|ids|index|size|dim|budget"
    r"|embeddings?|field|level|classification|pattern|regex|separator|overlap|window|dropout)"
    r"(?![a-z])",
    re.IGNORECASE,
)
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")
# A shorter value would be masked in the middle of other words.
_SHORTEST_SECRET = 6
_URI_USERINFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")
Patterns = Sequence[re.Pattern[str]]


def is_secret(key: str, patterns: Patterns = ()) -> bool:
    """Return whether a name suggests that its value is a secret; patterns match anywhere in it."""
    words = _TOKEN_OF_A_TEXT.sub("", _CAMEL_CASE.sub("_", key))
    return bool(_SECRET_KEY.search(words)) or any(pattern.search(key) for pattern in patterns)


def mask(key: str, value: Any, patterns: Patterns = ()) -> Any:
    """Mask a value whose key looks like a secret's, and the user and password of URIs in any other.

    Dictionaries and lists are masked entry by entry; other values come back as they are. A value's
    class is asked, not the value, which may be anything.
    """
    kind = type(value)
    if is_secret(key, patterns):
        # Not `==`, which a table or an array answers with another one.
        return value if value is None or (kind is str and not value) else MASK
    if issubclass(kind, dict):
        return {name: mask(str(name), entry, patterns) for name, entry in dict.items(value)}
    for sequence in (list, tuple):
        if issubclass(kind, sequence):
            return [mask("", entry, patterns) for entry in sequence.__iter__(value)]
    return mask_text(value) if issubclass(kind, str) else value


def secret_values(values: Mapping[Any, Any], patterns: Patterns = ()) -> set[str]:
    """Collect the values that `mask` would mask in a mapping."""
    found: set[str] = set()
    for key, value in values.items():
        if key == "PWD":  # The working directory, as shells have it.
            continue
        if is_secret(str(key), patterns):
            found |= _leaves(value)
        elif issubclass(type(value), dict):
            found |= secret_values(dict(dict.items(value)), patterns)
        elif issubclass(type(value), str):
            for userinfo in _URI_USERINFO.findall(value):
                found |= {userinfo, userinfo.partition(":")[2]}
    return {secret for secret in found if len(secret) >= _SHORTEST_SECRET}


def mask_text(text: str, secrets: Collection[str] = ()) -> str:
    """Mask secrets in a text by their values, and the user and password of URIs."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _URI_USERINFO.sub(MASK, text)


def _leaves(value: Any) -> set[str]:
    kind = type(value)
    if issubclass(kind, dict):
        return {leaf for entry in dict.values(value) for leaf in _leaves(entry)}
    if kind in (list, tuple):
        return {leaf for entry in value for leaf in _leaves(entry)}
    return {str(value)} if issubclass(kind, str | int | float) else set()


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
        with suppress(Exception):  # A class of errors may answer in its own way, or not at all.
            masked = [mask_text(arg, secrets) if isinstance(arg, str) else arg for arg in each.args]
            if any(
                new is not old and new != old for new, old in zip(masked, each.args, strict=True)
            ):
                each.args = tuple(masked)
        # Many errors keep their message in an attribute as well; system errors in `strerror`.
        for name in (*vars(each), "strerror"):
            with suppress(Exception):
                value = getattr(each, name, None)
                if isinstance(value, str) and (text := mask_text(value, secrets)) != value:
                    setattr(each, name, text)
        waiting += [each.__cause__, each.__context__]
