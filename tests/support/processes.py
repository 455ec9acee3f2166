"""Servers that tests start on this machine, stop, and find gone at the end."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from signal import SIGINT, SIGKILL, Signals


class Service:
    """A program that listens at a port of this machine, in a process group of its own."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        ready: Callable[[], bool],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
    ) -> None:
        self.command = command
        self.log = log
        self._ready = ready
        self._env = dict(env) if env is not None else None
        self._cwd = cwd
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdout=output,
                stderr=output,
                env=self._env,
                cwd=self._cwd,
                user=self._user,
                start_new_session=True,
            )
        wait_until(lambda: self._is_over() or self._ready())
        assert not self._is_over(), self.log.read_text(errors="replace")[-4000:]

    def stop(self, number: Signals = SIGINT) -> None:
        """Stop all of its processes and wait for the first one's end."""
        if self._process is None:
            return
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)
            try:
                self._process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, SIGKILL)
                self._process.wait(timeout=10)
        self._process = None

    def _is_over(self) -> bool:
        return self._process is None or self._process.poll() is not None

    @property
    def group(self) -> int:
        """The number of its process group."""
        assert self._process is not None
        return self._process.pid


def listens(port: int) -> bool:
    """Whether somebody takes connections at a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait for something that comes about in a moment, and much later on a busy machine."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.1)
