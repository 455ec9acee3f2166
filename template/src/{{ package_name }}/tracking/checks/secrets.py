"""Keeps the values of variables out of what libraries and servers say of them."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urlsplit

from ..redaction import MASK, is_secret, mask

# Shorter ones would be found in every other word.
_SHORTEST = 4


def secrets_of(environ: Mapping[str, str], uris: Iterable[str] = ()) -> list[str]:
    """Collect what must not be shown: secrets and user names, also those inside addresses.

    Args:
        environ: the environment's variables.
        uris: addresses from elsewhere.
    """
    found = {value for name, value in environ.items() if is_secret(name) or "USERNAME" in name}
    for value in (*environ.values(), *uris):
        userinfo = _userinfo(value)
        found |= {*userinfo, *map(unquote, userinfo)}
    return sorted((value for value in found if len(value) >= _SHORTEST), key=len, reverse=True)


def scrub(text: str, secrets: Iterable[str]) -> str:
    """Mask secrets, and user and password in addresses, wherever they stand in a text."""
    for secret in secrets:
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
    masked: str = mask("", text)
    return masked


def _userinfo(value: str) -> list[str]:
    if "://" not in value or "@" not in value:
        return []
    try:
        parts = urlsplit(value)
    except ValueError:
        return []
    return [part for part in (parts.username, parts.password) if part]
