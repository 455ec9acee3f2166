"""Loading: the served model at full speed for minutes, with two promotions on the way."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient

from .measure import Command, TookTooLongError, clean_environment, run
from .project import Project
from .report import Row, Table
from .servers import free_port, running, wait_for

_CALLERS, _WORKERS = 4, 2
_SECONDS_TO_START = 300
MINUTES = 10.0
MOST_GROWTH = 1.05


@dataclass
class Load:
    """What came back while the load was on.

    Attributes:
        seconds: of each request.
        versions: how many answers each version gave.
        failures: what went wrong, by its text.
        lasted: the seconds from the first request to the last.
        memory: bytes that the server's processes held together, by the second, for each version.
    """

    seconds: list[float] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    lasted: float = 0.0
    memory: list[list[int]] = field(default_factory=list)


def measure(repetitions: int, rendered: Project, minutes: float = MINUTES) -> Table:
    """Ask without a pause, and put another version in the champion's place twice."""
    place = rendered.copy("loading")
    for _ in range(3):
        run(Command([place.programs / "kedro", "run"], place.folder))
    (place.folder / "conf/local/mlflow.yml").write_text("serving:\n  poll_seconds: 1\n")
    client = MlflowClient(f"sqlite:///{place.folder}/mlflow.db")
    name = place.package.name
    load, seconds = Load(), minutes * 60
    with _served(place) as (server, port), _callers(port, _row(place), load):
        for version in ("1", "2", "3"):
            client.set_registered_model_alias(name, "champion", version)
            _wait_for_version(version, load)
            load.memory.append([])
            until = time.monotonic() + seconds / 3
            while time.monotonic() < until:
                load.memory[-1].append(_resident(server))
                time.sleep(1)
    return _table(load, seconds)


def _wait_for_version(version: str, load: Load) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while not load.versions[version]:
        if time.monotonic() > deadline:
            raise TookTooLongError(f"Version {version} has not answered: {load.failures}")
        time.sleep(0.1)


def _table(load: Load, seconds: float) -> Table:
    answered = sum(load.versions.values())
    growth = max(map(_growth, load.memory))
    hundredths = statistics.quantiles(load.seconds, n=100)
    failed = sum(load.failures.values())
    each = ", ".join(f"{load.versions[version]:,}" for version in ("1", "2", "3"))
    return Table(
        "Loading the served model",
        f"`kedro mlflow serve --workers {_WORKERS} --reload-on-promote`, {_CALLERS} callers that "
        f"ask without a pause for {seconds / 60:g} minutes, a row a request, here. Memory "
        "is that of all processes, first and last quarter of the time between two promotions.",
        [
            Row(
                "requests that failed",
                f"{failed:,} of {answered + failed:,}",
                "",
                "; ".join(map(str, load.failures.most_common(3))),
                "none",
                not failed,
            ),
            Row(
                "answers by version",
                each,
                "",
                "",
                "each has some",
                all(load.versions[version] for version in ("1", "2", "3")),
            ),
            Row(
                "memory, the most that it grew by between promotions",
                f"{max(map(max, load.memory)) / 1e6:.0f} MB at most",
                "",
                f"{growth:.3f} x",
                f"at most {MOST_GROWTH:g} x",
                growth <= MOST_GROWTH,
            ),
            Row("requests a second", f"{answered / load.lasted:,.0f}", "", ""),
            Row(
                "time of a request: median; 99 of 100",
                f"{hundredths[49] * 1e3:.1f} ms; {hundredths[98] * 1e3:.1f} ms",
                "",
                f"longest {max(load.seconds) * 1e3:.0f} ms",
            ),
        ],
    )


def _growth(memory: Sequence[int]) -> float:
    """Compare memory early and late; the workers of the version before may take a while to end."""
    steady = memory[len(memory) * 2 // 5 :]
    quarter = max(len(steady) // 4, 1)
    return statistics.median(steady[-quarter:]) / statistics.median(steady[:quarter])


def _row(place: Project) -> str:
    lines = (place.folder / "data/05_model_input/instances.csv").read_text().splitlines()
    row = dict(zip(lines[0].split(","), map(float, lines[1].split(",")), strict=True))
    return json.dumps({"dataframe_records": [row]})


@contextmanager
def _served(place: Project) -> Iterator[tuple[int, int]]:
    """The project's champion: the number of the server's process, and its port."""
    port = free_port()
    options = ["--port", str(port), "--workers", str(_WORKERS), "--reload-on-promote"]
    words: list[str | Path] = [place.programs / "kedro", "mlflow", "serve", *options]
    log = place.folder / "serving.log"
    with running(words, clean_environment(os.environ), log, place.folder) as server:
        wait_for(f"http://127.0.0.1:{port}/ping")
        yield server, port


@contextmanager
def _callers(port: int, body: str, load: Load) -> Iterator[None]:
    """Ask from several threads, each on a connection that it keeps, while the block runs."""
    done = threading.Event()
    threads = [
        threading.Thread(target=_call, args=(port, body, load, done)) for _ in range(_CALLERS)
    ]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()
        load.lasted = time.monotonic() - started


def _call(port: int, body: str, load: Load, done: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while not done.is_set():
        started = time.perf_counter()
        try:
            connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            load.failures[repr(error)] += 1
            connection.close()
            continue
        if response.status == 200:
            load.seconds.append(time.perf_counter() - started)
            load.versions[json.loads(content)["model_version"]] += 1
        else:
            load.failures[f"{response.status} {content[:200]!r}"] += 1


def _resident(process: int) -> int:
    """The memory that a process and all below it hold."""
    pages = 0
    for each in itertools.chain([process], _below(process)):
        try:
            pages += int(Path(f"/proc/{each}/statm").read_text().split()[1])
        except OSError:  # It has ended just now.
            continue
    return pages * os.sysconf("SC_PAGE_SIZE")


def _below(process: int) -> Iterator[int]:
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            numbers = children.read_text().split()
        except OSError:
            continue
        for number in numbers:
            yield int(number)
            yield from _below(int(number))
