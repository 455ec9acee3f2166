"""The supervisor with workers that are a page of Python, and what a worker hears of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

# Imported here: it counts in files once the variable of the tests is set.
import prometheus_client.multiprocess
import pytest

from tests.support.asgi import Asked
from tests.support.processes import wait_until
from tests.support.rooms import Rooms

# Speaks as worker.py does, and does what its folder's name says.
WORKER = """
import json, os, sys
order = json.loads(sys.stdin.readline() or sys.exit(1))
path = os.path.join(os.path.dirname(__file__), "log")
with open(path, "a") as log:
    counts = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    print(json.dumps({**order, "environment": counts}), file=log)
what = os.path.basename(order["folder"])
def is_first():
    try:
        os.mkdir(order["folder"])
    except FileExistsError:
        return False
    return True
if what == "fails" or (what == "once" and is_first()):
    print(json.dumps({"failed": "no such model"}), flush=True)
    sys.exit(1)
print("A line that is no reply.", flush=True)
print(json.dumps({"ready": True}), flush=True)
while line := sys.stdin.readline():
    with open(path, "a") as log:
        print(json.dumps({"told": line.strip(), "version": order["version"]}), file=log)
    if line.strip() in ("drain", "stop"):
        break
"""


@pytest.fixture
def server(mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = mlops("serving.server")
    (tmp_path / "worker.py").write_text(WORKER, encoding="utf-8")
    monkeypatch.setattr(module, "_PROGRAM", str(tmp_path / "worker.py"))
    monkeypatch.setattr(module, "_PAUSES", (0, 0.01))
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "of the shell")
    return module


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Put back who answers SIGTERM and Ctrl-C."""
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


def log(folder: Path) -> list[dict[str, Any]]:
    path = folder / "log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def told(folder: Path) -> list[tuple[str, str]]:
    return sorted((line["version"], line["told"]) for line in log(folder) if "told" in line)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it has not come about")


def serve(
    server: ModuleType,
    folder: Path,
    test: Callable[[Any], Coroutine[Any, Any, None]],
    workers: int = 2,
    first: str = "good",
    counts: Path | None = None,
) -> Any:
    """Serve version 1 by so many workers, let a test do something meanwhile, and stop."""

    failures: list[Exception] = []

    async def main() -> Any:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            supervisor = server.Supervisor(listener, workers, counts)

            async def meanwhile() -> None:
                try:
                    await until(lambda: len(supervisor._serving) == workers)
                    await test(supervisor)
                except Exception as error:  # It runs in the background.
                    failures.append(error)
                finally:
                    signal.raise_signal(signal.SIGTERM)

            version = server.ServedVersion("study", "1", folder / first)
            settings = {"token": None, "max_bytes": 5, "max_rows": 6}
            worker = supervisor.start_worker()
            done = supervisor.serve(version, worker, settings, "Serving.", meanwhile)
            await asyncio.wait_for(done, 60)
            if failures:
                raise failures[0]
            assert listener.fileno() == -1
            assert not supervisor._all
            return supervisor

    return asyncio.run(main())


def test_workers_are_told_what_to_serve_and_when_to_stop(
    server: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def nothing(supervisor: Any) -> None:
        assert len(supervisor._all) == 3

    supervisor = serve(server, tmp_path, nothing, workers=3)
    orders = [line for line in log(tmp_path) if "told" not in line]
    assert len(orders) == 3
    for order in orders:
        assert order.pop("listener") > 2
        assert order == {
            **{"token": None, "max_bytes": 5, "max_rows": 6, "name": "study", "version": "1"},
            **{"folder": str(tmp_path / "good"), "environment": None},
        }
    assert told(tmp_path) == [("1", "stop")] * 3
    assert supervisor.reloads == {"served": 0, "failed": 0}
    assert supervisor.restarts == 0
    assert capsys.readouterr().out == "Serving.\n"


def test_another_version_takes_over_once_all_its_workers_are_ready(
    server: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dropped: list[str] = []

    async def change(supervisor: Any) -> None:
        version = server.ServedVersion("study", "2", tmp_path / "good")
        assert await supervisor.change(version, lambda: dropped.append("1"))
        assert supervisor.served is version
        await until(lambda: dropped == ["1"])
        assert len(supervisor._serving) == 2

    supervisor = serve(server, tmp_path, change)
    assert told(tmp_path) == [("1", "drain")] * 2 + [("2", "stop")] * 2
    assert supervisor.reloads == {"served": 1, "failed": 0}
    assert supervisor.restarts == 0
    assert "Serving study version 2 now.\n" in capsys.readouterr().out


def test_a_version_that_does_not_load_changes_nothing(
    server: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def change(supervisor: Any) -> None:
        before = set(supervisor._serving)
        for what in ("fails", "once"):
            version = server.ServedVersion("study", "2", tmp_path / what)
            assert not await supervisor.change(version, lambda: pytest.fail("nothing was changed"))
            assert supervisor.served.version == "1"
            assert supervisor._serving == before

    supervisor = serve(server, tmp_path, change)
    assert supervisor.reloads == {"served": 0, "failed": 2}
    # What had loaded beside the one that has failed is stopped.
    assert set(told(tmp_path)) == {("1", "stop"), ("2", "stop")}
    screen = capsys.readouterr().err
    assert "study version 2 cannot be served (no such model): study version 1 is still" in screen


def test_a_worker_that_dies_is_replaced(
    server: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def die(supervisor: Any) -> None:
        worker = next(iter(supervisor._serving))
        worker.process.kill()
        await until(lambda: supervisor.restarts == 1)
        assert worker not in supervisor._serving
        await until(lambda: len(supervisor._serving) == 2)

    supervisor = serve(server, tmp_path, die)
    assert supervisor.restarts == 1
    assert "A worker has died (exit code -9): another one takes" in capsys.readouterr().err


def test_a_worker_that_does_not_start_is_tried_again(
    server: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "once").mkdir()

    async def die(supervisor: Any) -> None:
        (tmp_path / "once").rmdir()
        next(iter(supervisor._serving)).process.kill()
        await until(lambda: supervisor.restarts == 1)
        await until(lambda: len(supervisor._serving) == 1)

    supervisor = serve(server, tmp_path, die, workers=1, first="once")
    assert supervisor.restarts == 1
    assert "A worker does not start (no such model): trying again." in capsys.readouterr().err


def test_a_first_version_that_does_not_load_is_told(server: ModuleType, tmp_path: Path) -> None:
    async def nothing(supervisor: Any) -> None:
        pytest.fail("nothing is served")

    with pytest.raises(server.LoadError, match="no such model"):
        serve(server, tmp_path, nothing, first="fails")


def test_who_asks_twice_does_not_wait(
    server: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stop(supervisor: Any) -> None:
        workers = list(supervisor._all)
        # These never hear that they are to stop.
        monkeypatch.setattr(server.WorkerProcess, "tell", lambda self, order: None)
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(0.1)
        assert all(worker.process.poll() is None for worker in workers)
        signal.raise_signal(signal.SIGINT)
        await asyncio.gather(*(worker.ended for worker in workers))

    serve(server, tmp_path, stop)


def test_what_is_done_in_the_background_ends_before_the_workers_do(
    server: ModuleType, tmp_path: Path
) -> None:
    workers: list[int] = []

    async def for_ever(supervisor: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        try:
            await asyncio.sleep(60)
        finally:
            workers.append(len(supervisor._all))

    serve(server, tmp_path, for_ever)
    assert workers == [2]


def test_the_counts_of_a_worker_outlive_it(
    server: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead: list[tuple[int, str]] = []
    monkeypatch.setattr(
        prometheus_client.multiprocess, "mark_process_dead", lambda *given: dead.append(given)
    )

    async def nothing(supervisor: Any) -> None:
        """Stop at once."""

    serve(server, tmp_path, nothing, workers=1, counts=tmp_path)
    assert [folder for _, folder in dead] == [str(tmp_path)]
    assert log(tmp_path)[0]["environment"] == str(tmp_path)


# --- the champion ---


class Followed:
    """A supervisor that notes what it is to serve; version 3 does not load."""

    def __init__(self, served: Any) -> None:
        self.served = served
        self.asked: list[str] = []

    async def change(self, version: Any, afterwards: Callable[[], None]) -> bool:
        self.asked.append(version.version)
        if version.version == "3":
            return False
        self.served = version
        afterwards()
        return True


def test_each_new_champion_is_served_once(
    mlops: Rooms,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    champion, server = mlops("serving.champion"), mlops("serving.server")
    scratch, elsewhere = tmp_path / "scratch", tmp_path / "elsewhere"
    for folder in (elsewhere, *(scratch / number for number in "234")):
        folder.mkdir(parents=True)
    error = mlops("errors").TrackingError("MLflow is away.")
    # None of them: the registry does not answer.
    seen = iter([*"112", error, error, *"2333", error, "2", "3", "4"])
    left: list[list[str]] = []
    over: Callable[[], object] = list

    def find(config: Any) -> Any:
        found = next(seen, None)
        left.append(sorted(path.name for path in scratch.iterdir()))
        if found is None:
            over()
            found = "4"
        if isinstance(found, Exception):
            raise found
        return SimpleNamespace(name="study", version=found)

    def download(version: Any, given: Any) -> Path:
        folder = scratch / str(version.version)
        folder.mkdir(exist_ok=True)
        return folder

    monkeypatch.setattr(champion, "find", find)
    monkeypatch.setattr(champion, "download", download)
    config = mlops("config").KedroMlflowConfig(serving={"poll_seconds": 0.001})
    supervisor = Followed(server.ServedVersion("study", "1", elsewhere))

    async def follow() -> None:
        nonlocal over
        following = asyncio.ensure_future(champion.follow(supervisor, config, scratch))
        over = partial(asyncio.get_running_loop().call_soon_threadsafe, following.cancel)
        await following

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(follow())
    # The third does not load: it is left alone until another one was the champion.
    assert supervisor.asked == ["2", "3", "3", "4"]
    assert elsewhere.is_dir()
    assert left[-1] == ["4"]
    assert (
        capsys.readouterr().err.splitlines()
        == ["No new champion: MLflow is away. study version 2 is still served."] * 2
    )


def test_a_model_in_a_folder_says_which_version_it_is(mlops: Rooms, tmp_path: Path) -> None:
    packed = mlops("serving.champion").packed_model
    config = mlops("config").parse_config({"model": {"name": "sales"}})
    nothing = mlops("config").parse_config({})
    with pytest.raises(mlops("errors").TrackingError, match=r"there is no model \(no file MLmodel"):
        packed(tmp_path, config)
    model, note = tmp_path / "MLmodel", tmp_path / "registered_model_meta"
    for text, meta, given, name, version in (
        ("run_id: r1\n", None, config, "sales", "r1"),
        ("run_id: r1\nmodel_id: m-1\n", None, nothing, tmp_path.name, "m-1"),
        ("flavors: {}\n", None, config, "sales", "unknown"),
        ("run_id: r1\n", "model_name: other\nmodel_version: 7\n", config, "other", "7"),
    ):
        model.write_text(text, encoding="utf-8")
        if meta:
            note.write_text(meta, encoding="utf-8")
        found = packed(Path(os.path.relpath(tmp_path)), given)
        assert (found.name, found.version) == (name, version)
        assert found.folder.is_absolute()
    model.write_text("{", encoding="utf-8")
    with pytest.raises(mlops("errors").TrackingError, match="there is no model"):
        packed(tmp_path, config)


def test_without_a_model_in_mlflow_yml_there_is_none_to_serve(mlops: Rooms) -> None:
    with pytest.raises(mlops("errors").TrackingError, match=r"no model to serve: set model\.name"):
        mlops("serving.champion").find(mlops("config").parse_config({}))


# --- the worker ---


def test_a_worker_hears_orders_and_keeps_what_a_model_prints_to_itself(
    mlops: Rooms, tmp_path: Path
) -> None:
    import subprocess
    import sys

    from tests.support.rooms import SOURCE

    script = """
import os, sys
from importlib import import_module
sys.path.insert(0, sys.argv[1])
worker = import_module("{{ package_name }}.mlops.serving.worker")
channel = worker.Channel()
print("of the model", flush=True)
assert sys.stdin.readline() == ""
orders = [channel.orders.get() for _ in range(3)]
channel.reply({"orders": [order.decode() for order in orders]})
"""
    command = [sys.executable, "-c", script, str(SOURCE)]
    done = subprocess.run(command, input="one\ntwo\n", capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"orders": ["one\n", "two\n", ""]}
    assert "of the model" in done.stderr


def test_one_connection_is_taken_at_a_time(mlops: Rooms) -> None:
    worker = mlops("serving.worker")
    with socket.socket() as shared:
        shared.bind(("127.0.0.1", 0))
        shared.listen()
        listener = worker.Listener.of(os.dup(shared.fileno()))
        with listener, socket.socket() as first, socket.socket() as second:
            for each in (first, second):
                each.connect(shared.getsockname())
            for _ in range(2):
                listener.accept()[0].close()
                with pytest.raises(BlockingIOError):
                    listener.accept()


class Ordered:
    """A channel with these orders."""

    def __init__(self) -> None:
        from queue import SimpleQueue

        self.orders: SimpleQueue[bytes] = SimpleQueue()
        self.replies: list[Any] = []
        self.reply = self.replies.append


@pytest.mark.parametrize(
    ("order", "seconds"), [(b"drain\n", 76), (b"stop\n", 5), (b"", 5), ("SIGTERM", 5)]
)
def test_a_worker_that_is_to_finish_waits_for_open_connections_but_not_for_ever(
    mlops: Rooms, order: Any, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = mlops("serving.worker")

    async def main() -> None:
        channel, app = Ordered(), SimpleNamespace(is_draining=False)
        connections = SimpleNamespace()
        server = worker.Server(app, channel, connections)
        server.config.load()
        closed: list[int] = []
        server.servers = [SimpleNamespace(close=lambda: closed.append(1))]
        loop = SimpleNamespace(time=lambda: 1000.0)
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
        server.server_state.connections.add("open")
        assert not await server.on_tick(1)
        assert (app.is_draining, closed) == (False, [])
        if order == "SIGTERM":
            server.handle_exit(signal.SIGINT, None)
            assert channel.orders.empty()
            server.handle_exit(signal.SIGTERM, None)
        else:
            channel.orders.put(order)
        assert not await server.on_tick(1)
        assert (app.is_draining, closed) == (True, [1])
        loop.time = lambda: 1000.0 + seconds - 0.1
        assert not await server.on_tick(1)
        loop.time = lambda: 1000.0 + seconds
        assert await server.on_tick(1)
        assert server.should_exit
        other = worker.Server(app, channel, connections)
        other.config.load()
        assert await other.on_tick(1)  # Nobody is connected.

    asyncio.run(main())


def test_protocols_that_were_not_rendered_have_no_routes(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = mlops("serving.worker")
    schema = SimpleNamespace(columns=[])
    model = SimpleNamespace(
        name="study", version="1", schema=schema, outputs=[], example={}, max_rows=1
    )
    both = worker.routes_of(model)
    assert {"/invocations", "/ping", "/v2/models/study/infer"} <= both.keys()
    monkeypatch.setattr(worker, "is_rendered", lambda module: "v2" not in module)
    assert {path for path in both if not path.startswith("/v2")} == worker.routes_of(model).keys()


# --- metrics ---


def test_what_is_asked_is_counted(mlops: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = prometheus_client.CollectorRegistry()
    for name in ("Counter", "Gauge", "Histogram"):
        kind = getattr(prometheus_client, name)

        def made(*given: Any, kind: Any = kind, **named: Any) -> Any:
            return kind(*given, **named, registry=counted)

        monkeypatch.setattr(prometheus_client, name, made)
    app, routes = mlops("serving.app"), {}
    metrics = mlops("serving.metrics").RequestMetrics()
    in_flight: list[Any] = []

    def value(name: str, **labels: str) -> Any:
        return counted.get_sample_value(name, labels)

    def predict(body: bytes, headers: Any) -> tuple[bytes, int]:
        in_flight.append(value("serving_requests_in_flight"))
        if body == b"bad":
            raise app.RefusalError("no")
        return b"{}", 3

    routes["/invocations"] = app.Route("/invocations", predict=predict)
    asked = Asked(app.App(routes, {}, None, 10, metrics))
    for body in (b"rows", b"rows", b"bad"):
        asked.ask("/invocations", body)
    asked.ask("/nothing")
    requests = "serving_requests_total"
    assert value(requests, route="/invocations", status="200") == 2
    assert value(requests, route="/invocations", status="400") == 1
    assert value(requests, route="other", status="404") == 1
    assert value("serving_request_seconds_count", route="/invocations") == 3
    assert 0 < value("serving_request_seconds_sum", route="/invocations") < 60
    assert value("serving_rows_total") == 6
    assert in_flight == [1, 1, 1]
    assert value("serving_requests_in_flight") == 0


def test_prometheus_is_told_of_model_reloads_and_restarts(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import urllib.request

    from tests.support.machine import free_port

    server, metrics = mlops("serving.server"), mlops("serving.exposition")
    served = server.ServedVersion("study", "3", tmp_path)
    supervisor = SimpleNamespace(served=served, reloads={"served": 2, "failed": 1}, restarts=4)
    port = free_port()
    monkeypatch.setattr(metrics._Handler, "timeout", 60)  # Idle clients stay connected.
    before = threading.active_count()
    with metrics.exposed(supervisor, tmp_path, "127.0.0.1", port):
        url = f"http://127.0.0.1:{port}/metrics"
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
        idle[-1].settimeout(20)
        assert idle[-1].recv(1) == b""  # There are few places: strangers are no threads.
        assert threading.active_count() - before < 20
        for connection in idle:
            connection.close()
        wait_until(lambda: threading.active_count() <= before + 1)
        text = urllib.request.urlopen(url, timeout=10).read().decode()
        with (
            pytest.raises(mlops("errors").TrackingError, match=f"--metrics-port {port}: .*another"),
            metrics.exposed(supervisor, tmp_path, "127.0.0.1", port),
        ):
            pass
    for line in (
        'serving_model_info{name="study",version="3"} 1.0',
        'serving_reloads_total{outcome="served"} 2.0',
        'serving_reloads_total{outcome="failed"} 1.0',
        "serving_worker_restarts_total 4.0",
    ):
        assert f"\n{line}\n" in f"\n{text}"
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=10)
