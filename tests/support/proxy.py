"""A proxy in front of a real server, that delays, cuts and answers in its place when it is told."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from signal import SIGKILL
from typing import Any, TypeAlias

from tests.support.forked_kedro import Forked


@dataclass(frozen=True)
class Request:
    """What a client asks."""

    method: str
    path: str
    headers: Message
    body: bytes


# Looks at a request before it is passed on; a status refuses it.
Guard: TypeAlias = Callable[[Request], int | None]
# Answers a request itself, with a status and a body; none leaves it to the server.
Answerer: TypeAlias = Callable[[Request], "tuple[int, bytes] | None"]


class Proxy(ThreadingHTTPServer):
    """Passes requests on to a server.

    Attributes:
        answer: a status to answer with instead; none passes on.
        hang_at: a part of a path: the next call of it is not answered, nor any other after it.
        cut: ends of paths; the server's answer to the next call of each is thrown away, after the
            server has done what was asked.
        delay: seconds that each request waits.
        hanging: whether requests are accepted and not answered. Once this is over they are passed
            on, as a server does that was only stopped, though nobody waits for the answer any more.
        guard: who is let through; anybody, by default.
        instead: answers what the server does not know.
        moved: the server's own path, by the one that is asked for.
        calls: how many requests came, by method and path.
    """

    daemon_threads = True

    def __init__(self, server: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.server_url = server
        self.answer: int | None = None
        self.cut: set[str] = set()
        self.delay = 0.0
        self.hanging = False
        self.hang_at: str | None = None
        self.guard: Guard = lambda _: None
        self.instead: Answerer = lambda _: None
        self.moved: Callable[[str], str] = lambda path: path
        self.calls: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def proxy_of(server: str, guard: Guard | None = None) -> Iterator[Proxy]:
    """A proxy that runs as long as the block."""
    proxy = Proxy(server)
    if guard:
        proxy.guard = guard
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()


def kill_before(call: str, proxy: Proxy, start: Callable[[], Forked]) -> None:
    """Start a process and kill it when it makes a call, which does not reach the server.

    Args:
        call: method and path, or how they begin.
        proxy: in front of the server; the process must ask it.
        start: starts the process.
    """
    made, killed = threading.Event(), threading.Event()

    def guard(asked: Request) -> int | None:
        if f"{asked.method} {asked.path}".startswith(call):
            made.set()
        if made.is_set():
            killed.wait(60)
            return 503
        return None

    proxy.guard = guard
    process = start()
    was_made = made.wait(60)
    process.kill()
    out, err = process.communicate()
    killed.set()
    assert was_made, f"{call}: {out}{err}"
    assert process.returncode == -SIGKILL, out + err
    proxy.guard = lambda _: None


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.0"

    def _pass_on(self) -> None:
        body = self._body()
        self.server.calls.append(f"{self.command} {self.path.partition('?')[0]}")
        time.sleep(self.server.delay)
        if self.server.hang_at and self.server.hang_at in self.path.partition("?")[0]:
            self.server.hanging, self.server.hang_at = True, None
        while self.server.hanging:
            time.sleep(0.01)
        asked = Request(self.command, self.path, self.headers, body)
        refusal = self.server.answer or self.server.guard(asked)
        if refusal is not None:
            self.send_response(refusal)
            self.end_headers()
            return
        if answer := self.server.instead(asked):
            self.send_response(answer[0])
            self.send_header("Content-Length", str(len(answer[1])))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer[1])
            return
        left_out = ("host", "connection", "transfer-encoding", "content-length")
        headers = {k: v for k, v in self.headers.items() if k.lower() not in left_out}
        request = urllib.request.Request(
            self.server.server_url + self.server.moved(self.path),
            None if self.command == "GET" else body,
            headers,
            method=self.command,
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                self._answer(response.status, response)
        except urllib.error.HTTPError as error:
            self._answer(error.code, error)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, response: Any) -> None:
        content = response.read()
        for end in list(self.server.cut):
            if self.path.partition("?")[0].endswith(end):
                self.server.cut.discard(end)
                self.connection.close()
                return
        self.send_response(status)
        for name, value in response.headers.items():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        with suppress(ConnectionError):  # Nobody waits any more.
            self.end_headers()
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def basic(user: str, password: str) -> str:
    """The header by which somebody signs in."""
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


def basic_auth(user: str, password: str) -> Guard:
    """Let one user through, with this password."""
    expected = basic(user, password)
    return lambda request: None if request.headers.get("Authorization") == expected else 401
