"""Hostile: what strangers and callers cost the served model, and which secrets get out, by kind."""

from __future__ import annotations

import http.client
import json
import os
import random
import resource
import shutil
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pandas as pd

from . import planted, project
from .measure import Command, clean_environment, run
from .project import Project
from .report import Row, Table
from .served import INSTANCES
from .servers import free_port, running, wait_for

MOST_SECONDS_OF_PING, MOST_SECONDS_OF_WORK = 0.5, 1.0
# Of memory for a request: times its body's size, bytes for each of its values, bytes for itself.
MOST_TIMES, MOST_BYTES_OF_VALUE, MOST_BYTES_BESIDE = 10, 100, 10_000_000
# Rendered only where the model is served in a container.
_V2 = "mlops/serving/v2_protocol.py"
_TOKEN = "a-token-for-this-benchmark-alone"
_FILES, _IDLE, _SLOW = 1024, 2000, 200
_SECONDS_OF_SLOW = 12
_RANDOM_BODIES = 1000
# In a process of its own: this one is busy with what it sends.
_PING = """
import select, socket, sys, time
longest = 0.0
while not select.select([sys.stdin], [], [], 0.02)[0]:
    started = time.perf_counter()
    try:
        with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=60) as connection:
            connection.sendall(b"GET /ping HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
            answered = connection.recv(100).startswith(b"HTTP/1.1 200")
    except OSError:
        answered = False
    longest = max(longest, time.perf_counter() - started if answered else 60.0)
print(longest)
"""
_JSON, _CSV = "application/json", "text/csv"


@dataclass
class Attack:
    """What a kind of requests did.

    Attributes:
        statuses: how many answers had each status; 0 for none.
        longest: the seconds of the longest `/ping` meanwhile.
        work: the worker's seconds on the processor for one of them, at most.
        memory: the bytes by which the worker grew at most.
        share: how much of its bound the memory of a request took, at most.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    longest: float = 0.0
    work: float = 0.0
    memory: int = 0
    share: float = 0.0


@dataclass(frozen=True)
class Target:
    """The server under attack.

    Attributes:
        port: where it listens.
        model: the registered name, which paths of KServe's protocol have.
        rows: of the bundled data.
        sent: the body that was sent last, if any.
    """

    port: int
    model: str
    rows: pd.DataFrame
    sent: list[bytes] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """The columns that the model takes."""
        return list(self.rows.columns)

    def post(self, body: bytes, kind: str = _JSON, path: str = "/invocations") -> int:
        """Ask as a caller with the token does; return the status, or 0 if there is no answer."""
        self.sent[:] = [body]
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Bearer {_TOKEN}", "Content-Type": kind}
        try:
            connection.request("POST", path, body, headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def infer(self, content: Any) -> int:
        """Ask by KServe's protocol; 404 where the project does not have it."""
        return self.post(json.dumps(content).encode(), path=f"/v2/models/{self.model}/infer")

    def send(self, *parts: bytes) -> int:
        """Send bytes as they are."""
        head = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            with suppress(OSError):  # It refuses before all is sent.
                for part in parts:
                    connection.sendall(part)
            with suppress(OSError):
                head = connection.recv(100)
        return int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/1.1 ") else 0


Kind = Callable[[Target], Iterator[int]]


def measure(repetitions: int, rendered: Project) -> Table:
    """Attack one worker in each way, and ask it every 20 ms whether it is up."""
    place = rendered.copy("hostile")
    shutil.copy(project.REPOSITORY / "template/src/{{ package_name }}" / _V2, place.package / _V2)
    run(Command([place.programs / "kedro", "run"], place.folder))
    with _served(place) as (target, worker):
        attacks = {name: _under(kind, target, worker) for name, kind in KINDS.items()}
        usual = target.post(_records(target.rows), _JSON)
    rows = [_row(name, attack) for name, attack in attacks.items()]
    rows.append(Row("a prediction after all of it", f"status {usual}", "", "", "200", usual == 200))
    rows += planted.rows(rendered)
    return Table(
        "Hostile requests",
        "`kedro mlflow serve` with a token, one worker and `ulimit -n "
        f"{_FILES}`, on the default model and limits. Each kind of requests runs while another "
        "connection asks for `/ping` every 20 ms: the longest is shown, and the seconds on the "
        "processor that one request took at most. Memory is what the worker grew by at most, and "
        f"may be {MOST_TIMES} times the body, {MOST_BYTES_OF_VALUE} bytes a value and "
        f"{MOST_BYTES_BESIDE / 1e6:g} MB for a request. "
        "Secrets of each kind are planted in a project, told by a node in its log and its errors, "
        "and looked for in all files of the project and on the screen.",
        rows,
    )


def _row(name: str, attack: Attack) -> Row:
    failures = sum(count for status, count in attack.statuses.items() if status >= 500)
    refused = attack.statuses[503]
    return Row(
        name,
        f"{sum(attack.statuses.values()):,} requests, {failures - refused:,} of 5xx",
        "",
        f"`/ping` {attack.longest:.2f} s; work {attack.work:.2f} s; {attack.share:.0%} of memory",
        f"none of 5xx; {MOST_SECONDS_OF_PING:g} s; {MOST_SECONDS_OF_WORK:g} s; 100%",
        failures == refused
        and attack.longest <= MOST_SECONDS_OF_PING
        and attack.work <= MOST_SECONDS_OF_WORK
        and attack.share <= 1,
        f"{attack.memory / 1e6:.0f} MB",
    )


def _under(kind: Kind, target: Target, worker: int) -> Attack:
    attack = Attack()
    first = before = _memory_from_now(worker)
    words = [sys.executable, "-c", _PING, str(target.port)]
    with Popen(words, stdin=PIPE, stdout=PIPE, text=True) as prober:
        before_it = _seconds_of_work(worker)
        for status in kind(target):
            attack.statuses[status] += 1
            now = _seconds_of_work(worker)
            attack.work, before_it = max(attack.work, now - before_it), now
            most = _bytes(worker, "VmHWM")
            attack.memory = max(attack.memory, most - first)
            for body in target.sent:
                values = body.count(b",") + body.count(b"\n")
                bound = MOST_TIMES * len(body) + MOST_BYTES_OF_VALUE * values + MOST_BYTES_BESIDE
                attack.share = max(attack.share, (most - before) / bound)
            target.sent.clear()
            before = _memory_from_now(worker)
        attack.longest = float(prober.communicate("")[0])
    return attack


def _memory_from_now(process: int) -> int:
    """Set the kernel's own mark of the most memory back to what there is now; return that."""
    Path(f"/proc/{process}/clear_refs").write_text("5")
    return _bytes(process, "VmRSS")


def _seconds_of_work(process: int) -> float:
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _bytes(process: int, name: str) -> int:
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return 1024 * int(status.partition(f"{name}:")[2].split()[0])


@contextmanager
def _served(place: Project) -> Iterator[tuple[Target, int]]:
    """Serve with few file descriptors; this process needs more, for connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    port = free_port()
    variables = clean_environment(os.environ) | {"SERVING_TOKEN": _TOKEN}
    words: list[str | Path] = [
        "prlimit",
        f"--nofile={_FILES}",
        place.programs / "kedro",
        "mlflow",
        "serve",
    ]
    log = project.BENCH / "hostile.log"
    with running([*words, "--port", str(port)], variables, log, place.folder) as server:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        try:
            wait_for(f"http://127.0.0.1:{port}/ping")
            children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
            rows = pd.read_csv(place.folder / INSTANCES)
            yield Target(port, place.package.name, rows), int(children[0])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# --- kinds ---


def _records(rows: pd.DataFrame) -> bytes:
    return json.dumps({"dataframe_records": rows.to_dict("records")}).encode()


def _wide_csv(target: Target) -> Iterator[int]:
    """Commas in a header, in a row, in quotes: columns are what costs."""
    header = ",".join(target.columns).encode()
    for count in (60_000, 1_000_000, 9_900_000):
        for body in (
            b"," * count,
            b"a," * (count // 2) + b"\n1",
            header + b"\n" + b"1," * (count // 2),
            b'"\n",' * (count // 4),
            b"\n" * (count // 2) + b"," * (count // 2),
        ):
            yield target.post(body, _CSV)


def _long_csv(target: Target) -> Iterator[int]:
    """As many rows as a body holds: right ones, empty ones, wrong ones."""
    header = ",".join(target.columns).encode() + b"\n"
    row = ",".join(f"{value:g}" for value in target.rows.iloc[0]).encode() + b"\n"
    for line in (row, b"1\n", b"1,2,3,4,5,6,7,8,9,0\n", b"x,x,x,x,x,x,x,x,x,x\n"):
        yield target.post(header + line * 99_000, _CSV)
        yield target.post(header + line * ((9_900_000 - len(header)) // len(line)), _CSV)


def _large_json(target: Target) -> Iterator[int]:
    """Values, lists, names and digits: as many as a body holds."""
    for piece, count in {
        b"[],": 3_300_000,
        b"{},": 3_300_000,
        b'"",': 3_300_000,
        b'"ab",': 1_900_000,
        b"0.5,": 2_400_000,
        b"[[[[": 2_400_000,
        b"1": 9_900_000,
        b"1" * 4000 + b",": 2400,
        b'"\\u0041",': 1_000_000,
        b'{"a":{"b":[': 800_000,
    }.items():
        for key in (b"instances", b"dataframe_records"):
            yield target.post(b'{"' + key + b'":[' + piece * count + b"0]}")
    names = {f"n{number}": 1 for number in range(500_000)}
    yield target.post(json.dumps({"dataframe_records": [names]}).encode())
    yield target.post(json.dumps({"inputs": {name: [1] for name in names}}).encode())
    split = {"columns": list(names), "data": [list(names.values())]}
    yield target.post(json.dumps({"dataframe_split": split}).encode())
    yield target.post(json.dumps({"dataframe_records": [{name: 1} for name in names]}).encode())


def _large_tables(target: Target) -> Iterator[int]:
    """Rows within the limits: right ones, and ones with a wrong value in each column or cell."""
    right = dict(zip(target.columns, target.rows.iloc[0].tolist(), strict=True))
    for wrong in ({}, {"bmi": 999}, dict.fromkeys(right, 1e6), dict.fromkeys(right, True)):
        rows = [{**right, **wrong}] * 60_000
        yield target.post(json.dumps({"dataframe_records": rows}, separators=(",", ":")).encode())
    for last in (10**400, True, "x", None, [1], {"a": 1}):
        columns = {name: [value] * 99_000 + [last] for name, value in right.items()}
        yield target.post(json.dumps({"inputs": columns}).encode())


def _tensors(target: Target) -> Iterator[int]:
    """Outputs again and again, shapes and datatypes of any kind."""
    right = [
        {"name": name, "shape": [1000], "datatype": "FP64", "data": [float(value)] * 1000}
        for name, value in target.rows.iloc[0].items()
    ]
    yield target.infer({"inputs": right, "outputs": [{"name": "progression"}] * 5000})
    yield target.infer({"inputs": right * 50})
    changes: list[dict[str, Any]] = [
        {"datatype": [1]},
        {"shape": [2**31, 2**31]},
        {"shape": [1] * 9},
        {"shape": [0, 2**32 - 1]},
        {"name": {}},
        {"data": {"a": 1}},
    ]
    for change in changes:
        yield target.infer({"inputs": [{**right[0], **change}, *right[1:]]})


def _anything(target: Target) -> Iterator[int]:
    """Any value in the place of any other one."""
    chance = random.Random(0)
    rows = json.loads(_records(target.rows.head(2)))["dataframe_records"]
    split = {"columns": target.columns, "data": [list(row.values()) for row in rows]}
    columns = {name: [row[name] for row in rows] for name in target.columns}
    bodies: list[Any] = [
        {"dataframe_records": rows},
        {"dataframe_split": split},
        {"instances": rows},
        {"inputs": columns},
    ]
    for _ in range(_RANDOM_BODIES):
        body = spoiled(json.loads(json.dumps(chance.choice(bodies))), chance)
        yield target.post(json.dumps(body).encode())


_VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    float("nan"),
    float("-inf"),
    "",
    "x",
    "\ud800",
]
_VALUES += ["9" * 1000, [], {}, [[]], [{}], {"": None}, [1, "a", None], [[[[1]]]], {"data": {}}]


def spoiled(body: Any, chance: random.Random) -> Any:
    """Put any value in the place of one in a body."""
    if not isinstance(body, dict | list) or not body or chance.random() < 0.2:
        return chance.choice(_VALUES)
    inside = body.items() if isinstance(body, dict) else enumerate(body)
    key, value = chance.choice(list(inside))
    body[key] = spoiled(value, chance)
    return body


def _framing(target: Target) -> Iterator[int]:
    """Heads that proxies read in different ways, and what is no HTTP."""
    head = (
        f"POST /invocations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {_TOKEN}\r\n"
        f"Content-Type: {_JSON}\r\n"
    ).encode()
    chunked = b"Transfer-Encoding: chunked\r\n"
    for lines in (
        chunked + b"Content-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"Transfer-Encoding : chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"X: a\r\n b\r\n\r\n",
        b"X: y\r\n" * 60_000 + b"\r\n",
        b"X: " + b"y" * 5_000_000,
        chunked + b"\r\n" + b"f" * 100 + b"\r\n",
    ):
        yield target.send(head + lines)
    yield target.send(head.replace(b"\r\n", b"\n") + b"\n")
    yield target.send(head.replace(b"1.1", b"3.0") + b"\r\n")
    yield target.send(os.urandom(100_000))


def _small_chunks(target: Target) -> Iterator[int]:
    """A body of a byte per chunk, from somebody with the token and from a stranger."""
    token = f"Authorization: Bearer {_TOKEN}\r\n"
    for shown in (token, ""):
        head = f"POST /invocations HTTP/1.1\r\nHost: x\r\n{shown}Transfer-Encoding: chunked\r\n\r\n"
        yield target.send(head.encode(), *[b"1\r\nx\r\n" * 50_000] * 40)


def _idle(target: Target) -> Iterator[int]:
    """Connections that send nothing, and a caller beside them."""
    body = _records(target.rows.head(1))
    with ExitStack() as stack:
        for _ in range(_IDLE):
            connection = socket.create_connection(("127.0.0.1", target.port), timeout=60)
            stack.enter_context(connection)
        for _ in range(50):
            started = time.perf_counter()
            status = target.post(body)
            yield status if time.perf_counter() - started < 1 else 599


def _slow(target: Target) -> Iterator[int]:
    """Connections that send a line of their head now and then."""
    with ExitStack() as stack:
        slow = []
        for _ in range(_SLOW):
            slow.append(socket.create_connection(("127.0.0.1", target.port), timeout=60))
            stack.enter_context(slow[-1]).sendall(b"GET /ping HTTP/1.1\r\n")
        for _ in range(_SECONDS_OF_SLOW):
            time.sleep(1)
            for connection in slow:
                with suppress(OSError):
                    connection.sendall(b"X: y\r\n")
        for connection in slow:  # Each is closed by now.
            connection.settimeout(0.01)
            try:
                yield 0 if not connection.recv(1) else 599
            except ConnectionError:
                yield 0
            except OSError:
                yield 599


def _leaving(target: Target) -> Iterator[int]:
    """Callers who leave when they have sent a large body."""
    body = _records(pd.concat([target.rows] * 100))
    head = (
        f"POST /invocations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {_TOKEN}\r\n"
        f"Content-Type: {_JSON}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", target.port), timeout=60) as connection:
            connection.sendall(head + body)
        yield 0
    yield target.post(_records(target.rows.head(1)))


KINDS: dict[str, Kind] = {
    "CSV of many columns": _wide_csv,
    "CSV of many rows": _long_csv,
    "JSON of many values, lists and names": _large_json,
    "tables as large as allowed": _large_tables,
    "tensors": _tensors,
    "any value anywhere": _anything,
    "framing": _framing,
    "chunks of a byte": _small_chunks,
    f"{_IDLE:,} idle connections": _idle,
    f"{_SLOW} slow heads": _slow,
    "callers who leave": _leaving,
}
