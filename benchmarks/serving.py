"""Serving: three servers side by side, and the time until each gives its first answer."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from . import project, served, workload
from .measure import Command, Measurement, Sample, clean_environment, run
from .project import Project
from .report import Row, Table, time_of
from .served import Models
from .servers import SECONDS_TO_START, free_port, running, wait_for

WORKERS, CALLERS = (1, 2), 8
_ROUNDS, _SECONDS = 4, 2
_LOAD = Path(__file__).with_name("load.py")
MOST, MOST_OF_START = 1.1, 0.6


@dataclass(frozen=True)
class Program:
    """A command that serves, without its port and its workers.

    Attributes:
        place: where it runs, with what.
        arguments: the program and its arguments.
        prefix: of the variables that tell it both; none if `--port` and `--workers` do.
    """

    place: Project
    arguments: Sequence[str | Path]
    prefix: str = ""


@dataclass(frozen=True)
class Answers:
    """The seconds that each request took, and all rounds together."""

    requests: list[float] = field(default_factory=list)
    rounds: list[float] = field(default_factory=list)

    def percentile(self, percent: int) -> float:
        """The seconds that so many in a hundred requests take at most."""
        return statistics.quantiles(self.requests, n=100)[percent - 1]

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.requests) / sum(self.rounds)


def measure(repetitions: int, rendered: Project) -> Table:
    """Compare ours with MLflow's server, of the bare regressor and of kedro-mlflow's model."""
    models = served.trained(rendered)
    body = project.BENCH / "request.json"
    row = pd.read_csv(models.rows).astype(float).head(1)
    body.write_text(json.dumps({"dataframe_split": row.to_dict("split")}), encoding="utf-8")
    programs = _programs(models)
    rows = [row for workers in WORKERS for row in _rows(programs, workers, body)]
    rows.append(_starting(programs, body, max(3, repetitions // 2)))
    return Table(
        "Serving",
        "Ours is `kedro mlflow serve`. Theirs are two: `mlflow models serve` of the regressor "
        "alone, which neither checks nor prepares what it gets, and `mlflow models serve` of the "
        f"model that {workload.KEDRO_MLFLOW} logs of the same pipeline, in this order. One row a "
        "request, connections kept open; callers, each with one, ask again when they have their "
        f"answer. {_ROUNDS} rounds of {_SECONDS} s in turns. With several workers uvicorn, which "
        "MLflow starts, leaves Nagle's algorithm on: an answer's second part waits for the "
        "caller's delayed acknowledgement, 40 ms. The first answer is that to a prediction, asked "
        "for from the start of the command on.",
        rows,
    )


def _programs(models: Models) -> list[Program]:
    serve = ("models", "serve", "--env-manager", "local", "--model-uri")
    mlflow, theirs = models.place.programs / "mlflow", models.their_place.programs / "mlflow"
    return [
        Program(models.place, [models.place.programs / "kedro", "mlflow", "serve"]),
        Program(models.place, [mlflow, *serve, models.bare]),
        Program(models.their_place, [theirs, *serve, models.theirs]),
    ]


def under_load(
    programs: Sequence[Program], workers: int, body: Path
) -> tuple[list[Answers], list[Answers]]:
    """Ask each program in turns, with as many callers as workers and then with many."""
    latency, throughput = ([Answers() for _ in programs] for _ in range(2))
    with ExitStack() as stack:
        ports = [stack.enter_context(_serving(each, workers)) for each in programs]
        for port in ports:
            _first_answer(port, body)
            _ask(port, body, CALLERS)
        for _ in range(_ROUNDS):
            for port, alone, together in zip(ports, latency, throughput, strict=True):
                for callers, answers in ((workers, alone), (CALLERS, together)):
                    told = _ask(port, body, callers)
                    answers.requests.extend(told.requests)
                    answers.rounds.extend(told.rounds)
    return latency, throughput


def _rows(programs: Sequence[Program], workers: int, body: Path) -> list[Row]:
    latency, throughput = under_load(programs, workers, body)
    what = f"{workers} worker{'s' if workers > 1 else ''}"
    as_many = f"{workers} caller{'s' if workers > 1 else ''}"
    return [
        _latency(f"{what}, {as_many}: p50", [each.percentile(50) for each in latency]),
        _latency(f"{what}, {as_many}: p99", [each.percentile(99) for each in latency]),
        _rate(f"{what}, {CALLERS} callers: requests a second", [each.rate for each in throughput]),
        _latency(f"{what}, {CALLERS} callers: p99", [each.percentile(99) for each in throughput]),
    ]


def _ask(port: int, body: Path, callers: int) -> Answers:
    arguments = map(str, (sys.executable, _LOAD, port, body, _SECONDS, callers))
    told = json.loads(run(Command(list(arguments), project.BENCH)).output)
    return Answers(told["requests"], [told["seconds"]])


def _starting(programs: Sequence[Program], body: Path, repetitions: int) -> Row:
    rounds = [[_start(program, body) for program in programs] for _ in range(repetitions + 1)]
    ours, bare, theirs = (Measurement(samples) for samples in zip(*rounds[1:], strict=True))
    of_bare, of_theirs = ours.seconds / bare.seconds, ours.seconds / theirs.seconds
    return Row(
        "from the start to the first answer",
        time_of(ours),
        f"{time_of(bare)} / {time_of(theirs)}",
        f"{of_bare:.2f} x / {of_theirs:.2f} x",
        f"at most {MOST_OF_START:g} x of the first",
        of_bare <= MOST_OF_START,
    )


def _start(program: Program, body: Path) -> Sample:
    started = time.perf_counter()
    with _serving(program, workers=1) as port:
        _first_answer(port, body)
        return Sample(time.perf_counter() - started, 0)


def _first_answer(port: int, body: Path) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        body.read_bytes(),
        {"Content-Type": "application/json"},
    )
    wait_for(request, timeout=SECONDS_TO_START, pause=0.01)


@contextmanager
def _serving(program: Program, workers: int) -> Iterator[int]:
    """Serve on a port of its own while the block runs."""
    port = free_port()
    variables = clean_environment(os.environ)
    # MLflow starts a uvicorn that it finds by itself.
    variables["PATH"] = f"{program.place.programs}{os.pathsep}{variables['PATH']}"
    words = list(program.arguments)
    if program.prefix:
        ports = {"HTTP": port, "GRPC": free_port(), "METRICS": free_port()}
        variables |= {f"{program.prefix}{name}_PORT": str(each) for name, each in ports.items()}
        # None: it serves in the process that answers.
        variables[f"{program.prefix}PARALLEL_WORKERS"] = str(workers if workers > 1 else 0)
    else:
        words += ["--port", str(port), "--workers", str(workers)]
    log = project.BENCH / f"serving-{port}.log"
    with running(words, variables, log, program.place.folder):
        yield port


def _latency(what: str, seconds: Sequence[float]) -> Row:
    ours, bare, theirs = seconds
    return Row(
        what,
        f"{1000 * ours:.2f} ms",
        f"{1000 * bare:.2f} / {1000 * theirs:.2f} ms",
        f"{ours / bare:.2f} x / {ours / theirs:.2f} x",
        f"at most {MOST:g} x / less",
        ours <= MOST * bare and ours < theirs,
    )


def _rate(what: str, rates: Sequence[float]) -> Row:
    ours, bare, theirs = rates
    return Row(
        what,
        f"{ours:,.0f}",
        f"{bare:,.0f} / {theirs:,.0f}",
        f"{ours / bare:.2f} x / {ours / theirs:.2f} x",
        f"at least 1/{MOST:g} / more",
        ours * MOST >= bare and ours > theirs,
    )
