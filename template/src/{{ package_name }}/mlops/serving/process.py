"""A worker process, as the supervisor sees it: started, told what to do by lines, waited for."""

import asyncio
import json
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any, TypeVar

Result = TypeVar("Result")

_PROGRAM = str(Path(__file__).with_name("worker.py"))
_SECONDS_TO_LOAD = 600


class LoadError(Exception):
    """A worker did not load its model; the message says why."""


@dataclass(eq=False)
class WorkerProcess:
    """A worker process. It ends when its standard input does, which is when the supervisor ends.

    Attributes:
        process: the process.
        ended: its exit code, once it has ended.
        listener: how it gets the socket to accept connections from.
        is_ready: whether it answers requests.
    """

    process: "Popen[bytes]"
    ended: "asyncio.Future[int]"
    listener: int | str
    is_ready: bool = False

    @classmethod
    def start(cls, listener: socket.socket, environment: Mapping[str, str]) -> "WorkerProcess":
        """Start a process, which imports libraries until `load` tells it what to load."""
        options: dict[str, Any] = {"stdin": PIPE, "stdout": PIPE, "bufsize": 0, "env": environment}
        if sys.platform != "win32":
            options["pass_fds"] = [listener.fileno()]
        process = Popen([sys.executable, _PROGRAM], **options)
        # Not asyncio's own processes: they count as running while a child of theirs has the pipes.
        ended = asyncio.ensure_future(in_thread(process.wait))
        if sys.platform == "win32":  # No descriptor is inherited there; the socket is copied.
            return cls(process, ended, listener.share(process.pid).hex())
        return cls(process, ended, listener.fileno())

    async def load(self, order: Mapping[str, Any]) -> None:
        """Let it load a version and accept connections.

        Raises:
            LoadError: it cannot.
        """
        self.tell(json.dumps({**order, "listener": self.listener}))
        reply = asyncio.ensure_future(in_thread(self._reply))
        either: set[asyncio.Future[Any]] = {reply, self.ended}
        await asyncio.wait(either, timeout=_SECONDS_TO_LOAD, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({reply}, timeout=1)  # The end may be known before the last words are.
        message = reply.result() if reply.done() else {}
        if not message.get("ready"):
            self.process.kill()
            code = await self.ended
            raise LoadError(message.get("failed") or f"the process ended with exit code {code}")
        self.is_ready = True

    def _reply(self) -> dict[str, Any]:
        for line in self.process.stdout or ():
            with suppress(ValueError):  # Something that Python prints when it starts.
                return dict(json.loads(line))
        return {}

    def tell(self, order: str) -> None:
        """Send an order: the first is what to load; then `drain` or `stop`, as worker.py has it."""
        assert self.process.stdin
        with suppress(OSError):
            self.process.stdin.write(f"{order}\n".encode())


async def in_thread(work: Callable[[], Result]) -> Result:
    """Do something slow in a thread that does not keep the program from ending."""
    future: Future[Result] = Future()
    future.set_running_or_notify_cancel()

    def call() -> None:
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return await asyncio.wrap_future(future)
