"""The connections of a worker: how many, for how long, and what counts as HTTP.

A stranger gets little: a place until somebody else needs it, a few seconds to send the head of a
request, and none of the ways to write one that proxies read in another way. uvicorn bounds none of
these.
"""

import asyncio
import logging
import math
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..mlflow_internals import strict_lines

logger = logging.getLogger(__name__)

# Longer than proxies keep theirs (60 s): the one who closes an idle connection first loses nothing.
SECONDS_IDLE = 75
_SECONDS_TO_ANSWER = 5  # A refusal of a body that is late.
_SECONDS_OF_SURPLUS = 2
_SECONDS_BETWEEN_LINES = 60
# Connections beyond the limit that may ask, and are told that there are too many.
_MOST_SURPLUS = 50
# Of files that are no connections: the model's own, the libraries'.
_FILES_LEFT = 50
_MOST_BYTES_OF_HEAD = 16_384
# Each chunk of a body costs 20 microseconds, whatever it holds.
_FREE_CHUNKS, _LEAST_BYTES_OF_CHUNK = 1000, 512


class Connections:
    """All connections of a worker; those without a request, by who has to leave first."""

    def __init__(self, most: int, head_seconds: float, body_seconds: float) -> None:
        self.most = min(most, _most_by_files())
        self._seconds = {
            "silent": head_seconds,
            "head": head_seconds,
            "body": body_seconds + _SECONDS_TO_ANSWER,
            "idle": SECONDS_IDLE,
            "answer": math.inf,
        }
        self._all: set[Connection] = set()
        # In the order in which they came to rest; a caller who has shown the token is no stranger.
        self._strangers: dict[Connection, None] = {}
        self._known: dict[Connection, None] = {}
        self._closed: Counter[str] = Counter()
        self._told = -math.inf

    def add(self, connection: "Connection") -> None:
        """Take one in: in place of an idle one when all places are taken, or else to refuse it."""
        self._all.add(connection)
        if len(self._all) <= self.most or self.make_room():
            return
        connection.is_surplus = True
        self.count("refused")
        if len(self._all) > self.most + _MOST_SURPLUS:
            self.remove(connection)
            connection.transport.abort()

    def remove(self, connection: "Connection") -> None:
        """Forget one that is closed."""
        self._all.discard(connection)
        self.rest(connection, False)

    def rest(self, connection: "Connection", is_idle: bool) -> None:
        """Note whether it can be closed without a loss."""
        self._strangers.pop(connection, None)
        self._known.pop(connection, None)
        if is_idle and not connection.is_surplus:
            (self._known if connection.is_known else self._strangers)[connection] = None

    def make_room(self) -> bool:
        """Close the one that has waited longest, strangers first; return whether there is any."""
        for waiting in (self._strangers, self._known):
            for connection in waiting:
                if not connection.transport.get_write_buffer_size():
                    self.remove(connection)
                    connection.transport.abort()
                    self.count("closed for others")
                    return True
        return False

    def seconds(self, connection: "Connection", phase: str) -> float:
        """Return how long a phase of a connection may take."""
        seconds = self._seconds[phase]
        return min(seconds, _SECONDS_OF_SURPLUS) if connection.is_surplus else seconds

    def shortage(self) -> bool:
        """Free a file descriptor for a connection; return whether it is to be refused instead."""
        if self.make_room():
            return False
        self.count("out of files")
        return True

    def count(self, outcome: str) -> None:
        """Count a connection that did not go as its sender wished."""
        self._closed[outcome] += 1

    def sweep(self, now: float) -> None:
        """Close what is late, and say once a minute how many have been closed and refused."""
        for connection in [each for each in self._all if each.deadline < now]:
            left = connection.transport.get_write_buffer_size()
            if left and left < connection.unsent:  # It takes its answer, slowly.
                connection.unsent, connection.deadline = left, now + SECONDS_IDLE
                continue
            if connection.phase in ("silent", "head", "body"):
                self.count("late")
            self.remove(connection)
            connection.transport.abort()
        if self._closed and now - self._told >= _SECONDS_BETWEEN_LINES:
            counts = ", ".join(f"{count:,} {_WORDS[each]}" for each, count in self._closed.items())
            logger.warning("Connections: %s (at most %d are open).", counts, self.most)
            self._closed.clear()
            self._told = now


_WORDS = {
    "refused": "refused, as none was idle",
    "closed for others": "idle ones closed for new ones",
    "late": "closed that had not sent their request in time",
    "out of files": "refused for want of file descriptors",
}


def _most_by_files() -> int:
    """Return how many connections the process's limit of open files leaves room for."""
    if sys.platform == "win32":
        return 10_000
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = 50
    with suppress(OSError):
        used = len(list(Path("/proc/self/fd").iterdir()))
    left = math.inf if limit == resource.RLIM_INFINITY else limit
    return int(max(10, min(10_000, left - used - _FILES_LEFT - _MOST_SURPLUS)))


class Connection(H11Protocol):
    """A connection: uvicorn's, with deadlines."""

    def __init__(
        self,
        connections: Connections,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        # The application finds this object in a request's state.
        super().__init__(config, server_state, {**app_state, "connection": self}, _loop)
        self.conn = _Http(h11.SERVER, _MOST_BYTES_OF_HEAD)
        self._connections = connections
        self.is_known = False  # Its sender has shown the token.
        self.is_surplus = False  # All places are taken: its request is refused.
        self.phase = "silent"
        self.deadline = math.inf
        self.unsent = sys.maxsize

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give it a place, and some seconds to begin."""
        super().connection_made(transport)
        self._connections.add(self)
        if not transport.is_closing():
            self._begin("silent")

    def connection_lost(self, exc: Exception | None) -> None:
        """Give its place away."""
        self._connections.remove(self)
        super().connection_lost(exc)
        self.app_state.clear()  # It holds this object.

    def data_received(self, data: bytes) -> None:
        """Read a part of a request, and note what is missing of it."""
        super().data_received(data)
        self._follow()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of one that is refused."""
        super().on_response_complete()
        self._follow()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; where an answer is given already, there cannot be another."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()
        if self.cycle:  # Whoever reads its body reads no more.
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _follow(self) -> None:
        state = self.conn.their_state
        if self.transport.is_closing():  # What is left of an answer is still sent.
            phase = "idle"
        elif state is h11.IDLE:
            phase = "head" if self.conn.trailing_data[0] else "idle"
        else:
            phase = "body" if state is h11.SEND_BODY else "answer"
        if phase != self.phase:
            self._begin(phase)

    def _begin(self, phase: str) -> None:
        self.phase, self.unsent = phase, sys.maxsize
        self.deadline = self.loop.time() + self._connections.seconds(self, phase)
        self._connections.rest(self, phase in ("silent", "head", "idle"))


class _Http(h11.Connection):
    """HTTP as everybody reads it: h11, without what it lets pass."""

    def __init__(self, our_role: type[h11.SERVER], longest: int) -> None:
        super().__init__(our_role, longest)
        strict_lines(self, longest, h11.LocalProtocolError)
        self._chunks = self._bytes = 0

    def next_event(self) -> Any:
        """Return the next event; a RemoteProtocolError refuses the request."""
        event = super().next_event()
        if type(event) is h11.Request:
            self._chunks = self._bytes = 0
            names = {name for name, _ in event.headers}
            if event.http_version not in (b"1.0", b"1.1"):
                raise h11.RemoteProtocolError("another version", 505)
            # Each is a length: whoever goes by the other one sees another request behind it.
            if b"transfer-encoding" in names and (
                b"content-length" in names or event.http_version == b"1.0"
            ):
                raise h11.RemoteProtocolError("two lengths")
        elif type(event) is h11.Data:
            self._chunks += event.chunk_start
            self._bytes += len(event.data)
            if self._chunks > _FREE_CHUNKS + self._bytes // _LEAST_BYTES_OF_CHUNK:
                raise h11.RemoteProtocolError("many small chunks")
        return event
