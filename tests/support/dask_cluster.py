"""A scheduler of Dask and its workers, in folders of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL

import psutil

from tests.support.forked_kedro import Forked
from tests.support.machine import free_port
from tests.support.project import Project

_HERE = "127.0.0.1"


@dataclass
class Cluster:
    """A scheduler, and the workers that were started for it.

    Attributes:
        screens: what each process prints, the scheduler first.
    """

    address: str
    screens: list[Path] = field(default_factory=list)
    _started: list[Forked] = field(default_factory=list)

    def start(self, place: Project, env: Mapping[str, str], *arguments: str) -> None:
        """Start one of its processes in a project's folder: a program of Python's."""
        screen = place.folder / f"screen-{len(self._started)}"
        self.screens.append(screen)
        command = ("python", *arguments, "--no-dashboard")
        self._started.append(place.fork(*command, env=env, screen=screen))

    def work_in(
        self,
        place: Project,
        env: Mapping[str, str],
        program: Sequence[str] = ("-m", "distributed.cli.dask_worker"),
    ) -> None:
        """Start a worker in a project's folder, which a program of the test's may become."""
        self.start(place, env, *program, self.address, "--nthreads", "1")

    def kill_worker(self, number: int) -> None:
        """Kill the process that runs tasks; its nanny starts another one."""
        nanny = psutil.Process(self._started[number].pid)
        for process in nanny.children(recursive=True):
            if "spawn_main" in " ".join(process.cmdline()):
                process.send_signal(SIGKILL)

    def stop(self) -> None:
        """End all of them."""
        for process in self._started:
            os.killpg(process.pid, SIGKILL)
        for process in self._started:
            process.wait(timeout=60)


@contextmanager
def cluster(place: Project, env: Mapping[str, str], host: str = _HERE) -> Iterator[Cluster]:
    """Run a scheduler, whose workers are still to be started."""
    port = free_port()
    found = Cluster(f"tcp://{host}:{port}")
    try:
        found.start(place, env, "-m", "distributed.cli.dask_scheduler", "--port", str(port))
        yield found
    finally:
        found.stop()
