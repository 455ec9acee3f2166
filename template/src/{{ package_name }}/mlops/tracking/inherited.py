"""What a run's code starts works for that run: threads, tasks, programs and processes.

The functions that start them are wrapped while runs are under way, and put back afterwards.
Programs and processes find their address, experiment and parent run in MLflow's own variables.
"""

import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache, wraps
from multiprocessing.process import BaseProcess
from subprocess import Popen
from typing import Any

from ..mlflow_internals import forget_connections, pointed_at, replaced
from .active_run import acting, current_scope, label, own_scope

_ARGUMENTS_BEFORE_ENV = 9  # Of `Popen`, behind the command.
# What starts a program that may call MLflow: one that cannot does not wait for the run.
_PYTHON = re.compile(r"python|\.py\b|mlflow|kedro|jupyter|papermill|\buvx?\b")


@contextmanager
def mlflow_follows(tracking_uri: str, registry_uri: str | None) -> Iterator[None]:
    """Let the process's calls of MLflow go to the runs that are under way, while there are some.

    Environment variables that this changes are the caller's to put back.
    """
    os.environ.pop("MLFLOW_RUN_ID", None)  # A child run would continue that run instead.
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri
    if registry_uri:
        os.environ["MLFLOW_REGISTRY_URI"] = registry_uri
    _forget_connections_in_forks()
    with ExitStack() as changes:
        for change in (
            pointed_at(tracking_uri, registry_uri, current_scope),
            replaced(threading.Thread, "start", _starts_thread),
            replaced(ThreadPoolExecutor, "submit", _submits),
            replaced(Popen, "__init__", _starts_program),
            replaced(BaseProcess, "start", _starts_process),
            replaced(os, "system", _starts_command),
        ):
            changes.enter_context(change)
        try:
            yield
        except GeneratorExit:  # A worker process ends: half of what was changed is gone already.
            changes.pop_all()


@cache
def _forget_connections_in_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forget_connections)


def _starts_thread(start: Callable[..., None]) -> Callable[..., None]:
    @wraps(start)
    def start_for_scope(thread: threading.Thread) -> None:
        label(thread, own_scope())
        start(thread)

    return start_for_scope


def _submits(submit: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(submit)
    def submit_for_scope(
        pool: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        if not (scope := own_scope()):
            return submit(pool, function, *args, **kwargs)

        def call(*args: Any, **kwargs: Any) -> Any:
            with acting(scope):
                return function(*args, **kwargs)

        return submit(pool, call, *args, **kwargs)

    return submit_for_scope


def _starts_program(start: Callable[..., None]) -> Callable[..., None]:
    @wraps(start)
    def start_below_run(process: "Popen[Any]", args: Any, *more: Any, **options: Any) -> None:
        scope = current_scope()
        # An environment that is given stays as it is.
        given = options.get("env") is not None or len(more) > _ARGUMENTS_BEFORE_ENV
        if scope and not given and _PYTHON.search(str(args)):
            options["env"] = os.environ | scope.variables()
        start(process, args, *more, **options)

    return start_below_run


def _starts_command(start: Callable[[str], int]) -> Callable[[str], int]:
    @wraps(start)
    def start_below_run(command: str) -> int:
        if (scope := current_scope()) and _PYTHON.search(str(command)):
            os.environ.update(scope.variables())
        return start(command)

    return start_below_run


def _starts_process(start: Callable[[BaseProcess], None]) -> Callable[[BaseProcess], None]:
    @wraps(start)
    def start_below_run(process: BaseProcess) -> None:
        # This waits for the run, hence for imports: to a fork, one under way would never end.
        if scope := current_scope():
            os.environ.update(scope.variables())
        start(process)

    return start_below_run
