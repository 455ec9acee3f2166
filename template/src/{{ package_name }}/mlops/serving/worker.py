"""A worker: the program that serves one version of the model; `server.py` starts and tells it.

The project's package is not imported here, because the model brings the one it was trained with. As
a program, this file imports what it needs of `mlops/` under another name, and takes its folder off
the path: a model whose code imports an `app` or `model` of its own must not get these.
"""

import gc
import sys
from pathlib import Path
from types import ModuleType

if __name__ == "__main__":
    gc.disable()  # Until the model is loaded: most of what is made until then stays.
    folder = Path(__file__).parent
    sys.path[:] = [path for path in sys.path if path != str(folder)]
    sys.modules["kedro_mlflow_server"] = mlops = ModuleType("kedro_mlflow_server")
    mlops.__path__ = [str(folder.parent)]
    __package__ = f"kedro_mlflow_server.{folder.name}"

import asyncio
import errno
import io
import json
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from queue import SimpleQueue
from types import FrameType
from typing import Any

import uvicorn

from ..errors import shortened
from ..model.environment import give_up_tracing
from ..project import is_rendered
from .app import App, Route
from .connections import SECONDS_IDLE, Connection, Connections
from .metrics import FOLDER, RequestMetrics
from .model import Model

# The second is rendered only where KServe asks.
_PROTOCOLS = ("mlflow_protocol", "v2_protocol", "openapi")
# What a pipeline of this template imports.
_LIBRARIES = ("kedro.io", "kedro.pipeline", "pandera.pandas", "skops.io", "sklearn.linear_model")
_TICKS_OF_SWEEP = 10  # Of a tenth of a second.
_SECONDS_TO_LEAVE = 5
_SECONDS_TO_FINISH = 30


def main() -> None:
    """Wait for the supervisor to say what to serve, and serve it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to answer.
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    give_up_tracing()
    channel = Channel()
    metrics = RequestMetrics() if FOLDER in os.environ else None
    for library in _LIBRARIES:  # While the supervisor asks for the version.
        if channel.orders.empty():
            with suppress(ImportError):
                import_module(library)
    line = channel.orders.get()
    if not line:  # The supervisor has found no model, and says so, or is gone.
        sys.exit(1)
    order = json.loads(line)
    os.environ.update(order["environment"])
    name, version = order["name"], order["version"]
    try:
        limits = order["max_rows"], order["max_cells"]
        model = Model.load(Path(order["folder"]), name, version, *limits)
    except Exception as error:
        logging.getLogger(__name__).exception("Loading %s version %s failed.", name, version)
        channel.reply({"failed": shortened(f"{type(error).__name__}: {error}", 300)})
        sys.exit(1)
    if metrics and is_rendered("monitoring"):
        traffic = import_module("..monitoring.traffic", __package__)
        watched = traffic.watched(model.predict, Path(order["folder"]), name, version)
        vars(model)["predict"] = watched
    max_bytes = int(order["max_megabytes"] * 1e6)
    about = {"x-model-name": name, "x-model-version": version}
    app = App(routes_of(model), about, order["token"], max_bytes, metrics, order["body_seconds"])
    # What has been loaded stays: the garbage collector need not look through it while callers wait.
    gc.freeze()
    gc.enable()
    seconds = order["head_seconds"], order["body_seconds"]
    connections = Connections(order["max_connections"], *seconds)
    listener = Listener.of(order["listener"])
    listener.refuses = connections.shortage
    Server(app, channel, connections).run(sockets=[listener])


def routes_of(model: Model) -> dict[str, Route]:
    """Return the routes of each protocol whose module was rendered, by path."""
    routes: dict[str, Route] = {}
    for protocol in _PROTOCOLS:
        if is_rendered(f"serving.{protocol}"):
            routes |= import_module(f".{protocol}", __package__).routes(model)
    return routes


class Channel:
    """Orders of the supervisor, a line each, and the reply to the first one, a line of JSON.

    The first order is a JSON object. A later one means to finish: "drain", when there is time for
    it, or "stop". So does the end of the orders.
    """

    def __init__(self) -> None:
        """Take over standard input and output; what the model reads is empty."""
        self.orders: SimpleQueue[bytes] = SimpleQueue()  # Empty bytes are their end.
        self._orders = io.FileIO(os.dup(0))  # Unbuffered: Python ends while a thread reads it.
        self._replies = io.FileIO(os.dup(1), "w")
        with Path(os.devnull).open() as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)  # What the model prints is no reply.
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        line = b"\n"
        while line:
            line = self._orders.readline()
            self.orders.put(line)

    def reply(self, message: dict[str, Any]) -> None:
        """Answer the first order: `ready`, or `failed` and why."""
        self._replies.write(json.dumps(message).encode() + b"\n")


class Listener(socket.socket):
    """A socket that several processes listen on, and that gives this one connection at a time.

    asyncio takes all that are waiting; then the first worker to wake up has them all. Without a
    file descriptor left, it would write a traceback and wait, each time again: here an idle
    connection leaves, or the new one is taken by a descriptor that is kept for it, and closed.
    """

    _has_given = False
    _spare: int | None = None
    refuses: Callable[[], bool] = staticmethod(lambda: True)

    @classmethod
    def of(cls, shared: int | str) -> "Listener":
        """Take what the supervisor has shared: a descriptor, or on Windows a copy of the socket."""
        if sys.platform == "win32":
            return cls(fileno=socket.fromshare(bytes.fromhex(str(shared))).detach())
        return cls(fileno=int(shared))

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection, and none when called again at once."""
        if self._has_given:
            self._has_given = False
            raise BlockingIOError
        if self._spare is None:
            self._spare = os.open(os.devnull, os.O_RDONLY)
        try:
            connection = super().accept()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            if self.refuses():
                os.close(self._spare)
                with suppress(OSError):
                    super().accept()[0].close()
                self._spare = os.open(os.devnull, os.O_RDONLY)
            raise BlockingIOError from error
        self._has_given = True
        return connection


class Server(uvicorn.Server):
    """uvicorn, told by the supervisor when to finish, and patient with open connections."""

    def __init__(self, app: App, channel: Channel, connections: Connections) -> None:
        config = uvicorn.Config(
            app,
            http=partial(Connection, connections),  # type: ignore[arg-type]
            # Windows' other loop cannot share a socket with other processes. Elsewhere not `auto`:
            # that takes uvloop if another library has brought it, and nothing here was tried on it.
            loop="asyncio:SelectorEventLoop" if sys.platform == "win32" else "asyncio",
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=SECONDS_IDLE,
            timeout_graceful_shutdown=_SECONDS_TO_FINISH,
        )
        super().__init__(config)
        self._app = app
        self._channel = channel
        self._connections = connections
        self._last = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections, and tell the supervisor so."""
        await super().startup(sockets)
        self._channel.reply({"ready": True})

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Finish on SIGTERM; Ctrl-C reaches the supervisor too, which then says so."""
        if sig == signal.SIGTERM:
            self._channel.orders.put(b"stop\n")

    async def on_tick(self, counter: int) -> bool:
        """Once told to finish, accept no more, and end when connections are closed, or late."""
        now = asyncio.get_running_loop().time()
        if counter % _TICKS_OF_SWEEP == 0:
            self._connections.sweep(now)
        while not self._channel.orders.empty():
            is_drain = self._channel.orders.get() == b"drain\n"
            self._last = now + (SECONDS_IDLE + 1 if is_drain else _SECONDS_TO_LEAVE)
            self._app.is_draining = True
            for server in self.servers:
                server.close()
        # uvicorn would close idle connections at once, and with them lose a request that is on its
        # way. They close by themselves: after the next answer, or when nothing comes any more.
        if self._app.is_draining and (not self.server_state.connections or now >= self._last):
            self.should_exit = True
        return await super().on_tick(counter)


if __name__ == "__main__":
    main()
