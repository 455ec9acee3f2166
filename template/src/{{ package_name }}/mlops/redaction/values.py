"""Values: those of secrets, which are masked wherever they are, in whatever form."""

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from .names import ends_as_secret, kind_of, looks_secret
from .texts import secrets_in

MASK = "********"
# A shorter value would be masked in the middle of other words.
_SHORTEST_SECRET = 6
# A shorter word or number is a secret only where it is a word of its own.
_SHORTEST_PART = 12
# As secrets they would mask what every line of the log is about.
_OURS = {"kedro", "mlflow", "python", "FINISHED", "FAILED", "KILLED", "UNFINISHED"}
# What credentials.yml has beside secrets.
_OPEN = (
    r"(?i)(?:user|user_?name|login_?name|region(?:_name)?|endpoint(?:_url)?|host|port|url|uri|type"
    r"|account(?:_name)?|project(?:_id)?|database|db_?name|schema|driver|dialect|protocol|anon"
    r"|token_uri|auth_uri|version|api_version|use_ssl|verify|warehouse|role|bucket|service_name)$"
)
Patterns = Sequence[re.Pattern[str]]


def is_secret(key: str, patterns: Patterns = ()) -> bool:
    """Return whether a name says that its value is a secret; patterns match anywhere in it."""
    return kind_of(key) == "secret" or any(pattern.search(key) for pattern in patterns)


def mask(key: str, value: Any, patterns: Patterns = ()) -> Any:
    """Mask a value whose name is a secret's, and the secrets in the texts of any other.

    Dictionaries and lists are masked entry by entry; other values come back as they are. A value's
    class is asked, not the value, which may be anything.
    """
    kind = type(value)
    value = str.__str__(value) if issubclass(kind, str) else value  # Without methods of its own.
    if is_masked(key, value, patterns):
        # Not `==`, which a table or an array answers with another one.
        return value if value is None or (type(value) is str and not value) else MASK
    if issubclass(kind, dict):
        return {
            name: mask(_inside(key, str(name)), entry, patterns)
            for name, entry in dict.items(value)
        }
    for sequence in (list, tuple):
        if issubclass(kind, sequence):
            inside = _inside(key, "")
            return [mask(inside, entry, patterns) for entry in sequence.__iter__(value)]
    # A word may be the password of a database in a test, and the name of a dialect as well.
    is_word = issubclass(kind, str) and value.isalpha() and value.islower()
    return mask_text(value) if issubclass(kind, str) and not is_word else value


def is_masked(key: str, value: Any, patterns: Patterns = ()) -> bool:
    """Return whether a value is masked as a whole, by its name or by both."""
    if any(pattern.search(key) for pattern in patterns):
        return True
    suspected, kind = kind_of(key), type(value)
    if suspected == "secret":
        if issubclass(kind, int | float) and not ends_as_secret(key):
            return False
        # `credentials: warehouse` names an entry of credentials.yml.
        may_name = issubclass(kind, str) and key.casefold().endswith(("credential", "credentials"))
        return not may_name or looks_secret(value)
    if not suspected or not issubclass(kind, str | bytes):
        return False
    text = value.decode("latin-1") if issubclass(kind, bytes) else value
    return looks_secret(text, upper=suspected != "column")


def _inside(key: str, name: str) -> str:
    """Name an entry, so that those of `tokens` and `cookies` are masked as these are."""
    return key if kind_of(key) in ("perhaps", "column") and not kind_of(name) else name


def mask_leaves(value: Any, kept: Collection[str] = ()) -> Any:
    """Mask secrets in all texts of plain data, but not its keys, nor what is under those kept."""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, Mapping):
        return {
            key: entry if key in kept else mask_leaves(entry, kept) for key, entry in value.items()
        }
    return [mask_leaves(each, kept) for each in value] if isinstance(value, list | tuple) else value


def mask_text(text: str, secrets: Collection[str] = ()) -> str:
    """Mask secrets in a text: by their values, those given and all known, and by their place."""
    if secrets:
        text = _known(frozenset(secrets)).mask(text)
    text = KNOWN.mask(text)
    spans = secrets_in(text)
    for start, end in reversed(spans):
        if text[start:end].strip("*"):
            text = text[:start] + MASK + text[end:]
    return text


# --- Which values are secrets ---


def secret_values(values: Mapping[Any, Any], patterns: Patterns = ()) -> set[str]:
    """Collect the values that `mask` would mask in a mapping."""
    found: set[str] = set()
    for key, value in values.items():
        if key not in ("PWD", "OLDPWD"):  # Working directories, as shells have them.
            found |= _secrets_under(str(key), value, patterns)
    return _long_enough(found)


def credential_values(values: Any) -> set[str]:
    """Collect the values of credentials.yml: all but users, places and versions."""
    found: set[str] = set()
    for key, value in values.items() if isinstance(values, Mapping) else ():
        if isinstance(value, Mapping):
            found |= credential_values(value)
        elif not re.match(_OPEN, str(key)):
            found |= _leaves(value)
        found |= _secrets_under("", value, ())
    return _long_enough(found)


def _secrets_under(key: str, value: Any, patterns: Patterns) -> set[str]:
    kind = type(value)
    if is_masked(key, value, patterns):
        return _leaves(value)
    if issubclass(kind, dict):
        entries: Iterable[tuple[Any, Any]] = dict.items(value)
        found = [_secrets_under(_inside(key, str(name)), each, patterns) for name, each in entries]
        return set().union(*found)
    if kind in (list, tuple):
        return set().union(*(_secrets_under(_inside(key, ""), each, patterns) for each in value))
    if not issubclass(kind, str):
        return set()
    parts = {value[start:end] for start, end in secrets_in(value)}
    return parts | {part.partition(":")[2] for part in parts}


def _long_enough(values: set[str]) -> set[str]:
    whole = values | {unquote(value) for value in values}
    return {value for value in whole if len(value) >= _SHORTEST_SECRET and value.strip("*")}


def _leaves(value: Any) -> set[str]:
    kind = type(value)
    if issubclass(kind, dict):
        return {leaf for entry in dict.values(value) for leaf in _leaves(entry)}
    if kind in (list, tuple):
        return {leaf for entry in value for leaf in _leaves(entry)}
    if issubclass(kind, bytes):
        return {value.decode("latin-1")}
    return {str(value)} if issubclass(kind, str | int | float) else set()


# --- Where they are ---


class Known:
    """Secrets that are known by their values, and the one pattern that finds all of their forms."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.add(values)

    def add(self, values: Iterable[str]) -> None:
        """Learn more values; the pattern is made when the next text is masked."""
        new = {value for value in values if value not in _OURS} - self.values
        if new:
            self.values |= new
            self._pattern = None

    def clear(self) -> None:
        """Forget all of them."""
        self.values, self._pattern = set(), None

    def mask(self, text: str) -> str:
        """Mask the values in a text."""
        if not self.values:
            return text
        pattern = self._pattern
        if pattern is None:
            forms = {form for value in self.values for form in _forms(value)}
            ordered = sorted(forms, key=lambda form: (-len(form), form))
            pattern = self._pattern = re.compile("|".join(map(_escaped, ordered)))
        return pattern.sub(_masked, text)


# Of this process, as long as a run is under way in it.
KNOWN = Known()
_known = lru_cache(maxsize=8)(Known)


def _masked(found: re.Match[str]) -> str:
    """Mask what was found, but no part of a longer word if it is a short one itself."""
    form, text = found[0], found.string
    if len(form) < _SHORTEST_PART and form.isalnum():
        around = text[found.start() - 1 : found.start()] + text[found.end() : found.end() + 1]
        if any(map(str.isalnum, around)):
            return form
    return MASK


def _escaped(form: str) -> str:
    # A percent-encoding has capitals or none.
    return re.sub(r"%[\dA-F]{2}", lambda found: f"(?i:{found[0]})", re.escape(form))


def _forms(value: str) -> Iterator[str]:
    """Yield the forms of a value: raw, for an address, in base64, quoted, line by line."""
    data = value.encode("utf-8", "surrogatepass")
    yield from (value, quote(data), quote(data, safe=""), quote_plus(data))
    yield from (repr(value)[1:-1], repr(data)[2:-1], json.dumps(value, ensure_ascii=False)[1:-1])
    quoted = json.dumps(value)[1:-1]
    yield from (quoted, json.dumps(quoted)[1:-1])  # A text may be JSON that is quoted in JSON.
    yield from _encoded(data)
    lines = map(str.strip, value.strip().splitlines())
    for line in lines if "\n" in value.strip() else ():
        if len(line) >= _SHORTEST_PART and not line.startswith("-----"):
            yield from (
                line,
                quote(line, safe=""),
                *_encoded(line.encode("utf-8", "surrogatepass")),
            )


def _encoded(data: bytes) -> Iterator[str]:
    """Yield what base64 has of a value, wherever that begins among the three bytes of a group."""
    for skipped in range(3):
        first, last = (0, 2, 3)[skipped], (len(data) + skipped) // 3 * 4
        for encode in (b64encode, urlsafe_b64encode):
            core = encode(b"\0" * skipped + data).decode()[first:last]
            if len(core) >= _SHORTEST_SECRET:
                yield core
