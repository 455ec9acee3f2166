"""What a run's code starts works for that run: threads, tasks, programs and processes."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.rooms import Rooms

Ask = Callable[[], Any]


@pytest.fixture
def active_run(mlops: Rooms) -> ModuleType:
    return mlops("tracking.active_run")


@pytest.fixture
def begin(
    mlops: Rooms, active_run: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., Any]]:
    """Begin runs, in this thread; they end with the test, and so does all that they change."""
    for name in ("TRACKING_URI", "REGISTRY_URI", "EXPERIMENT_ID", "RUN_CONTEXT", "RUN_ID"):
        monkeypatch.setenv(f"MLFLOW_{name}", "")
        monkeypatch.delenv(f"MLFLOW_{name}")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    begun = []

    def begin_run(name: str, ids: bool = True) -> Any:
        there = {"run_id": f"id-of-{name}", "experiment_id": "7"}
        found = mlops("tracking.shipping").Delivery(tmp_path, **there) if ids else None
        run = active_run.ActiveRun(name, uri, lambda until: found, 0)
        run.begin()
        begun.append(run)
        return run

    with mlops("tracking.inherited").mlflow_follows(uri, None):
        yield begin_run
        for run in reversed(begun):
            run.end("FINISHED")


# Made before any run is.
OLD_POOL, OLD_THREAD_POOL = ThreadPoolExecutor(1), ThreadPool(1)
TASKS: queue.Queue[Any] = queue.Queue()


def work_off() -> None:
    while task := TASKS.get():
        task()


OLD_THREAD = threading.Thread(target=work_off, daemon=True)


def in_thread(ask: Ask) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(ask()))
    thread.start()
    thread.join()
    return found[0]


def in_timer(ask: Ask) -> Any:
    found: list[Any] = []
    timer = threading.Timer(0, lambda: found.append(ask()))
    timer.start()
    timer.join()
    return found[0]


def in_new_pool(ask: Ask) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(ask).result()


def in_map(ask: Ask) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return next(iter(pool.map(lambda _: ask(), [1])))


def in_old_pool(ask: Ask) -> Any:
    return OLD_POOL.submit(ask).result()


def in_thread_of_a_thread(ask: Ask) -> Any:
    return in_thread(lambda: in_new_pool(ask))


def in_asyncio(ask: Ask) -> Any:
    return asyncio.run(asyncio.to_thread(ask))


def in_a_new_thread_pool(ask: Ask) -> Any:
    with ThreadPool(1) as pool:
        return pool.apply(ask)


def in_joblib(ask: Ask) -> Any:
    joblib = pytest.importorskip("joblib")
    tasks = [joblib.delayed(ask)() for _ in range(2)]
    return joblib.Parallel(n_jobs=2, backend="threading")(tasks)[0]


def in_old_thread_pool(ask: Ask) -> Any:
    return OLD_THREAD_POOL.apply(ask)


def in_old_thread(ask: Ask) -> Any:
    if not OLD_THREAD.is_alive():
        OLD_THREAD.start()
    done: queue.Queue[Any] = queue.Queue()
    TASKS.put(lambda: done.put(ask()))
    return done.get(timeout=30)


KNOWN = [
    *(in_thread, in_timer, in_new_pool, in_map, in_old_pool, in_thread_of_a_thread),
    *(in_asyncio, in_a_new_thread_pool, in_joblib),
]


@pytest.mark.parametrize("how", [*KNOWN, in_old_thread_pool, in_old_thread])
def test_a_thread_works_for_the_run_that_has_given_it_its_task(
    active_run: ModuleType, begin: Callable[..., Any], how: Callable[[Ask], Any]
) -> None:
    def ask() -> str | None:
        scope = active_run.current_scope()
        return scope.run.run_id if scope else None

    assert how(ask) is None
    run = begin("a")
    assert how(ask) == "a"
    other = begin("b")
    with active_run.acting(active_run.Scope(run)):
        # Of two runs, nobody knows which one an older thread's task is from.
        assert how(ask) == ("a" if how in KNOWN else None)
    assert how(ask) == ("b" if how in KNOWN else None)
    other.end("FINISHED")
    assert how(ask) == "a"
    run.end("FINISHED")
    assert how(ask) is None


def test_a_thread_with_an_active_run_of_its_own_is_left_alone(
    active_run: ModuleType, begin: Callable[..., Any]
) -> None:
    begin("a")
    assert in_old_thread(lambda: active_run.current_scope(has_own_run=True)) is None
    assert in_thread(lambda: active_run.current_scope(has_own_run=True)).run.run_id == "a"


def test_a_thread_outlives_its_run_and_works_for_the_next_one(
    active_run: ModuleType, begin: Callable[..., Any]
) -> None:
    tasks: queue.Queue[Any] = queue.Queue()
    answers: queue.Queue[Any] = queue.Queue()

    def work() -> None:
        while tasks.get():
            scope = active_run.current_scope()
            answers.put(scope.run.run_id if scope else None)

    first = begin("a")
    thread = threading.Thread(target=work)
    thread.start()
    found = []
    for change in (lambda: None, lambda: first.end("FINISHED"), lambda: begin("b")):
        change()
        tasks.put(True)
        found.append(answers.get(timeout=30))
    tasks.put(False)
    thread.join()
    assert found == ["a", None, "b"]


def test_after_a_run_inside_another_its_thread_works_for_the_outer_one(
    active_run: ModuleType, begin: Callable[..., Any]
) -> None:
    begin("outer")
    inner = begin("inner")
    elsewhere = in_thread(lambda: begin("elsewhere"))
    assert active_run.current_scope().run.run_id == "inner"
    inner.end("FINISHED")
    assert active_run.current_scope().run.run_id == "outer"
    elsewhere.end("FINISHED")


def test_nothing_is_wrapped_any_more_afterwards(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    def functions() -> list[Any]:
        return [
            *(threading.Thread.start, ThreadPoolExecutor.submit, subprocess.Popen.__init__),
            *(multiprocessing.process.BaseProcess.start, os.system, os.fork),
        ]

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://theirs")
    before = functions()
    with mlops("tracking.inherited").mlflow_follows("http://ours", None):
        assert not any(now is then for now, then in zip(functions(), before, strict=True))
    assert functions() == before


PRINT = (
    "from os import environ; print(environ.get('MLFLOW_EXPERIMENT_ID'), "
    "environ.get('MLFLOW_RUN_CONTEXT'))"
)


def run_program(command: Any, **options: Any) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, **options)
    return str(done.stdout)


PROGRAMS: dict[str, tuple[Callable[[], str], bool]] = {
    "list": (lambda: run_program([sys.executable, "-c", PRINT]), True),
    "shell": (lambda: run_program(f'{sys.executable} -c "{PRINT}"', shell=True), True),
    "path": (lambda: run_program([Path(sys.executable), "-c", PRINT]), True),
    "popen": (lambda: os.popen(f'{sys.executable} -c "{PRINT}"').read(), True),
    "extended environment": (
        lambda: run_program([sys.executable, "-c", PRINT], env=os.environ | {"MORE": "1"}),
        True,
    ),
    "own environment": (
        lambda: run_program([sys.executable, "-c", PRINT], env={"PATH": os.environ["PATH"]}),
        False,
    ),
}


@pytest.mark.parametrize("how", PROGRAMS)
def test_a_program_is_told_its_experiment_and_the_run_above(
    begin: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    start, inherits = PROGRAMS[how]
    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", '{"team": "blue"}')
    begin("a")
    experiment, _, context = start().strip().partition(" ")
    if inherits:
        assert experiment == "7"
        assert json.loads(context) == {"team": "blue", "mlflow.parentRunId": "id-of-a"}
    else:
        assert (experiment, context) == ("None", "None")


def test_a_program_keeps_what_its_environment_chooses(begin: Callable[..., Any]) -> None:
    begin("a")
    chosen = os.environ | {"MLFLOW_EXPERIMENT_ID": "8"}
    told = run_program([sys.executable, "-c", PRINT], env=chosen).strip()
    assert told == '8 {"mlflow.parentRunId": "id-of-a"}'
    elsewhere = os.environ | {"MLFLOW_TRACKING_URI": "http://elsewhere"}
    assert run_program([sys.executable, "-c", PRINT], env=elsewhere).strip() == "None None"


def test_a_program_that_is_none_of_mlflows_waits_for_nothing(
    active_run: ModuleType, begin: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin("a")
    asked: list[Any] = []
    monkeypatch.setattr(active_run.ActiveRun, "ids", lambda *_: asked.append(1))
    subprocess.run(["true"], check=True)
    assert os.system("true") == 0
    assert asked == []


def environment(found: Any) -> None:
    found.put([os.environ.get("MLFLOW_EXPERIMENT_ID"), os.environ.get("MLFLOW_RUN_CONTEXT")])


@pytest.mark.parametrize("method", ["fork", "spawn", "system", "os.fork"])
def test_a_process_is_told_them_too(begin: Callable[..., Any], tmp_path: Path, method: str) -> None:
    begin("a")
    if method in ("system", "os.fork"):
        command = f'{sys.executable} -c "{PRINT}" > "{tmp_path}/out"'
        if method == "system":
            assert os.system(command) == 0
        elif child := os.fork():
            assert os.waitpid(child, 0)[1] == 0
        else:
            os.execv("/bin/sh", ["sh", "-c", command])
        experiment, _, above = (tmp_path / "out").read_text("utf-8").strip().partition(" ")
    else:
        context: Any = multiprocessing.get_context(method)
        found = context.SimpleQueue()
        process = context.Process(target=environment, args=[found])
        process.start()
        experiment, above = found.get()
        process.join()
    assert (experiment, json.loads(above)) == ("7", {"mlflow.parentRunId": "id-of-a"})


def test_while_mlflow_does_not_answer_no_stray_run_is_started(
    mlops: Rooms, begin: Callable[..., Any]
) -> None:
    import mlflow

    begin("a", ids=False)
    with pytest.raises(mlops("backend.client").UnreachableError, match="does not answer"):
        mlflow.log_metric("x", 1)
    assert "None None" in run_program([sys.executable, "-c", PRINT])
