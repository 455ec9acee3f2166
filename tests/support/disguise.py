"""Stand-ins in front of a real server: with another version, another clock, or behind TLS."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import trustme

from tests.support.proxy import Proxy, _Handler


class Disguise(Proxy):
    """Passes requests on, and changes what the server says of itself.

    Attributes:
        version: the version that it claims to be.
        seconds_off: how far its clock is ahead.
    """

    def __init__(self, server: str) -> None:
        super().__init__(server)
        self.RequestHandlerClass = _Disguised
        self.version: str | None = None
        self.seconds_off = 0.0


@contextmanager
def disguise_of(server: str, certificate: trustme.LeafCert | None = None) -> Iterator[Disguise]:
    """A disguise that is worn as long as the block; with a certificate, it is reached by TLS."""
    disguise = Disguise(server)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        disguise.socket = context.wrap_socket(disguise.socket, server_side=True)
    threading.Thread(target=disguise.serve_forever, daemon=True).start()
    try:
        yield disguise
    finally:
        disguise.shutdown()
        disguise.server_close()


class _Disguised(_Handler):
    server: Disguise

    def do_GET(self) -> None:  # noqa: N802
        if self.path == "/version" and self.server.version:
            content = self.server.version.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        else:
            self._pass_on()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((timestamp or time.time()) + self.server.seconds_off)

    def send_header(self, keyword: str, value: Any) -> None:
        sent: list[bytes] = getattr(self, "_headers_buffer", [])
        # The date of the server behind stays behind.
        if keyword.lower() != "date" or not any(line.startswith(b"Date:") for line in sent):
            super().send_header(keyword, value)
