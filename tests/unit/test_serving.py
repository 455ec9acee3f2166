"""The parts of the server, where over HTTP one would have to wait, or cannot look."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.support.rooms import Rooms

Module = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def serving(mlops: Rooms) -> Module:
    package = mlops("project").PACKAGE
    return lambda name: import_module(f"{package}.mlops.serving.{name}")


def app_of(serving: Module, predict: Callable[..., Any]) -> Any:
    route = serving("app").Route
    routes = {
        "/invocations": route("/invocations", predict=predict),
        "/ping": route("/ping", b"pong", is_open=True),
    }
    return serving("app").App(routes, {"x-model-version": "7"}, None, 1000, None)


async def ask(app: Any, path: str, body: bytes = b"") -> tuple[int, dict[bytes, bytes], bytes]:
    """Ask an application as uvicorn does."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    method = "POST" if body else "GET"
    await app({"path": path, "method": method, "headers": []}, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def test_a_model_that_fails_is_the_logs_business_and_not_the_callers(
    serving: Module, caplog: pytest.LogCaptureFixture
) -> None:
    def predict(body: bytes, headers: object) -> tuple[bytes, int]:
        raise ZeroDivisionError("CANARY")

    app = app_of(serving, predict)
    with caplog.at_level(logging.ERROR):
        status, _, content = asyncio.run(ask(app, "/invocations", b"rows"))
    assert status == 500
    assert json.loads(content) == {
        "error_code": "INTERNAL_SERVER_ERROR",
        "message": "The model has failed on these rows; the server's log says why.",
    }
    assert "ZeroDivisionError: CANARY" in caplog.text


def test_a_model_that_takes_its_time_keeps_nobody_from_asking_whether_it_is_well(
    serving: Module,
) -> None:
    order = []

    def predict(body: bytes, headers: object) -> tuple[bytes, int]:
        time.sleep(0.3)
        order.append("predicted")
        return b"{}", 1

    async def both() -> None:
        app = app_of(serving, predict)
        await ask(app, "/invocations", b"the first one, by which it is known to be slow")
        predicting = asyncio.ensure_future(ask(app, "/invocations", b"rows"))
        await asyncio.sleep(0)
        await ask(app, "/ping")
        order.append("pinged")
        await predicting

    asyncio.run(both())
    assert order == ["predicted", "pinged", "predicted"]


def test_a_worker_that_others_replace_ends_each_connection_with_an_answer(serving: Module) -> None:
    app = app_of(serving, lambda body, headers: (b"{}", 1))
    assert b"connection" not in asyncio.run(ask(app, "/invocations", b"rows"))[1]
    app.is_draining = True
    status, headers, _ = asyncio.run(ask(app, "/invocations", b"rows"))
    assert (status, headers[b"connection"]) == (200, b"close")


def read(serving: Module, receive: Callable[[], Awaitable[Any]], **options: Any) -> Any:
    return asyncio.run(serving("app").read_body({}, receive, 1000, **options))


def test_a_body_that_does_not_arrive_is_not_waited_for(serving: Module) -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    with pytest.raises(Exception, match=r"did not arrive within 0\.05 seconds") as refused:
        read(serving, receive, seconds=0.05)
    assert refused.value.status == 408  # type: ignore[attr-defined]


def test_a_body_without_end_is_given_up(serving: Module) -> None:
    parts = 0

    async def receive() -> dict[str, Any]:
        nonlocal parts
        parts += 1
        return {"type": "http.request", "body": b" " * 10_000_000, "more_body": True}

    with pytest.raises(Exception, match=r"larger than 0\.001 MB"):
        read(serving, receive)
    assert parts < 100


DIES = """
import os, sys, time
sys.stdin.readline()
if os.fork() == 0:
    time.sleep(10)
    os._exit(0)
print({reply!r}, flush=True)
os._exit(7)
"""


def outlived(serving: Module, program: Path, monkeypatch: pytest.MonkeyPatch, reply: str) -> int:
    """Load a worker that dies and leaves behind a child that has all its files open."""
    process = serving("server")
    program.write_text(DIES.format(reply=reply))
    monkeypatch.setattr(process, "_PROGRAM", str(program))

    async def code() -> int:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            worker = process.WorkerProcess.start(listener, dict(os.environ))
            await asyncio.wait_for(worker.load({}), 8)
            return int(await asyncio.wait_for(worker.ended, 8))

    return asyncio.run(code())


def test_a_worker_has_died_whatever_its_model_has_left_running(
    serving: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = 'Something that Python prints when it starts.\n{"ready": true}'
    assert outlived(serving, tmp_path / "worker.py", monkeypatch, reply) == 7


def test_a_worker_that_dies_while_it_loads_says_what_it_could(
    serving: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for reply, why in [('{"failed": "no such file"}', "no such file"), ("", "exit code 7")]:
        with pytest.raises(serving("server").LoadError, match=why):
            outlived(serving, tmp_path / "worker.py", monkeypatch, reply)


def test_a_body_that_comes_in_parts_is_read_whole(serving: Module) -> None:
    parts = iter([(b"one,", True), (b"", True), (b"two,", True), (b"three", False)])

    async def receive() -> dict[str, Any]:
        part, more = next(parts)
        return {"type": "http.request", "body": part, "more_body": more}

    assert read(serving, receive) == b"one,two,three"


def test_a_sender_who_leaves_in_the_middle_has_sent_nothing(serving: Module) -> None:
    messages = iter([{"type": "http.request", "body": b"one,", "more_body": True}])

    async def receive() -> dict[str, Any]:
        return next(messages, {"type": "http.disconnect"})

    assert read(serving, receive) is None


@pytest.mark.parametrize("shape", ["instances", "inputs"])
@pytest.mark.parametrize("rows", [[1, 2], [[1], [2]], [{"x": 1}, {"x": 2}]], ids=str)
def test_a_model_of_one_column_takes_rows_that_are_values(
    serving: Module, mlops: Rooms, shape: str, rows: list[Any]
) -> None:
    one = mlops("model.schema").Schema.of_signature('[{"name": "x", "type": "double"}]')
    model = SimpleNamespace(schema=one, check_names=one.check_names, max_rows=10, max_cells=9)
    columns = serving("mlflow_protocol")._columns_of_json({shape: rows}, model)
    assert list(columns) == ["x"]
    assert list(columns["x"]) == [1, 2]


DECLARED = [
    ({b"content-length": b"1000"}, True),
    ({b"content-length": b"1000", b"expect": b"100-continue"}, True),
    ({b"content-length": b"1001", b"expect": b"100-continue"}, False),
    ({b"content-length": b"1001"}, True),
    ({b"content-length": b"250001000"}, True),
    ({b"content-length": b"250001001"}, False),
]


@pytest.mark.parametrize(("headers", "is_read"), DECLARED, ids=range(len(DECLARED)))
def test_a_body_that_says_it_is_too_large_is_not_waited_for(
    serving: Module, headers: dict[bytes, bytes], is_read: bool
) -> None:
    asked: list[bool] = []

    async def receive() -> dict[str, Any]:
        asked.append(True)
        return {"type": "http.request", "body": b"rows"}

    app = serving("app")
    if is_read:
        assert asyncio.run(app.read_body(headers, receive, 1000)) == b"rows"
    else:
        with pytest.raises(app.RefusalError, match=r"larger than 0\.001 MB") as refused:
            asyncio.run(app.read_body(headers, receive, 1000))
        assert (refused.value.status, refused.value.headers) == (413, ((b"connection", b"close"),))
    assert bool(asked) is is_read


@pytest.mark.parametrize(("size", "taken"), [(999, True), (1000, True), (1001, False)])
def test_the_bound_of_a_body_is_exact(serving: Module, size: int, taken: bool) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x" * size}

    if taken:
        assert len(read(serving, receive)) == size
    else:
        with pytest.raises(serving("app").RefusalError):
            read(serving, receive)


def test_who_stops_the_server_is_not_told_of_a_late_body(serving: Module) -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    async def stopped() -> None:
        task = asyncio.ensure_future(serving("app").read_body({}, receive, 1000))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(stopped())


def test_a_large_body_is_predicted_for_beside_the_event_loop(serving: Module) -> None:
    threads: list[str] = []

    def predict(body: bytes, headers: object) -> tuple[bytes, int]:
        threads.append(threading.current_thread().name)
        return b"{}", 1

    app = app_of(serving, predict)
    app.max_bytes = 100_000
    for size in (1, 16_000, 16_001):
        assert asyncio.run(ask(app, "/invocations", b" " * size))[0] == 200
    loop = threading.main_thread().name
    assert threads[:2] == [loop, loop]
    assert threads[2].startswith("predict")


@pytest.mark.parametrize(
    ("names", "text"),
    [([], ""), (list("abcde"), "a, b, c, d, e"), (list("abcdefg"), "a, b, c, d, e and 2 more")],
)
def test_of_many_names_the_first_are_listed(mlops: Rooms, names: list[str], text: str) -> None:
    assert mlops("errors").listed(names) == text


def test_a_text_of_the_requests_is_one_line_of_bounded_length(mlops: Rooms) -> None:
    shortened = mlops("errors").shortened
    assert shortened(" a\n b ") == "a b"
    assert shortened("x" * 500) == "x" * 500
    assert shortened("x" * 501) == f"{'x' * 497}..."
    assert len(mlops("errors").shown("y" * 1000)) < 50


def test_what_its_caller_has_left_is_not_begun(
    serving: Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[bytes] = []
    bodies: list[Callable[[], bytes]] = []
    caller = serving("app").Caller

    def waiting(*given: Any) -> Any:
        made = caller(*given)
        bodies.append(lambda: bytes(made.body))
        return made

    monkeypatch.setattr(serving("app"), "Caller", waiting)
    may_end = threading.Event()

    def predict(body: bytes, headers: object) -> tuple[bytes, int]:
        begun.append(body)
        may_end.wait(60)
        return b"{}", 1

    async def leave(app: Any) -> list[Any]:
        sent: list[Any] = []
        messages = iter([{"type": "http.request", "body": b"left"}, {"type": "http.disconnect"}])

        async def receive() -> Any:
            return next(messages)

        async def send(message: Any) -> None:
            sent.append(message)

        await app({"path": "/invocations", "method": "POST", "headers": []}, receive, send)
        return sent

    async def main() -> None:
        app = app_of(serving, predict)
        app._usual_seconds = 1.0  # A slow model: each has a thread.
        others = [asyncio.ensure_future(ask(app, "/invocations", b"rows")) for _ in range(4)]
        while len(begun) < 4:
            await asyncio.sleep(0.01)
        assert await asyncio.wait_for(leave(app), 30) == []
        assert [body() for body in bodies] == [b"rows"] * 4 + [b""]
        may_end.set()
        assert [status for status, _, _ in await asyncio.gather(*others)] == [200] * 4
        assert (await ask(app, "/invocations", b"last"))[0] == 200

    asyncio.run(main())
    assert begun == [b"rows"] * 4 + [b"last"]


@pytest.mark.parametrize(
    "header", [(b"content-length", b"1000"), (b"transfer-encoding", b"chunked")]
)
def test_so_many_bodies_are_held_at_once(serving: Module, header: tuple[bytes, bytes]) -> None:
    async def main() -> None:
        app = app_of(serving, lambda body, headers: (b"{}", 1))
        arrived = asyncio.Event()
        statuses: list[int] = []

        async def receive() -> Any:
            await arrived.wait()
            return {"type": "http.request", "body": b"x" * 1000}

        async def send(message: Any) -> None:
            statuses.extend([message["status"]] if "status" in message else [])

        async def large() -> None:
            scope = {"path": "/invocations", "method": "POST", "headers": [header]}
            await app(scope, receive, send)

        waiting = [asyncio.ensure_future(large()) for _ in range(10)]
        await asyncio.sleep(0)
        await large()
        assert statuses == [503]
        arrived.set()
        await asyncio.gather(*waiting)
        await large()
        assert statuses == [503, *[200] * 11]

    asyncio.run(main())
