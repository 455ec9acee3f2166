"""Where the server listens, and who may call there."""

import errno
import os
import socket
from ipaddress import ip_address

from ..errors import TrackingError

TOKEN = "SERVING_TOKEN"


def bind(host: str, port: int) -> socket.socket:
    """Take an address; nobody listens at it yet.

    Raises:
        TrackingError: it is taken, or none of this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise TrackingError(f"--host {host}: no such address ({error}).") from error
    # localhost is both; most callers try this one first.
    family, *_, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise TrackingError(
                f"Something listens at {host}:{port} already: choose another --port."
            ) from error
        raise TrackingError(f"{host}:{port} cannot be listened at: {error.strerror}.") from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Write the address as callers do."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def take_token(listener: socket.socket, is_asked: bool) -> str | None:
    """Take the token out of the environment: no other process need have it.

    Args:
        listener: the bound socket.
        is_asked: whether callers have to show a token, if there is one.

    Raises:
        TrackingError: there is none and whoever reaches this machine could call, or it is none
            that a header can hold.
    """
    token = os.environ.pop(TOKEN, "")
    if not is_asked:
        return None
    if not token and not ip_address(listener.getsockname()[0]).is_loopback:
        raise TrackingError(
            f"Other machines reach {url_of(listener)}: give {TOKEN} in the environment or in .env "
            "a value that callers must show, or say --no-token if something in front asks them."
        )
    if not (token.isascii() and all("!" <= character <= "~" for character in token)):
        raise TrackingError(
            f"{TOKEN} holds a space, a line break or a letter beyond ASCII, which no header can: "
            "choose another one."
        )
    return token or None
