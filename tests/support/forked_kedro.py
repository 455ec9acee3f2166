"""Kedro's commands at a fraction of their time: forked off a process that has the imports done."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from select import select
from signal import SIGKILL

# Kedro configures logging when it is imported; a fork does it again, as its project says.
LOGGING = '{"version": 1}'
# Looked up now: a package of tests may have a folder of its own that goes with it.
TEMPORARY = tempfile.gettempdir()


class Forked:
    """A process that was forked; what a `subprocess.Popen` can do that tests need."""

    def __init__(self, forks: Forks, pid: int, out: Path, err: Path) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._forks = forks
        self._screen = (out, err)

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        if self.returncode is None:
            self.returncode = self._forks.ask(poll=self.pid)["code"]
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, if it still runs."""
        self.send_signal(SIGKILL)

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """Wait for its end; what it has printed."""
        self.wait(timeout)
        return self._printed()

    def wait(self, timeout: float = 300) -> int | None:
        """Wait for its end; its exit code."""
        if self.poll() is None:
            with os.fdopen(os.pidfd_open(self.pid)) as process:  # Is ready when it has ended.
                if not select([process], [], [], timeout)[0]:
                    self.kill()
                    raise TimeoutError(f"It has not ended in {timeout} seconds: {self._printed()}")
            self.poll()
        return self.returncode

    def _printed(self) -> tuple[str, str]:
        out, err = (path.read_text("utf-8") for path in self._screen)
        return out, err


class Forks:
    """A process of an environment, which has imported what projects import."""

    def __init__(self, environment: Path, variables: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="forks-", dir=TEMPORARY)
        self._count = 0
        logging = Path(self._folder.name, "logging.yml")
        logging.write_text(LOGGING, "utf-8")
        self._process = subprocess.Popen(
            [environment / "bin" / "python", Path(__file__).with_name("forks.py")],
            cwd=self._folder.name,
            env={
                **variables,
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "KEDRO_LOGGING_CONFIG": str(logging),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.stop)

    def start(
        self,
        command: tuple[str, ...],
        cwd: Path,
        env: Mapping[str, str],
        screen: Path | None = None,
    ) -> Forked:
        """Run a program in a folder; what it prints may go to one file."""
        self._count += 1
        own = Path(self._folder.name)
        out, err = (screen or own / f"{self._count}-{name}" for name in ("out", "err"))
        asked = {"command": command, "cwd": str(cwd), "env": dict(env)}
        pid = self.ask(start={**asked, "out": str(out), "err": str(err)})["pid"]
        return Forked(self, pid, out, err)

    def ask(self, **question: object) -> dict[str, int]:
        """Send a question to the process; its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(question)}\n")
        self._process.stdin.flush()
        answer: dict[str, int] = json.loads(self._process.stdout.readline())
        return answer

    def stop(self) -> None:
        """End the process that is forked; what it has forked may still run, and has its pipes."""
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


@cache
def forks_of(environment: Path) -> Forks:
    """The process of an environment, started when it is first asked for."""
    points_elsewhere = ("MLFLOW_", "KEDRO_", "PYTHON", "VIRTUAL_ENV")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(points_elsewhere)}
    return Forks(environment, kept)
