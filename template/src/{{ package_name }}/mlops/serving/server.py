"""The supervisor: keeps the wanted number of workers on the wanted version of the model.

Requests do not pass through it: the workers accept connections from its socket.
"""

import asyncio
import json
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any, TypeVar

from ..model.environment import variables
from .metrics import FOLDER

Result = TypeVar("Result")

_PROGRAM = str(Path(__file__).with_name("worker.py"))
_SECONDS_TO_LOAD = 600
_SECONDS_TO_END = 45  # A worker gives itself less.
_PAUSES = (0, 1, 2, 4, 8)


class LoadError(Exception):
    """A worker did not load its model; the message says why."""


@dataclass(eq=False)
class WorkerProcess:
    """A worker process. It ends when its standard input does, which is when the supervisor ends."""

    process: "Popen[bytes]"
    ended: "asyncio.Future[int]"  # Its exit code.
    listener: int | str  # How it gets the socket to accept connections from.
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
        """Let it load a version and accept connections."""
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


@dataclass(frozen=True)
class ServedVersion:
    """A version of a model, and its files on this machine."""

    name: str
    version: str
    folder: Path

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"


class Supervisor:
    """Starts workers, replaces those that die, and all of them when there is a new version."""

    def __init__(self, listener: socket.socket, wanted: int, counts: Path | None = None) -> None:
        """Keep the bound socket of all workers, how many to run, and the folder of their counts."""
        self._listener = listener
        self._environment = variables()
        if counts:
            self._environment[FOLDER] = str(counts)
        self._wanted = wanted
        self._settings: Mapping[str, Any] = {}
        self.served: ServedVersion | None = None
        self.reloads = {"served": 0, "failed": 0}  # Of new champions.
        self.restarts = 0
        self._serving: set[WorkerProcess] = set()
        self._all: set[WorkerProcess] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def start_worker(self) -> WorkerProcess:
        """Start a worker, which waits for the version to load."""
        worker = WorkerProcess.start(self._listener, self._environment)
        self._all.add(worker)
        worker.ended.add_done_callback(partial(self._forget, worker))
        return worker

    async def serve(
        self,
        version: ServedVersion,
        first: WorkerProcess,
        settings: Mapping[str, Any],
        greeting: str,
        meanwhile: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        """Serve a version, or what `change` puts in its place, until SIGTERM or Ctrl-C.

        Once `first`, a worker that waits for its orders, answers, the greeting is printed, and
        `meanwhile` runs. The settings are token, max_bytes and max_rows of each worker.
        """
        stopped = asyncio.Event()
        self._on_signals(stopped)
        self.served, self._settings = version, settings
        loading = asyncio.ensure_future(self._load(first, version))
        stopping = asyncio.ensure_future(stopped.wait())
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not stopped.is_set():
            self._adopt(loading.result())
            print(greeting, flush=True)
            for _ in range(self._wanted - 1):
                self._in_background(self._add())
            if meanwhile:
                self._in_background(meanwhile())
            await stopping
        loading.cancel()
        self._listener.close()
        await self._stop()

    async def change(self, version: ServedVersion, afterwards: Callable[[], None]) -> bool:
        """Serve another version without losing a request, and return whether it is served now.

        One that does not load changes nothing. `afterwards` is called when the old version has
        given its last answer.
        """
        loads = [self._load(self.start_worker(), version) for _ in range(self._wanted)]
        results = await asyncio.gather(*loads, return_exceptions=True)
        new = [result for result in results if isinstance(result, WorkerProcess)]
        if failures := [result for result in results if isinstance(result, BaseException)]:
            for worker in new:
                worker.tell("stop")
            if not isinstance(failures[0], LoadError):
                raise failures[0]
            say(f"{version} cannot be served ({failures[0]}): {self.served} is still served.")
            self.reloads["failed"] += 1
            return False
        old, self._serving = self._serving, set()
        self.served = version
        for worker in new:
            self._adopt(worker)
        for worker in old:
            worker.tell("drain")
        print(f"Serving {version} now.", flush=True)
        self.reloads["served"] += 1
        ended = asyncio.gather(*(worker.ended for worker in old))
        ended.add_done_callback(lambda _: afterwards())
        return True

    def kill(self) -> None:
        """End all workers at once."""
        for worker in self._all:
            worker.process.kill()

    def _on_signals(self, stopped: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()

        def stop() -> None:
            if stopped.is_set():  # Whoever asks twice does not want to wait.
                self.kill()
            stopped.set()

        for each in (signal.SIGTERM, signal.SIGINT):  # Windows lacks loop.add_signal_handler.
            signal.signal(each, lambda *_: loop.call_soon_threadsafe(stop))

    def _in_background(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load(self, worker: WorkerProcess, version: ServedVersion) -> WorkerProcess:
        about = {"name": version.name, "version": version.version, "folder": str(version.folder)}
        await worker.load({**self._settings, **about})
        return worker

    def _adopt(self, worker: WorkerProcess) -> None:
        self._serving.add(worker)
        worker.ended.add_done_callback(partial(self._replace, worker))

    def _replace(self, worker: WorkerProcess, ended: "asyncio.Future[int]") -> None:
        if worker in self._serving:  # It was not told to end.
            self._serving.remove(worker)
            say(f"A worker has died (exit code {ended.result()}): another one takes its place.")
            self.restarts += 1
            self._in_background(self._add())

    def _forget(self, worker: WorkerProcess, ended: "asyncio.Future[int]") -> None:
        self._all.discard(worker)
        if counts := self._environment.get(FOLDER):  # What it has done stays counted.
            from prometheus_client.multiprocess import mark_process_dead

            mark_process_dead(worker.process.pid, counts)

    async def _add(self) -> None:
        """Add one worker, however long it takes."""
        for pause in chain(_PAUSES, repeat(15)):
            await asyncio.sleep(pause)
            version = self.served
            assert version is not None
            try:
                worker = await self._load(self.start_worker(), version)
            except LoadError as error:
                say(f"A worker does not start ({error}): trying again.")
                continue
            if version is self.served:
                self._adopt(worker)
            else:  # Meanwhile `change` has replaced all.
                worker.tell("stop")
            return

    async def _stop(self) -> None:
        self._serving.clear()
        for task in self._tasks:
            task.cancel()
        for worker in self._all:
            worker.tell("stop") if worker.is_ready else worker.process.kill()
        if self._all:
            await asyncio.wait({worker.ended for worker in self._all}, timeout=_SECONDS_TO_END)
        self.kill()


def say(text: str) -> None:
    """Print a line on standard error."""
    print(text, file=sys.stderr, flush=True)
