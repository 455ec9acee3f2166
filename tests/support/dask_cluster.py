"""A scheduler of Dask and its workers, each as from the shell, in folders of their own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGTERM

import psutil

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
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self,
        place: Project,
        env: Mapping[str, str],
        *arguments: str,
        prefix: Sequence[str] = (),
    ) -> None:
        """Start one of its processes in a project's folder."""
        command = [*prefix, str(place.environment / "bin" / "python"), "-m", *arguments]
        screen = place.folder / f"screen-{len(self._started)}"
        self.screens.append(screen)
        with screen.open("w") as file:
            self._started.append(
                subprocess.Popen(
                    [*command, "--no-dashboard"],
                    cwd=place.folder,
                    env=place.variables(env),
                    stdout=file,
                    stderr=file,
                    start_new_session=True,
                )
            )

    def work_in(self, place: Project, env: Mapping[str, str], prefix: Sequence[str] = ()) -> None:
        """Start a worker in a project's folder."""
        worker = ("distributed.cli.dask_worker", self.address, "--nthreads", "1")
        self.start(place, env, *worker, prefix=prefix)

    def kill_worker(self, number: int) -> None:
        """Kill the process that runs tasks; its nanny starts another one."""
        nanny = psutil.Process(self._started[number].pid)
        for process in nanny.children(recursive=True):
            if "spawn_main" in " ".join(process.cmdline()):
                process.send_signal(SIGKILL)

    def stop(self) -> None:
        """End all of them."""
        for process in self._started:
            os.killpg(process.pid, SIGTERM)
        for process in self._started:
            process.wait(timeout=60)


@contextmanager
def cluster(place: Project, env: Mapping[str, str], host: str = _HERE) -> Iterator[Cluster]:
    """Run a scheduler, whose workers are still to be started."""
    port = free_port()
    found = Cluster(f"tcp://{host}:{port}")
    try:
        found.start(place, env, "distributed.cli.dask_scheduler", "--port", str(port))
        yield found
    finally:
        found.stop()
