"""More processes of this machine that run trials: forked at the start, before any thread."""

import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import TrackingError, one_line
from ..mlflow_internals import forget_connections, import_mlflow
from .search import Search
from .study import Study
from .trials import Runner


@contextmanager
def processes(plan: Search) -> Iterator["Processes"]:
    """Start the others, and end them at the end."""
    made = Processes(plan)
    try:
        yield made
    finally:
        made.end()


class Processes:
    """This process, and the others: they begin when they are told to."""

    def __init__(self, plan: Search) -> None:
        """Start them."""
        count = plan.options.jobs - 1
        if count and "fork" not in multiprocessing.get_all_start_methods():
            raise TrackingError(
                "This system cannot fork processes: start `kedro mlflow tune`, and then "
                "`kedro mlflow tune --resume` in other terminals."
            )
        self._plan = plan
        context: Any = multiprocessing.get_context("fork" if count else None)
        self._stop = context.Event()
        self._pipes = [context.Pipe() for _ in range(count)]
        if count:
            import_mlflow()  # Once, for all of them.
        self._others = [
            context.Process(target=_help, args=(plan, number + 1, pipe[1], self._stop, os.getpid()))
            for number, pipe in enumerate(self._pipes)
        ]
        for process in self._others:
            process.start()

    @cached_property
    def runner(self) -> Runner:
        """What runs trials in this process."""
        return self._plan.runner()

    def work(self, study: Study, tags: Mapping[str, str]) -> None:
        """Let all run trials until there are enough."""
        for ours, _ in self._pipes:
            ours.send(dict(tags))
        self._plan.work(self.runner, study, tags, self._stop)
        self._join()

    def end(self) -> None:
        """Let them begin no other trial, and wait for those that they have begun."""
        self._stop.set()
        for ours, _ in self._pipes:
            ours.send(None)
        self._join()

    def _join(self) -> None:
        for process in self._others:
            process.join()


def _help(plan: Search, index: int, pipe: Any, stop: Any, parent: int) -> None:
    stop = _StopOrOrphaned(stop, parent)
    forget_connections()
    while not pipe.poll(1):
        if stop.is_set():
            return
    if (tags := pipe.recv()) is None:
        return
    try:
        runner = plan.runner()
        study = Study(plan.options, plan.state(), plan.study, index)
        with study.alive():
            plan.work(runner, study, tags, stop)
    except KeyboardInterrupt:
        sys.exit(1)
    except Exception as error:
        stop.stop.set()
        plan.say(one_line(error))
        sys.exit(1)


@dataclass(frozen=True)
class _StopOrOrphaned:
    """Says stop as well when the process that leads is gone."""

    stop: Any
    parent: int

    def is_set(self) -> bool:
        """Return whether to begin no other trial."""
        return bool(self.stop.is_set()) or os.getppid() != self.parent
