"""`kedro server start`: Kedro's HTTP server, for callers that show a token, one run at a time.

Two runs at once would write the same files of the catalog, and register each other's model. Kedro
has one set of parameters a process: a snapshot would give its own to a run that begins.
"""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

from .callers import is_this_machine, shows, token_of
from .mlflow_internals import kedro_serves
from .redaction import KNOWN

TOKEN = "KEDRO_SERVER_TOKEN"
_OPEN = "/health"


@contextmanager
def guarded(host: str, port: int) -> Iterator[None]:
    """Let Kedro's command serve `create_app`; a TrackingError says that it needs a token."""
    token_of(TOKEN, f"http://{host}:{port}", is_this_machine(host))
    with kedro_serves(f"{__name__}:{create_app.__name__}"):
        yield


def create_app() -> "Guard":
    """Return the application; with --reload in a process of its own, which inherits the token."""
    from kedro.server import create_http_server

    token = os.environ.pop(TOKEN, "")  # Nodes need not know it.
    KNOWN.add({token} - {""})
    return Guard(create_http_server(), token)


class Guard:
    """An ASGI application before another one."""

    def __init__(self, app: Any, token: str) -> None:
        self._app, self._token = app, token
        self._alone = asyncio.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on a request that shows the token, and one with parameters when no other is."""
        async with AsyncExitStack() as stack:
            if scope["type"] != "lifespan" and scope["path"] != _OPEN and self._token:
                headers = dict(scope["headers"])
                if not shows(self._token, headers.get(b"authorization", b"")):
                    await _refuse(send)
                    return
            if scope["type"] == "http" and scope["path"] in ("/run", "/snapshot"):
                await stack.enter_async_context(self._alone)
            await self._app(scope, receive, send)


async def _refuse(send: Any) -> None:
    body = json.dumps({"detail": f"Show the token: Authorization: Bearer ${TOKEN}"}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})
