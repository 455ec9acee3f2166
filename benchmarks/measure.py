"""Measuring: whole processes, as a user starts them, in turns."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# `ru_maxrss` is in KiB, on macOS in bytes.
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class FailedCommandError(Exception):
    """A measured command ended with another exit code than 0; the text holds its output."""


class TookTooLongError(Exception):
    """A measured command was not done in its time; the text holds its output."""


@dataclass(frozen=True)
class Command:
    """A process to measure.

    Attributes:
        arguments: The program and its arguments.
        folder: Where it runs.
        before: What is to be done before each start; it is not part of the measured time.
        limit: The seconds after which it is stopped.
    """

    arguments: Sequence[str | Path]
    folder: Path
    before: Callable[[], object] | None = None
    limit: float = 3600


@dataclass(frozen=True)
class Sample:
    """One process from start to end: wall time in seconds, most memory it held in bytes, screen."""

    seconds: float
    memory: int
    output: str = ""


@dataclass(frozen=True)
class Measurement:
    """The samples of one command."""

    samples: Sequence[Sample]

    @property
    def seconds(self) -> float:
        """The median time."""
        return statistics.median(sample.seconds for sample in self.samples)

    @property
    def spread(self) -> float:
        """Half of the range that the middle half of the times lies in, in seconds."""
        if len(self.samples) < 2:
            return 0.0
        quartiles = statistics.quantiles(
            (sample.seconds for sample in self.samples), n=4, method="inclusive"
        )
        return (quartiles[2] - quartiles[0]) / 2

    @property
    def memory(self) -> float:
        """The median of the most memory that one process held, in bytes.

        Of a command that starts processes of its own it is the largest one's.
        """
        return statistics.median(sample.memory for sample in self.samples)


def in_turns(repetitions: int, *commands: Command, warm_up: bool = True) -> list[Measurement]:
    """Measure commands in turns (A B A B ...), so that a slow minute of the machine hits them all.

    Args:
        repetitions: How many times each is measured.
        commands: What to compare; the order of the answer is theirs.
        warm_up: Whether each is started once before that, for nothing.

    Raises:
        FailedCommandError: One did not exit with 0.
        TookTooLongError: One was not done in its time.
    """
    count = repetitions + warm_up
    rounds = [[run(command) for command in commands] for _ in range(count)]
    return [Measurement(samples) for samples in zip(*rounds[warm_up:], strict=True)]


def run(command: Command) -> Sample:
    """Run a command to its end.

    Raises:
        FailedCommandError: It did not exit with 0.
        TookTooLongError: It was not done in its time.
    """
    if command.before:
        command.before()
    # A file and no pipe: a reader beside the process would take time from it.
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command.arguments,
            cwd=command.folder,
            env=clean_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        stop = threading.Timer(command.limit, process.kill)
        stop.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        stop.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    typed = " ".join(map(str, command.arguments))
    if process.returncode and seconds >= command.limit:
        raise TookTooLongError(f"`{typed}` was not done after {command.limit:g} s:\n{text}")
    if process.returncode:
        raise FailedCommandError(f"`{typed}` ended with {process.returncode}:\n{text}")
    return Sample(seconds, usage.ru_maxrss * _MAXRSS_UNIT, text)


def clean_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The caller's variables without those that would change what is measured."""
    # PYTHONDONTWRITEBYTECODE would compile MLflow at each start, a MLFLOW_TRACKING_URI would send
    # the runs over the network, and CI switches things off in MLflow.
    unwanted = ("CI", "COPIER_", "KEDRO_", "MLFLOW_", "PYTHON", "UV_", "VIRTUAL_ENV")
    kept = {name: value for name, value in variables.items() if not name.startswith(unwanted)}
    # OmegaConf refuses parameters.yml of a thousand nodes, as somebody's attack.
    return kept | {"COLUMNS": "120", "OMEGACONF_MAX_YAML_EXPANDED_NODES": "none"}
