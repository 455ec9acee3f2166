"""Connections to a worker: who gets a place, how long each may take, and what counts as HTTP."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import math
import os
import resource
import socket
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.rooms import Rooms

TOKEN = "a-token-for-this-test-alone"
KNOWN = f"Authorization: Bearer {TOKEN}\r\n".encode()
PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
ASK = b"POST /invocations HTTP/1.1\r\nHost: x\r\n" + KNOWN
ROWS = ASK + b"Content-Length: 4\r\n\r\nrows"
MOST = 10

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Server:
    """A worker's server in this process, and connections to it."""

    def __init__(self, url: tuple[str, int], connections: Any, listener: Any) -> None:
        self.url, self.connections, self.listener = url, connections, listener
        self.predicting = asyncio.Event()  # Predictions wait for it.
        self.predicting.set()

    async def connect(self, *parts: bytes) -> Streams:
        reader, writer = await asyncio.open_connection(*self.url)
        for part in parts:
            writer.write(part)
            await writer.drain()
        return reader, writer

    async def ask(self, *parts: bytes) -> bytes:
        """Send bytes on a new connection; return what comes until it is closed, or a second."""
        reader, writer = await self.connect(*parts)
        answer = await read(reader)
        writer.close()
        return answer


async def read(reader: asyncio.StreamReader) -> bytes:
    """What comes first; nothing if the connection is closed."""
    try:
        return await asyncio.wait_for(reader.read(100_000), 5)
    except ConnectionResetError:
        return b""


Test = Callable[[Server], Awaitable[None]]


@pytest.fixture
def serve(mlops: Rooms, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a test against a server of ten places, whose deadlines are a fraction of a second."""
    connections, worker, app = (
        mlops(f"serving.{name}") for name in ("connections", "worker", "app")
    )
    monkeypatch.setattr(worker, "_TICKS_OF_SWEEP", 1)
    monkeypatch.setattr(connections, "_SECONDS_TO_ANSWER", 0.2)

    def run(test: Test, seconds: float = 60, idle: float = 75, model: Any = None) -> None:
        monkeypatch.setattr(connections, "SECONDS_IDLE", idle)

        async def main() -> None:
            with worker.Listener() as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(("127.0.0.1", 0))
                places = connections.Connections(MOST, seconds, seconds)
                listener.refuses = places.shortage
                server = Server(listener.getsockname(), places, listener)

                async def predict(self: Any, *_: Any) -> tuple[bytes, int]:
                    await server.predicting.wait()
                    return b"{}", 1

                routes = {
                    "/ping": app.Route("/ping", b"pong", is_open=True),
                    "/large": app.Route("/large", b"x" * 20_000_000, is_open=True),
                    "/invocations": app.Route("/invocations", predict=lambda *_: (b"{}", 1)),
                }
                if model:
                    for name in ("mlflow_protocol", "v2_protocol"):
                        routes |= mlops(f"serving.{name}").routes(model)
                else:
                    monkeypatch.setattr(app.App, "_predict", predict)
                asked = app.App(routes, {}, TOKEN, 100_000, None, seconds)
                channel = SimpleNamespace(reply=lambda _: None, orders=SimpleQueue())
                uvicorn = worker.Server(asked, channel, places)
                serving = asyncio.ensure_future(uvicorn.serve([listener]))
                while not uvicorn.started:
                    await asyncio.sleep(0.01)
                try:
                    await test(server)
                finally:
                    uvicorn.should_exit = True
                    await serving

        asyncio.run(main())

    return run


Serve = Callable[..., None]


# --- who gets a place ---


def test_an_idle_stranger_leaves_for_whoever_comes(serve: Serve) -> None:
    async def test(server: Server) -> None:
        reader, writer = await server.connect(ROWS)
        assert (await read(reader)).startswith(b"HTTP/1.1 200")
        strangers = [await server.connect(part) for part in (b"", b"GET", PING) for _ in range(10)]
        assert b"pong" in await server.ask(PING)
        assert (await server.ask(ROWS)).startswith(b"HTTP/1.1 200")
        assert len(server.connections._all) <= MOST
        assert await read(strangers[0][0]) == b""
        # A caller with the token stays while there are others.
        writer.write(ROWS)
        assert (await read(reader)).startswith(b"HTTP/1.1 200")

    serve(test)


def test_the_callers_who_wait_longest_leave_when_there_are_no_strangers(serve: Serve) -> None:
    async def test(server: Server) -> None:
        callers = []
        for _ in range(MOST + 1):
            callers.append(await server.connect(ROWS))
            assert (await read(callers[-1][0])).startswith(b"HTTP/1.1 200")
        assert await read(callers[0][0]) == b""
        callers[1][1].write(ROWS)
        assert (await read(callers[1][0])).startswith(b"HTTP/1.1 200")

    serve(test)


def test_when_all_are_at_work_a_new_one_is_told_so(serve: Serve) -> None:
    async def test(server: Server) -> None:
        server.predicting.clear()
        callers = [await server.connect(ROWS) for _ in range(MOST)]
        assert b"pong" in await server.ask(PING)
        refused = await server.ask(ROWS)
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in refused
        assert b"connection: close" in refused
        assert b"serving.max_connections" in refused
        many = [await server.connect() for _ in range(60)]  # Of these there is a bound as well.
        assert await read(many[-1][0]) == b""
        server.predicting.set()
        for reader, _ in callers:
            assert (await read(reader)).startswith(b"HTTP/1.1 200")

    serve(test)


def test_a_process_without_descriptors_refuses_and_goes_on(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def test(server: Server) -> None:
        server.predicting.clear()
        caller, _ = await server.connect(ROWS)
        while not server.connections._all or server.connections._strangers:
            await asyncio.sleep(0.01)  # It is at work, and no other one is idle.
        clients = [socket.create_connection(server.url) for _ in range(5)]
        free = os.dup(0)
        os.close(free)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
            for client in clients:
                client.setblocking(False)
                ended = asyncio.get_running_loop().sock_recv(client, 9)
                assert await asyncio.wait_for(ended, 5) == b""
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        server.predicting.set()
        assert (await read(caller)).startswith(b"HTTP/1.1 200")
        assert b"pong" in await server.ask(PING)
        for client in clients:
            client.close()

    serve(test)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_all_that_was_refused_in_a_minute_is_one_line(
    mlops: Rooms, caplog: pytest.LogCaptureFixture
) -> None:
    connections = mlops("serving.connections").Connections(10_000, 1, 1)
    connections.sweep(0.0)
    for now, lines in [(1.0, 1), (2.0, 1), (60.9, 1), (61.0, 2), (200.0, 3)]:
        for _ in range(1000):
            connections.count("refused")
        connections.sweep(now)
        assert len(caplog.records) == lines
    assert "1,000 refused, as none was idle" in caplog.messages[0]
    assert "3,000 refused, as none was idle" in caplog.messages[1]
    connections.sweep(300.0)
    assert len(caplog.records) == 3


class Fake:
    """A connection as its place knows it; it is its own transport."""

    def __init__(self, phase: str = "idle", known: bool = False, unsent: int = 0) -> None:
        self.phase, self.is_known, self.is_surplus = phase, known, False
        self.unsent, self.deadline = sys.maxsize, math.inf
        self.transport, self.left, self.aborted = self, unsent, False

    def get_write_buffer_size(self) -> int:
        return self.left

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
def places(mlops: Rooms) -> Any:
    """Ten places, with 3 seconds for a head and 7 for a body."""
    return mlops("serving.connections").Connections(MOST, 3, 7)


def filled(places: Any, *others: Fake) -> list[Fake]:
    """Take all places: by these, who are idle, and by those who wait for an answer."""
    taken = [*others, *(Fake("answer") for _ in range(MOST - len(others)))]
    for each in taken:
        places.add(each)
    for each in others:
        places.rest(each, True)
    return taken


def test_a_new_one_takes_the_place_of_who_can_leave_without_a_loss(places: Any) -> None:
    known, stranger, unsent = Fake(known=True), Fake(), Fake(unsent=1)
    taken = filled(places, unsent, known, stranger)
    for leaves in (stranger, known):
        new = Fake("answer")
        places.add(new)
        assert leaves.aborted
        assert not new.is_surplus
    assert [each.aborted for each in taken] == [False, True, True, *[False] * 7]
    assert places._closed == {"closed for others": 2}
    assert len(places._all) == MOST


def test_when_nobody_can_leave_new_ones_are_refused_and_then_not_even_that(places: Any) -> None:
    filled(places, Fake(unsent=1))
    refused = [Fake("silent") for _ in range(60)]
    for each in refused:
        places.add(each)
        places.rest(each, True)
    assert all(each.is_surplus for each in refused)
    assert [each.aborted for each in refused] == [False] * 50 + [True] * 10
    assert len(places._all) == MOST + 50
    assert places._closed == {"refused": 60}
    assert not places.make_room()  # A refused one is never somebody to close for others.
    assert places.seconds(refused[0], "head") == 2
    places.remove(refused[0])
    assert len(places._all) == MOST + 49


def test_a_shortage_of_descriptors_ends_an_idle_one_or_refuses(places: Any) -> None:
    idle, *_ = filled(places, Fake())
    assert not places.shortage()
    assert idle.aborted
    assert places.shortage()
    assert places._closed == {"closed for others": 1, "out of files": 1}


PHASES = {"silent": 3, "head": 3, "body": 7.2, "idle": 75, "answer": math.inf}


@pytest.mark.parametrize(("phase", "seconds"), PHASES.items())
def test_each_phase_has_its_time(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch, phase: str, seconds: float
) -> None:
    connections = mlops("serving.connections")
    monkeypatch.setattr(connections, "_SECONDS_TO_ANSWER", 0.2)
    places, late = connections.Connections(MOST, 3, 7), Fake(phase)
    places.add(late)
    late.deadline = places.seconds(late, phase)
    assert late.deadline == seconds
    places.sweep(min(seconds, 1000) - 0.1)
    assert not late.aborted
    places._told = 1e9
    places.sweep(min(seconds, 1000) + 0.1)
    assert late.aborted is (phase != "answer")
    # Who has had an answer, or is waiting for it, is not late.
    assert places._closed == ({"late": 1} if phase in ("silent", "head", "body") else {})
    assert len(places._all) == (phase == "answer")


def test_who_takes_an_answer_slowly_has_time_while_it_gets_less(places: Any) -> None:
    slow = Fake(unsent=100)
    places.add(slow)
    for left, now in ((100, 1.0), (99, 100.0), (40, 200.0)):
        slow.left, slow.deadline = left, now - 0.5
        places.sweep(now)
        assert (slow.aborted, slow.unsent, slow.deadline) == (False, left, now + 75)
    places.sweep(275.5)
    assert slow.aborted


LIMITS = [(1024, 1024 - 150), (150, 10), (10**6, 10_000), (resource.RLIM_INFINITY, 10_000)]


@pytest.mark.parametrize(("limit", "most"), LIMITS)
def test_there_are_no_more_places_than_files(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch, limit: int, most: int
) -> None:
    connections = mlops("serving.connections")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    monkeypatch.setattr(connections.Path, "iterdir", lambda _: iter(range(50)))
    assert connections.Connections(20_000, 1, 1).most == most
    assert connections.Connections(5, 1, 1).most == 5


def test_of_a_connection_that_has_ended_nothing_is_left(serve: Serve) -> None:
    async def test(server: Server) -> None:
        for sent in (b"", PING, ROWS, b"GET"):
            _, writer = await server.connect(sent)
            while not server.connections._all:
                await asyncio.sleep(0.01)
            (connection,) = map(weakref.ref, server.connections._all)
            await asyncio.sleep(0.1)
            writer.close()
            # uvicorn keeps a request and its connection in a circle.
            while server.connections._all or (sent not in (PING, ROWS) and connection()):
                await asyncio.sleep(0.01)

    gc.disable()  # Which would find it some time later.
    try:
        serve(lambda server: asyncio.wait_for(test(server), 20))
    finally:
        gc.enable()


# --- how long it may take ---

LATE = [
    (b"", b""),
    (b"GET /ping HTTP/1.1\r\nHo", b""),
    (ASK + b"Content-Length: 100\r\n\r\nx", b"HTTP/1.1 408"),
    (ASK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", b"HTTP/1.1 408"),
    # Who is refused need not send the rest, and cannot stay for it.
    (b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx", b"HTTP/1.1 401"),
    (PING, b"HTTP/1.1 200"),
]


@pytest.mark.parametrize(("sent", "answer"), LATE, ids=range(len(LATE)))
def test_a_request_that_does_not_come_is_not_waited_for(
    serve: Serve, sent: bytes, answer: bytes
) -> None:
    async def test(server: Server) -> None:
        reader, _ = await server.connect(sent)
        assert (await read(reader)).startswith(answer)
        assert not await read(reader)

    serve(test, seconds=0.2, idle=0.2)


@pytest.mark.parametrize("head", [b"GET /ping HTTP/1.1\r\nHost: x\r\nX: ", ASK + b"X: "])
def test_one_that_comes_byte_by_byte_has_no_more_time(serve: Serve, head: bytes) -> None:
    async def test(server: Server) -> None:
        reader, writer = await server.connect(head)
        ended = asyncio.ensure_future(read(reader))
        for _ in range(1000):
            writer.write(b"x")
            await asyncio.sleep(0.01)
            if ended.done():
                break
        assert await ended == b""

    serve(test, seconds=0.3)


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"])
def test_an_answer_that_nobody_reads_is_given_up(serve: Serve, more: bytes) -> None:
    async def test(server: Server) -> None:
        head = b"GET /large HTTP/1.1\r\nHost: x\r\n"
        _, writer = await server.connect(head + more + b"\r\n")
        while not server.connections._all:
            await asyncio.sleep(0.01)
        while server.connections._all:
            await asyncio.sleep(0.01)
        writer.close()

    serve(lambda server: asyncio.wait_for(test(server), 20), idle=0.2)


# --- who leaves ---

STEPS = {
    "/invocations": ("check_json", "table", "predict", "records"),
    "/v2/models/study/infer": ("check_json", "table", "predict", "tensors"),
}
CASES = [(path, step) for path, steps in STEPS.items() for step in steps]


@pytest.mark.parametrize(("path", "last"), CASES, ids=str)
def test_the_work_for_one_who_leaves_stops_before_its_next_step(
    mlops: Rooms, serve: Serve, monkeypatch: pytest.MonkeyPatch, path: str, last: str
) -> None:
    begun: list[str] = []
    entered, has_left = threading.Event(), threading.Event()

    def step(name: str, function: Any) -> Any:
        def counted(*arguments: Any) -> Any:
            begun.append(name)
            if name == last:
                entered.set()
                has_left.wait(30)
            return function(*arguments)

        return counted

    app, schemas = mlops("serving.app"), mlops("model.schema").Schema
    for owner, name in (
        (mlops("serving.mlflow_protocol"), "check_json"),
        (schemas, "table"),
        (mlops("serving.mlflow_protocol"), "records"),
        (mlops("serving.v2_protocol"), "tensors"),
    ):
        monkeypatch.setattr(owner, name, step(name, getattr(owner, name)))
    leave = app.Caller.leave

    def leave_and_tell(caller: Any) -> None:
        leave(caller)
        has_left.set()

    monkeypatch.setattr(app.Caller, "leave", leave_and_tell)
    schema = schemas.of_signature('[{"name": "x", "type": "double"}]')
    predict = step("predict", lambda table: table["x"])
    model = mlops("serving.model").Model("study", "7", 10_000, schema, predict)
    values = [0.25] * 9000
    tensor = {"name": "x", "shape": [9000], "datatype": "FP64", "data": values}
    content = {"inputs": {"x": values} if path == "/invocations" else [tensor]}
    body = json.dumps(content).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    request = head.encode() + KNOWN + b"Content-Length: %d\r\n\r\n" % len(body) + body

    async def test(server: Server) -> None:
        _, writer = await server.connect(request)
        assert await asyncio.to_thread(entered.wait, 30)
        writer.close()
        assert await asyncio.to_thread(has_left.wait, 30)
        reader, writer = await server.connect(request)
        assert (await read(reader)).startswith(b"HTTP/1.1 200")
        writer.close()

    serve(test, model=model)
    steps = list(STEPS[path])
    assert begun == steps[: steps.index(last) + 1] + steps


# --- what counts as HTTP ---

OPEN = b"GET /ping HTTP/1.1\r\nHost: x\r\n"
CHUNKED = ASK + b"Transfer-Encoding: chunked\r\n"
FRAMED = {
    "plain": (PING, 200),
    "version 1.0": (b"GET /ping HTTP/1.0\r\n\r\n", 200),
    "chunks": (CHUNKED + b"\r\n2\r\nro\r\n2;x=y\r\nws\r\n0\r\n\r\n", 200),
    "equal lengths": (ASK + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nrows", 200),
    "version 0.9": (b"GET /ping\r\n\r\n", 400),
    "version 1.2": (b"GET /ping HTTP/1.2\r\nHost: x\r\n\r\n", 400),
    "version 2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "no version": (b"GET /ping HTTP/\r\nHost: x\r\n\r\n", 400),
    "both lengths": (CHUNKED + b"Content-Length: 4\r\n\r\n4\r\nrows\r\n0\r\n\r\n", 400),
    "chunks in 1.0": (
        CHUNKED.replace(b"1.1", b"1.0") + b"\r\n4\r\nrows\r\n0\r\n\r\n",
        400,
    ),
    "two lengths": (ASK + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nrows", 400),
    "a list of lengths": (ASK + b"Content-Length: 4, 5\r\n\r\nrows", 400),
    "a signed length": (ASK + b"Content-Length: +4\r\n\r\nrows", 400),
    "a negative length": (ASK + b"Content-Length: -4\r\n\r\nrows", 400),
    "another encoding": (ASK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "two encodings": (CHUNKED + b"Transfer-Encoding: x\r\n\r\n0\r\n\r\n", 400),
    "an encoding in disguise": (ASK + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "a bare line feed": (PING.replace(b"\r\n", b"\n"), 400),
    "one of them": (b"GET /ping HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", 400),
    "one at the end": (b"GET /ping HTTP/1.1\r\nHost: x\r\n\n", 400),
    "one behind a chunk": (CHUNKED + b"\r\n4\r\nrows\r\n0\r\n\n", 400),
    "one before a chunk": (CHUNKED + b"\r\n4\nrows\r\n0\r\n\r\n", 400),
    "a folded line": (OPEN + b"X: a\r\n b\r\n\r\n", 400),
    "a space before a name": (b"GET /ping HTTP/1.1\r\n Host: x\r\n\r\n", 400),
    "a zero byte": (OPEN + b"X: a\0b\r\n\r\n", 400),
    "two hosts": (OPEN + b"Host: y\r\n\r\n", 400),
    "no host": (b"GET /ping HTTP/1.1\r\n\r\n", 400),
    "a long head at once": (OPEN + b"X: y\r\n" * 3000 + b"\r\n", 400),
    "a long head": (OPEN + b"X: " + b"y" * 20_000, 400),
    "a long line": (b"GET /" + b"y" * 20_000, 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
    "a chunk of a huge size": (CHUNKED + b"\r\n" + b"f" * 30 + b"\r\nx", 400),
    "a size that is none": (CHUNKED + b"\r\n0x4\r\nrows\r\n0\r\n\r\n", 400),
    "small chunks": (CHUNKED + b"\r\n" + b"1\r\nx\r\n" * 900 + b"0\r\n\r\n", 200),
    "thousands of them": (CHUNKED + b"\r\n" + b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n", 400),
    "thousands for nobody": (
        CHUNKED.replace(KNOWN, b"") + b"\r\n" + b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n",
        400,
    ),
    "no chunk for nobody": (CHUNKED.replace(KNOWN, b"") + b"\r\nnone\r\n\r\n", 400),
}


@pytest.mark.parametrize(("sent", "status"), FRAMED.values(), ids=FRAMED.keys())
def test_what_others_read_in_another_way_is_refused(
    serve: Serve, sent: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(server: Server) -> None:
        reader, writer = await server.connect(sent)
        answer = await read(reader)
        assert answer.startswith(b"HTTP/1.1 %d" % status), answer
        if status == 400:
            assert not await read(reader)  # What comes behind is no request.
        writer.close()
        assert b"pong" in await server.ask(PING)

    serve(test)
    assert not caplog.records


@pytest.mark.parametrize(
    ("shown", "status"),
    [(KNOWN, b"400"), (b"", b"401"), (KNOWN + b"Content-Encoding: gzip\r\n", b"415")],
    ids=["asks", "stranger", "refused"],
)
def test_what_stops_to_be_http_ends_the_connection(
    serve: Serve, shown: bytes, status: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(server: Server) -> None:
        reader, writer = await server.connect(CHUNKED.replace(KNOWN, shown) + b"\r\n2\r\nro\r\n")
        await asyncio.sleep(0.05)
        writer.write(b"none\r\n\r\n")
        answer = await read(reader)
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert not await read(reader)

    serve(test)
    assert not caplog.records


@pytest.mark.parametrize("step", [1, 7])
def test_a_request_may_arrive_in_any_pieces(serve: Serve, step: int) -> None:
    async def test(server: Server) -> None:
        sent = CHUNKED + b"\r\n4\r\nrows\r\n0\r\n\r\n"
        pieces = [sent[place : place + step] for place in range(0, len(sent), step)]
        assert (await server.ask(*pieces)).startswith(b"HTTP/1.1 200")

    serve(test)


def test_requests_may_follow_each_other_at_once(serve: Serve) -> None:
    async def test(server: Server) -> None:
        reader, _ = await server.connect(ROWS + PING + ROWS)
        found = b""
        while found.count(b"HTTP/1.1 200") < 3:
            found += await read(reader)

    serve(test)


@pytest.mark.parametrize(
    ("chunk", "count", "status"),
    [(b"x", 900, b"200"), (b"x", 1002, b"400"), (b"x" * 80, 1100, b"200")],
    ids=["few", "many", "larger"],
)
def test_chunks_are_counted_by_their_size_in_each_request(
    serve: Serve, chunk: bytes, count: int, status: bytes
) -> None:
    body = b"%x\r\n%s\r\n" % (len(chunk), chunk) * count
    request = CHUNKED + b"\r\n" + body + b"0\r\n\r\n"

    async def test(server: Server) -> None:
        reader, writer = await server.connect(request)
        assert (await read(reader)).startswith(b"HTTP/1.1 " + status)
        if status == b"200":
            writer.write(request)
            assert (await read(reader)).startswith(b"HTTP/1.1 200")

    serve(test)


def test_a_large_body_that_nobody_reads_ends_the_connection(serve: Serve) -> None:
    async def test(server: Server) -> None:
        head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n"
        answer = await server.ask(head)
        assert answer.startswith(b"HTTP/1.1 401")
        assert b"connection: close" in answer

    serve(test)
