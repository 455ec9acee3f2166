"""Who may call a server of this project: this machine, and those who show its token."""

import os
from hmac import compare_digest
from ipaddress import ip_address

from .errors import TrackingError

_SHORTEST_TOKEN = 16


def token_of(variable: str, address: str, is_local: bool, otherwise: str = "") -> str | None:
    """Return the token that callers must show, from the environment.

    None if there is none and only this machine reaches the address; where others do, a
    TrackingError says so, and what is to be done, or otherwise.
    """
    token = os.environ.get(variable, "")
    if len(token) < _SHORTEST_TOKEN and not is_local:
        raise TrackingError(
            f"Other machines reach {address}: give {variable} in the environment or in .env a "
            f"value of at least {_SHORTEST_TOKEN} characters that callers must show{otherwise}."
        )
    if not (token.isascii() and all("!" <= character <= "~" for character in token)):
        raise TrackingError(
            f"{variable} holds a space, a line break or a letter beyond ASCII, which no header "
            "can: choose another one."
        )
    return token or None


def is_this_machine(host: str) -> bool:
    """Return whether a host is the machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def shows(token: str, authorization: bytes) -> bool:
    """Return whether a header of this value shows the token."""
    scheme, _, shown = authorization.partition(b" ")
    return scheme.lower() == b"bearer" and compare_digest(shown.strip(), token.encode())
