"""What a run's code starts works for that run: threads, tasks, programs and processes.

The functions that start them are wrapped while runs are under way, and put back afterwards.
Programs and processes find their address, experiment and parent run in MLflow's own variables.
"""

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache, partial, wraps
from multiprocessing.process import BaseProcess
from subprocess import Popen
from typing import Any

from ..mlflow_internals import forget_connections, pointed_at, replaced
from .active_run import acting, current_scope, label, own_scope

_ADDRESS = "MLFLOW_TRACKING_URI"
_ARGUMENTS_BEFORE_ENV = 9  # Of `Popen`, behind the command.
# What starts a program that may call MLflow: one that cannot does not wait for the run.
_PYTHON = re.compile(r"python|\.py\b|mlflow|kedro|jupyter|papermill|\buvx?\b")


@contextmanager
def mlflow_follows(tracking_uri: str, registry_uri: str | None) -> Iterator[None]:
    """Let the process's calls of MLflow go to the runs that are under way, while there are some.

    Environment variables that this changes are the caller's to put back.
    """
    os.environ.pop("MLFLOW_RUN_ID", None)  # A child run would continue that run instead.
    os.environ[_ADDRESS] = tracking_uri
    if registry_uri:
        os.environ["MLFLOW_REGISTRY_URI"] = registry_uri
    _forget_connections_in_forks()
    with ExitStack() as changes:
        for change in (
            pointed_at(tracking_uri, registry_uri, current_scope),
            replaced(threading.Thread, "start", _starts_thread),
            replaced(ThreadPoolExecutor, "submit", _submits),
            replaced(Popen, "__init__", _starts_program),
            replaced(BaseProcess, "start", _tells_children),
            replaced(os, "system", partial(_tells_children, concerns=_PYTHON.search)),
            *([replaced(os, "fork", _tells_children)] if hasattr(os, "fork") else []),
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
        if scope := own_scope():
            function = acting(scope)(function)
        return submit(pool, function, *args, **kwargs)

    return submit_for_scope


def _starts_program(start: Callable[..., None]) -> Callable[..., None]:
    @wraps(start)
    def start_below_run(process: "Popen[Any]", args: Any, *more: Any, **options: Any) -> None:
        given = options.get("env")
        env: Mapping[str, str] = os.environ if given is None else given
        scope, address = current_scope(), os.environ.get(_ADDRESS)
        # An environment of somebody's own stays as it is; one made from this process's is not.
        follows = address is not None and env.get(_ADDRESS) == address
        has_place = len(more) <= _ARGUMENTS_BEFORE_ENV
        if scope and follows and has_place and _PYTHON.search(str(args)):
            new = scope.variables()
            chosen = {name for name in new if env.get(name) != os.environ.get(name)}
            options["env"] = {**env, **{name: new[name] for name in new.keys() - chosen}}
        start(process, args, *more, **options)

    return start_below_run


def _tells_children(
    start: Callable[..., Any], concerns: Callable[[str], Any] = lambda subject: True
) -> Callable[..., Any]:
    """Let a function that starts a process put what it inherits into the environment before."""

    @wraps(start)
    def start_below_run(*args: Any) -> Any:
        # This waits for the run, hence for imports: to a fork, one under way would never end.
        if concerns(str(args)) and (scope := current_scope()):
            os.environ.update(scope.variables())
        return start(*args)

    return start_below_run
