"""The application, an ASGI callable: who may ask, how large a request is, where it is answered.

It routes by itself: Starlette would need as many lines and three times the time.
"""

import asyncio
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from typing import Any, NamedTuple

from ..callers import shows
from ..errors import shortened, shown
from .metrics import RequestMetrics

Headers = Mapping[bytes, bytes]
HeaderList = tuple[tuple[bytes, bytes], ...]
# Answers a POST with this body and these headers; also returns the number of rows.
Predict = Callable[[bytes, Headers], tuple[bytes, int]]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

logger = logging.getLogger(__name__)

# A prediction that takes no longer is made on the event loop itself, where no other thread competes
# for the interpreter. What takes longer goes to threads: /ping must not wait for it.
_SHORT_SECONDS, _SHORT_BYTES = 0.02, 16_000
_THREADS = 4
# So many of the largest bodies are held at once.
_MOST_BODIES = 10
SECONDS_TO_ARRIVE = 30
# A body that is too large is read to its end within this bound, and dropped: most clients look for
# an answer only when they have sent everything, and see a broken connection if it is not read.
_MOST_DROPPED = 250_000_000
_CLOSE = ((b"connection", b"close"),)


class Route(NamedTuple):
    """What is at a path: an answer to GET, or a function that answers POST."""

    name: str  # For metrics and messages.
    content: bytes = b""
    media: bytes = b"application/json"
    predict: Predict | None = None
    is_open: bool = False  # To everybody, without a token.


class RefusalError(Exception):
    """A request that its sender can fix: the message says what is wrong, and where."""

    def __init__(self, message: str, status: int = 400, headers: HeaderList = ()) -> None:
        super().__init__(shortened(message))
        self.status = status
        self.headers = headers


class LeftError(Exception):
    """The caller has left: the rest of the work is not needed."""


@dataclass(eq=False)
class Caller:
    """Who waits for work in a thread: it is begun, and continued, only while somebody does."""

    predict: Predict
    body: bytes
    headers: Headers
    has_left: bool = False

    def leave(self) -> None:
        """Let the work stop before its next step; what waits for a thread holds no body."""
        self.has_left, self.body = True, b""

    def served(self) -> tuple[bytes, int]:
        """Do the work, in a thread."""
        _of_thread.caller = self
        try:
            require_caller()
            return self.predict(self.body, self.headers)
        finally:
            _of_thread.caller = None


_of_thread = threading.local()


def require_caller() -> None:
    """Stop the work of this thread if its caller has left; asked between two steps of it.

    A thread cannot be ended: a step that has begun is finished.
    """
    caller: Caller | None = getattr(_of_thread, "caller", None)
    if caller and caller.has_left:
        raise LeftError


class Answer(NamedTuple):
    """A response, and for how many rows."""

    status: int
    content: bytes
    headers: HeaderList = ()
    rows: int = 0
    media: bytes = b"application/json"


@dataclass
class App:
    """Answers the requests to these routes; `about` holds headers of each prediction."""

    routes: Mapping[str, Route]
    about: Mapping[str, str]
    token: str | None
    max_bytes: int
    metrics: RequestMetrics | None
    body_seconds: float = SECONDS_TO_ARRIVE
    is_draining: bool = False  # Then each answer closes its connection: others take over.

    def __post_init__(self) -> None:
        about = self.about.items()
        self._about = tuple((k.encode(), v.encode("latin-1", "replace")) for k, v in about)
        self._threads = ThreadPoolExecutor(_THREADS, "predict")
        self._usual_seconds = 0.0
        self._held = 0  # Bytes of bodies.

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = perf_counter()
        path = scope["path"]
        route = self.routes.get(path)
        answer: Answer | None = None
        if self.metrics:
            self.metrics.begin()
        try:
            try:
                answer = await self._answer(route, scope, receive)
            except RefusalError as refusal:
                answer = _error(path, refusal.status, str(refusal), refusal.headers)
            except Exception:
                logger.exception("A request to %s has failed.", path)
                text = "The model has failed on these rows; the server's log says why."
                answer = _error(path, 500, text)
            if answer:
                await self._send(answer, send)
        finally:
            if self.metrics:
                name, seconds = route.name if route else "other", perf_counter() - started
                status, rows = (str(answer.status), answer.rows) if answer else ("gone", 0)
                self.metrics.end(name, status, seconds, rows)

    async def _answer(
        self, route: Route | None, scope: Mapping[str, Any], receive: Receive
    ) -> Answer | None:
        headers = dict(scope["headers"])
        if refusal := self._refusal(route, scope, headers):
            if b"transfer-encoding" in headers or _size(headers) > self.max_bytes:
                refusal.headers += _CLOSE  # Its body is not read to the end.
            raise refusal
        assert route
        if route.predict is None:
            return Answer(200, route.content, media=route.media)
        size = self.max_bytes if b"transfer-encoding" in headers else _size(headers)
        size = min(size, self.max_bytes)
        if self._held + size > _MOST_BODIES * self.max_bytes:
            text = "The server is busy with other large requests."
            raise RefusalError(text, 503, ((b"retry-after", b"1"), *_CLOSE))
        self._held += size
        try:
            body = await read_body(headers, receive, self.max_bytes, self.body_seconds)
            if body is None:
                return None
            predicted = await self._predict(route.predict, body, headers, receive)
        finally:
            self._held -= size
        return Answer(200, predicted[0], self._about, predicted[1]) if predicted else None

    def _refusal(
        self, route: Route | None, scope: Mapping[str, Any], headers: Headers
    ) -> RefusalError | None:
        """Refuse a request by its head."""
        connection = scope.get("state", {}).get("connection")
        if not (route and route.is_open):
            if self.token and not shows(self.token, headers.get(b"authorization", b"")):
                return RefusalError("Unauthorized.", 401, ((b"www-authenticate", b"Bearer"),))
            if connection and connection.is_surplus:
                text = "All connections are taken: serving.max_connections in mlflow.yml."
                return RefusalError(text, 503, ((b"retry-after", b"1"), *_CLOSE))
            if connection:
                connection.is_known = True
        if route is None:
            return RefusalError(f"There is nothing at {shown(scope['path'])}.", 404)
        allowed = "POST" if route.predict else "GET, HEAD"
        if scope["method"] not in allowed.split(", "):
            text = f"{route.name} takes {allowed}, not {shown(scope['method'])}."
            return RefusalError(text, 405, ((b"allow", allowed.encode()),))
        return None

    async def _predict(
        self, predict: Predict, body: bytes, headers: Headers, receive: Receive
    ) -> tuple[bytes, int] | None:
        started = perf_counter()
        try:
            if len(body) <= _SHORT_BYTES and self._usual_seconds <= _SHORT_SECONDS:
                return predict(body, headers)
            return await self._in_thread(Caller(predict, body, headers), receive)
        finally:
            if len(body) <= _SHORT_BYTES:
                seconds = perf_counter() - started
                self._usual_seconds += (seconds - self._usual_seconds) / 10

    async def _in_thread(self, caller: Caller, receive: Receive) -> tuple[bytes, int] | None:
        """Predict in a thread; if the caller leaves, not at all, or no further."""
        done = asyncio.get_running_loop().run_in_executor(self._threads, caller.served)
        left = asyncio.ensure_future(receive())
        either: set[asyncio.Future[Any]] = {done, left}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not done.done() and left.result()["type"] == "http.disconnect":
                caller.leave()
                done.cancel()
                return None
            return await done
        finally:
            left.cancel()

    async def _send(self, answer: Answer, send: Send) -> None:
        headers = [
            (b"content-type", answer.media),
            (b"content-length", b"%d" % len(answer.content)),
            *answer.headers,
            *(_CLOSE if self.is_draining else ()),
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.content})


def _error(path: str, status: int, text: str, headers: HeaderList = ()) -> Answer:
    """Write an error in the form of the path's protocol: KServe's, or else MLflow's."""
    name = HTTPStatus(status).name
    content = {"error": text} if path.startswith("/v2") else {"error_code": name, "message": text}
    return Answer(status, json.dumps(content).encode(), headers)


async def read_body(
    headers: Headers, receive: Receive, most: int, seconds: float = SECONDS_TO_ARRIVE
) -> bytes | None:
    """Read a request's body, or refuse it; return None when its sender has gone."""
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise RefusalError("Content-Encoding: send the body as it is, uncompressed.", 415)
    size = _size(headers)
    if size > most and (b"expect" in headers or size > most + _MOST_DROPPED):
        raise _too_large(most)
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task
    # asyncio.wait_for would start a task for each request, which costs more than all else here.
    timer = loop.call_later(seconds, task.cancel)
    body, size, is_last = bytearray(), 0, False
    try:
        while not is_last:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part = message.get("body", b"")
            size += len(part)
            if size <= most:
                body += part
            is_last = not message.get("more_body", False)
            if size > most + (0 if is_last else _MOST_DROPPED):
                raise _too_large(most)
        return bytes(body)
    except asyncio.CancelledError:
        if loop.time() < timer.when():  # Somebody else has cancelled it.
            raise
        text = f"The body did not arrive within {seconds:g} seconds."
        raise RefusalError(text, 408, _CLOSE) from None
    finally:
        timer.cancel()


def _size(headers: Headers) -> int:
    return int(headers.get(b"content-length", b"0"))


def _too_large(most: int) -> RefusalError:
    text = f"The body is larger than {most / 1e6:g} MB: send the rows in parts, or raise "
    return RefusalError(f"{text}serving.max_megabytes in mlflow.yml.", 413, _CLOSE)
