"""What stands in front of a tracking server in a company: tokens, a certificate of its own."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager

import trustme

from tests.backends.servers import ADMIN_PASSWORD, TrackingServer
from tests.project.proxy import Request, proxy_of


class Tokens:
    """Lets one token in, as the server's admin.

    Attributes:
        accepted: the token.
    """

    def __init__(self, accepted: str) -> None:
        self.accepted = accepted

    def __call__(self, request: Request) -> int | None:
        """Change a request with this token into the admin's; refuse any other."""
        if request.headers.get("Authorization") != f"Bearer {self.accepted}":
            return 401
        del request.headers["Authorization"]
        admin = b64encode(f"admin:{ADMIN_PASSWORD}".encode()).decode()
        request.headers["Authorization"] = f"Basic {admin}"
        return None


@contextmanager
def tls_of(server: TrackingServer, authority: trustme.CA) -> Iterator[str]:
    """Serve a tracking server's answers with a certificate of this authority; the address."""
    with proxy_of(server.url) as proxy:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        proxy.socket = context.wrap_socket(proxy.socket, server_side=True)
        yield proxy.url.replace("http:", "https:")
