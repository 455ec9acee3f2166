"""The supervisor: keeps as many workers as are wanted on the version that is wanted."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .metrics import FOLDER
from .process import LoadError, WorkerProcess

if TYPE_CHECKING:
    from .exposition import Exposition

_SECONDS_TO_END = 45  # A worker gives itself less.


_PAUSES = (0, 1, 2, 4, 8)


@dataclass(frozen=True)
class ServedVersion:
    """A version of a model, and its files on this machine."""

    name: str
    version: str
    folder: Path

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"


class Supervisor:
    """Starts workers, replaces those that die, and all of them when there is a new version.

    Attributes:
        served: what new requests are answered with.
        exposition: what tells Prometheus, if anybody wants to know.
    """

    def __init__(
        self,
        listener: socket.socket,
        count: int,
        counts: Path | None = None,
    ) -> None:
        """Take what stays the same for all workers.

        Args:
            listener: the bound socket that they accept connections from.
            count: how many there are to be.
            counts: the folder that they count requests in, if anybody wants to know.
        """
        self._listener = listener
        # As they are now: a worker needs none of the registry's credentials, which come later.
        self._environment = {name: value for name, value in os.environ.items() if name != FOLDER}
        if counts:
            self._environment[FOLDER] = str(counts)
        self._count = count
        self._terms: Mapping[str, Any] = {}
        self.exposition: Exposition | None = None
        self.served: ServedVersion | None = None
        self._workers: set[WorkerProcess] = set()
        self._all: set[WorkerProcess] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start_worker(self) -> WorkerProcess:
        """Start a worker that waits to be told what to serve."""
        worker = await WorkerProcess.start(self._listener, self._environment)
        self._all.add(worker)
        return worker

    async def serve(
        self,
        version: ServedVersion,
        first: WorkerProcess,
        terms: Mapping[str, Any],
        greeting: str,
        meanwhile: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        """Serve a version, or what `change` puts in its place, until SIGTERM or Ctrl-C.

        Args:
            version: what to serve.
            first: a worker that waits.
            terms: what workers are told beside the version: token, max_bytes, max_rows.
            greeting: what to print once it answers.
            meanwhile: what is done from then on, as `reload.follow`.

        Raises:
            LoadError: the version cannot be served.
        """
        stopped = asyncio.Event()
        self._on_signals(stopped)
        self.served, self._terms = version, terms
        loading = asyncio.ensure_future(self._load(first, version))
        stopping = asyncio.ensure_future(stopped.wait())
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not stopped.is_set():
            self._adopt(loading.result())
            if self.exposition:
                self.exposition.serves(version.name, version.version)
            print(greeting, flush=True)
            for _ in range(self._count - 1):
                self._in_background(self._add())
            if meanwhile:
                self._in_background(meanwhile())
            await stopping
        loading.cancel()
        self._listener.close()
        await self._end()

    async def change(self, version: ServedVersion, afterwards: Callable[[], None]) -> bool:
        """Put a version in the place of the one that is served; without a request lost.

        Args:
            version: what to serve.
            afterwards: what to do when nobody is answered by the old one any more.

        Returns:
            Whether it is served: else the old one goes on.
        """
        loads = [self._start(version) for _ in range(self._count)]
        results = await asyncio.gather(*loads, return_exceptions=True)
        new = [result for result in results if isinstance(result, WorkerProcess)]
        if failures := [result for result in results if isinstance(result, BaseException)]:
            for worker in new:
                worker.stop()
            if not isinstance(failures[0], LoadError):
                raise failures[0]
            say(f"{version} cannot be served ({failures[0]}): {self.served} goes on.")
            self._count_reload("failed")
            return False
        old, self._workers = self._workers, set()
        self.served = version
        for worker in new:
            self._adopt(worker)
        for worker in old:
            worker.drain()
        print(f"Serving {version} now.", flush=True)
        if self.exposition:
            self.exposition.serves(version.name, version.version)
        self._count_reload("served")
        self._in_background(self._after(old, afterwards))
        return True

    def kill(self) -> None:
        """End all workers at once."""
        for worker in self._all:
            worker.kill()

    async def _after(self, old: set[WorkerProcess], work: Callable[[], None]) -> None:
        await asyncio.gather(*(worker.gone() for worker in old))
        work()

    def _count_reload(self, outcome: str) -> None:
        if self.exposition:
            self.exposition.reloaded(outcome)

    def _on_signals(self, stopped: asyncio.Event) -> None:
        def stop() -> None:
            if stopped.is_set():  # Whoever asks twice does not want to wait.
                self.kill()
            stopped.set()

        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, stop)

    def _in_background(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start(self, version: ServedVersion) -> WorkerProcess:
        return await self._load(await self.start_worker(), version)

    async def _load(self, worker: WorkerProcess, version: ServedVersion) -> WorkerProcess:
        try:
            await worker.serve(
                {
                    "folder": str(version.folder),
                    "name": version.name,
                    "version": version.version,
                    **self._terms,
                }
            )
        except LoadError:
            self._forget(worker)
            raise
        return worker

    def _adopt(self, worker: WorkerProcess) -> None:
        self._workers.add(worker)
        self._in_background(self._watch(worker))

    async def _watch(self, worker: WorkerProcess) -> None:
        code = await worker.gone()
        self._forget(worker)
        if worker in self._workers:  # Nobody has told it to end.
            self._workers.remove(worker)
            say(f"A worker has died (exit code {code}): another one takes its place.")
            if self.exposition:
                self.exposition.restarted()
            await self._add()

    def _forget(self, worker: WorkerProcess) -> None:
        self._all.discard(worker)
        if self.exposition:
            self.exposition.gone(worker.pid)

    async def _add(self) -> None:
        """Bring the number of workers up by one, however long it takes."""
        for pause in chain(_PAUSES, repeat(15)):
            await asyncio.sleep(pause)
            version = self.served
            assert version is not None
            try:
                worker = await self._start(version)
            except LoadError as error:
                say(f"A worker does not start ({error}): trying again.")
                continue
            if version is self.served:
                self._adopt(worker)
            else:  # Meanwhile all have been replaced.
                worker.stop()
            return

    async def _end(self) -> None:
        self._workers.clear()
        for task in self._tasks:
            task.cancel()
        for worker in self._all:
            worker.stop() if worker.is_ready else worker.kill()
        if ends := [asyncio.ensure_future(worker.gone()) for worker in self._all]:
            await asyncio.wait(ends, timeout=_SECONDS_TO_END)
        self.kill()


def say(text: str) -> None:
    """Tell whoever looks after the server."""
    print(text, file=sys.stderr, flush=True)
