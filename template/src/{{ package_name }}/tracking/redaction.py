"""Keep secrets out of whatever is written: a masked value never reaches the journal."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

MASK = "********"

# Words that mark a key as a secret's, at a word's border: `api_key` and `db.password`, not `monkey`
# or `max_tokens`.
_SECRET_KEY = re.compile(
    r"(?:^|[^a-z])(?:passwords?|passwd|pwd|secrets?|token|credentials?"
    r"|(?:api|access|private|secret|account)[_-]?keys?)(?:$|[^a-z])",
    re.IGNORECASE,
)
_URI_USERINFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")

Patterns = Sequence[re.Pattern[str]]


def is_secret(key: str, patterns: Patterns = ()) -> bool:
    """Tell whether a key's name says that its value is a secret.

    Args:
        key: the name of a parameter, tag or data set.
        patterns: the owner's own, ``redaction.patterns`` of mlflow.yml; they match anywhere in it.
    """
    return any(pattern.search(key) for pattern in (_SECRET_KEY, *patterns))


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
    return _URI_USERINFO.sub(MASK, value) if isinstance(value, str) else value
