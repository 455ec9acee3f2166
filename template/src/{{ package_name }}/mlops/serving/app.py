"""The application: an ASGI callable, and no more of a framework than that.

A small model predicts in less time than a framework takes to route the request to it.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from hmac import compare_digest
from http import HTTPStatus
from time import perf_counter
from typing import Any, NamedTuple

from .body import Receive, read_body
from .metrics import RequestMetrics
from .refusal import RefusalError, shown
from .routes import Headers, Predict, Route

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


logger = logging.getLogger(__name__)


# A prediction that takes no longer is made on the event loop itself, where no other thread competes
# for the interpreter. What takes longer goes to threads: /ping must not wait for it.
_SHORT_SECONDS, _SHORT_BYTES = 0.02, 64_000


_THREADS = 4


class Answer(NamedTuple):
    """What goes back to the caller."""

    status: int
    content: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    rows: int = 0


class App:
    """Answers the requests to these routes.

    Attributes:
        is_draining: whether each answer ends its connection, because others take over.
    """

    def __init__(
        self,
        routes: Mapping[str, Route],
        about: Mapping[str, str],
        token: str | None,
        max_bytes: int,
        metrics: RequestMetrics,
    ) -> None:
        """Take what stays the same for all requests.

        Args:
            routes: by path.
            about: headers of each answer to those who may ask.
            token: what they have to show, if anything.
            max_bytes: the largest body.
            metrics: what counts them.
        """
        self.is_draining = False
        self._routes = routes
        self._about = tuple((key.encode(), _latin(value)) for key, value in about.items())
        self._token = token.encode() if token else None
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(_THREADS, "predict")
        self._usual_seconds = 0.0

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = perf_counter()
        path = scope["path"]
        route = self._routes.get(path)
        status = rows = 0
        self._metrics.begin()
        try:
            try:
                answer = await self._answer(route, scope, receive)
            except RefusalError as refusal:
                answer = _explained(str(refusal), refusal.status, path, refusal.headers)
            except Exception:
                logger.exception("A request to %s has failed.", path)
                text = "The model has failed on these rows; the server's log says why."
                answer = _explained(text, 500, path)
            if answer is not None:
                status, rows = answer.status, answer.rows
                await self._send(answer, send)
        finally:
            name = route.name if route else "other"
            self._metrics.end(name, status, perf_counter() - started, rows)

    async def _answer(
        self, route: Route | None, scope: Mapping[str, Any], receive: Receive
    ) -> Answer | None:
        headers = dict(scope["headers"])
        if self._token and not (route and route.is_open) and not self._shows_token(headers):
            raise RefusalError("Unauthorized.", 401, ((b"www-authenticate", b"Bearer"),))
        if route is None:
            raise RefusalError(f"There is nothing at {shown(scope['path'])}.", 404)
        method = scope["method"]
        if route.predict is None:
            if method not in ("GET", "HEAD"):
                raise _wrong_method(route, method, b"GET, HEAD")
            return Answer(200, route.content)
        if method != "POST":
            raise _wrong_method(route, method, b"POST")
        body = await read_body(headers, receive, self._max_bytes)
        if body is None:
            return None
        content, rows = await self._predict(route.predict, body, headers)
        return Answer(200, content, self._about, rows)

    def _shows_token(self, headers: Headers) -> bool:
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and compare_digest(token.strip(), self._token or b"")

    async def _predict(self, predict: Predict, body: bytes, headers: Headers) -> tuple[bytes, int]:
        started = perf_counter()
        try:
            if len(body) <= _SHORT_BYTES and self._usual_seconds <= _SHORT_SECONDS:
                return predict(body, headers)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, predict, body, headers)
        finally:
            if len(body) <= _SHORT_BYTES:
                seconds = perf_counter() - started
                self._usual_seconds += (seconds - self._usual_seconds) / 10

    async def _send(self, answer: Answer, send: Send) -> None:
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(answer.content)).encode()),
            *answer.headers,
        ]
        if self.is_draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.content})


def _wrong_method(route: Route, method: str, allowed: bytes) -> RefusalError:
    text = f"{route.name} takes {allowed.decode()}, not {shown(method)}."
    return RefusalError(text, 405, ((b"allow", allowed),))


def _explained(
    text: str, status: int, path: str, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> Answer:
    """Put an error as its protocol has it: KServe's, or else MLflow's."""
    content = (
        {"error": text}
        if path.startswith("/v2")
        else {"error_code": HTTPStatus(status).name, "message": text}
    )
    return Answer(status, json.dumps(content).encode(), headers)


def _latin(text: str) -> bytes:
    return text.encode("latin-1", "replace")
