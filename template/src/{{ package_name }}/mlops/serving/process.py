"""A worker process, as its supervisor sees it."""

import asyncio
import json
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_PROGRAM = str(Path(__file__).with_name("server.py"))


_SECONDS_TO_LOAD = 600


class LoadError(Exception):
    """A worker that did not get to serve its model, and why."""


class WorkerProcess:
    """A process that was started, and the channel to it.

    When the supervisor ends, in whatever way, its end of the channel closes: the worker ends too.

    Attributes:
        pid: the process's number.
        is_ready: whether it answers requests.
    """

    def __init__(
        self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.pid = process.pid
        self.is_ready = False

    @classmethod
    async def start(
        cls, listener: socket.socket, environment: Mapping[str, str]
    ) -> "WorkerProcess":
        """Start a process, which imports MLflow and waits to be told what to serve."""
        ours, theirs = socket.socketpair()
        with theirs:
            descriptors = (listener.fileno(), theirs.fileno())
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, _PROGRAM, *map(str, descriptors)),
                stdin=DEVNULL,
                pass_fds=descriptors,
                env=environment,
            )
        return cls(process, *await asyncio.open_connection(sock=ours))

    async def serve(self, order: Mapping[str, Any]) -> None:
        """Tell it what to serve, and wait until it does.

        Raises:
            LoadError: it does not.
        """
        message: dict[str, Any] = {}
        with suppress(OSError, ValueError, asyncio.TimeoutError):
            self._writer.write(json.dumps(order).encode() + b"\n")
            await self._writer.drain()
            line = await asyncio.wait_for(self._reader.readline(), _SECONDS_TO_LOAD)
            message = json.loads(line)
        if not message.get("ready"):
            self.kill()
            code = await self._process.wait()
            raise LoadError(message.get("failed") or f"the process ended with exit code {code}")
        self.is_ready = True

    def drain(self) -> None:
        """Let it end when nobody is connected to it any more, or has been silent for long."""
        self._send(b"drain\n")

    def stop(self) -> None:
        """Let it finish what it has begun, and end."""
        self._send(b"stop\n")

    def _send(self, line: bytes) -> None:
        with suppress(OSError):
            self._writer.write(line)

    async def gone(self) -> int:
        """Wait for its end; returns its exit code."""
        code = await self._process.wait()
        self._writer.close()
        return code

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()
