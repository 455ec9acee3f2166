"""A worker: one version of the model, loaded, behind the supervisor's listening socket."""

import asyncio
import gc
import json
import logging
import select
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from .app import App
from .metrics import RequestMetrics
from .model import Model
from .refusal import shortened
from .routes import routes_of

_LIBRARIES = ("kedro.io", "kedro.pipeline", "pandera.pandas", "skops.io", "sklearn.linear_model")


# Longer than proxies keep theirs (60 s): the one who closes an idle connection first loses nothing.
_SECONDS_IDLE = 75


_SECONDS_TO_LEAVE = 5


_SECONDS_TO_FINISH = 30


def main(listener: int, channel: int) -> None:
    """Wait for the supervisor to say what to serve, and serve it.

    Args:
        listener: file descriptor of the bound socket.
        channel: file descriptor of the socket to the supervisor. It sends a line of JSON; what
            comes after it, or its end, means to finish: "drain", when there is time for it.
            This side answers the first line with one.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    supervisor = socket.socket(fileno=channel)
    metrics = RequestMetrics()
    _import_until_told(supervisor)
    with supervisor.makefile("rb", buffering=0) as lines:  # Not a byte of what comes after it.
        line = lines.readline()
    if not line:  # The supervisor has found no model, and says so, or is gone.
        sys.exit(1)
    order = json.loads(line)
    name, version = order["name"], order["version"]
    try:
        model = Model.load(Path(order["folder"]), name, version, order["max_rows"])
    except Exception as error:
        logging.getLogger(__name__).exception("Loading %s version %s failed.", name, version)
        _tell(supervisor, {"failed": shortened(f"{type(error).__name__}: {error}", 300)})
        sys.exit(1)
    about = {"x-model-name": name, "x-model-version": version}
    app = App(routes_of(model), about, order["token"], order["max_bytes"], metrics)
    # What has been loaded stays: the garbage collector need not look through it while callers wait.
    gc.freeze()
    gc.enable()
    Server(app, supervisor).run(sockets=[Listener(fileno=listener)])


def _import_until_told(supervisor: socket.socket) -> None:
    """Import what a pipeline of this template needs, while the supervisor asks for its version."""
    for library in _LIBRARIES:
        if select.select([supervisor], [], [], 0)[0]:
            return
        with suppress(ImportError):
            import_module(library)


def _tell(supervisor: socket.socket, message: dict[str, Any]) -> None:
    supervisor.sendall(json.dumps(message).encode() + b"\n")


class Listener(socket.socket):
    """A socket that several processes listen on, and that gives this one connection at a time.

    asyncio takes all that are waiting; then the first worker to wake up has them all.
    """

    _has_given = False

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection, and none when called again at once."""
        if self._has_given:
            self._has_given = False
            raise BlockingIOError
        connection = super().accept()
        self._has_given = True
        return connection


class Server(uvicorn.Server):
    """uvicorn, told by its supervisor when to finish, and patient with open connections."""

    def __init__(self, app: App, supervisor: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                interface="asgi3",
                lifespan="off",
                ws="none",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_SECONDS_IDLE,
                timeout_graceful_shutdown=_SECONDS_TO_FINISH,
            )
        )
        self._app = app
        self._supervisor = supervisor
        self._leaving: asyncio.Task[None] | None = None
        self._last = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept, and tell the supervisor so."""
        await super().startup(sockets)
        asyncio.get_running_loop().add_reader(self._supervisor, self._listen)
        _tell(self._supervisor, {"ready": True})

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Finish on SIGTERM; Ctrl-C reaches the supervisor too, which then says so."""
        if sig == signal.SIGTERM:
            asyncio.get_running_loop().call_soon_threadsafe(self._leave_within, _SECONDS_TO_LEAVE)

    def _listen(self) -> None:
        message = self._supervisor.recv(1000)
        if not message:
            asyncio.get_running_loop().remove_reader(self._supervisor)
        is_patient = message.endswith(b"drain\n")
        self._leave_within(_SECONDS_IDLE + 1 if is_patient else _SECONDS_TO_LEAVE)

    def _leave_within(self, seconds: float) -> None:
        """Accept no more, and end when all connections are closed, or by then are idle."""
        loop = asyncio.get_running_loop()
        self._last = loop.time() + seconds
        if self._leaving is None:
            self._app.is_draining = True
            for server in self.servers:
                server.close()
            self._leaving = loop.create_task(self._leave())

    async def _leave(self) -> None:
        # uvicorn would close idle connections at once, and with them lose a request that is on its
        # way. They close by themselves: after the next answer, or when nothing comes any more.
        while self.server_state.connections and asyncio.get_running_loop().time() < self._last:
            await asyncio.sleep(0.05)
        self.should_exit = True
