"""Trials on Dask's workers: `kedro mlflow tune --scheduler ADDRESS`.

The process that leads the study begins trials, and says what came of them; each is one task of
Dask. A worker opens the project that it was started in, and the study where its own tuning.yml
keeps it. A trial whose worker dies is given up, and its values are tried again by another one.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple
from uuid import uuid4

from distributed import Client, Future, KilledWorker, get_worker, wait
from kedro.framework import project
from kedro.framework.session import KedroServiceSession

from ..errors import TrackingError, one_line
from ..mlflow_internals import kedro_finds_pipelines_of
from ..orchestration.dask_runner import client_of, sendable
from ..orchestration.project import opened
from ..project import PACKAGE, PACKAGE_FOLDER, State
from ..tracking.process import configure_settings
from .options import TuningOptions, read_options
from .search import Search, deliver_left
from .slicing import needed_for, slices_of
from .study import Study, StudyElsewhere
from .trials import NUMBER, Runner

# So many workers that die of the same values do not die by chance.
_MOST_TRIES = 3
_SECONDS, _SECONDS_TO_DELIVER = 1.0, 60.0
# What a trial says of itself once a worker has it.
_WORKER = "worker"


class NotReadyError(TrackingError):
    """A worker cannot run any trial."""


class Assignment(NamedTuple):
    """What a worker gets of a trial; without a number it is the baseline, without a name none."""

    study: str
    env: str | None
    options: TuningOptions  # Without the address of the storage, which may have a password.
    dataset: str
    name: str = ""
    values: Mapping[str, Any] | None = None
    tags: Mapping[str, str] | None = None
    number: int | None = None


# --- In the process that leads the study ---


@contextmanager
def workers(plan: Search, scheduler: str) -> Iterator["Workers"]:
    """Connect to a scheduler, whose workers live on."""
    with client_of(scheduler) as client, client.as_current():
        try:
            yield Workers(plan, client)
        finally:
            with suppress(Exception):
                client.run(_leave, plan.study)


class Workers:
    """The workers of a scheduler: those that it has now, and those that come later."""

    def __init__(self, plan: Search, client: Client) -> None:
        """Prepare what all tasks have in common."""
        self._plan, self._client = plan, client
        options = plan.options.model_copy(update={"storage": None})
        self._task = Assignment(plan.study, plan.env, options, plan.dataset)

    @property
    def runner(self) -> "Workers":
        """What runs the baseline, once all workers are ready; raises what one of them is not."""
        for future in self._on_each():
            self._result(future)
        return self

    def _on_each(self) -> "list[Future[Any]]":
        submit, addresses = self._client.submit, list(self._client.nthreads())
        return [submit(_run, self._task, workers=each, pure=False) for each in addresses]

    def run(
        self, name: str, values: Mapping[str, Any], tags: Mapping[str, str], trial: Any
    ) -> float:
        """Let a worker run the baseline."""
        return float(self._result(self._begin(name, values, tags, None)))

    def work(self, study: Study, tags: Mapping[str, str]) -> None:
        """Give each worker one trial after another, until there are enough."""
        begun: dict[Future[Any], Any] = {}
        try:
            while True:
                self._begin_more(study, tags, begun)
                if not begun:
                    with suppress(asyncio.TimeoutError):  # One may be gone by now.
                        wait(self._on_each(), timeout=_SECONDS_TO_DELIVER)
                    return
                with suppress(asyncio.TimeoutError):
                    wait(list(begun), timeout=_SECONDS, return_when="FIRST_COMPLETED")
                for future in [each for each in begun if each.done()]:
                    self._ended(study, begun.pop(future), _outcome(future))
        except BaseException:
            self._client.cancel(list(begun))
            for trial in begun.values():  # They take part again when the study is resumed.
                study.give_up(trial.number)
            raise

    def end(self) -> None:
        """Leave the workers as they are."""

    def _begin_more(self, study: Study, tags: Mapping[str, str], begun: dict[Any, Any]) -> None:
        free = max(1, self._count()) - len(begun)
        for _ in range(free if self._plan.goes_on() else 0):
            if (trial := study.next()) is None:
                return
            number = trial.number
            values = self._plan.space.draw(trial)
            more = {**tags, NUMBER: str(number)}
            begun[self._begin(f"trial {number}", values, more, number)] = trial

    def _begin(
        self, name: str, values: Mapping[str, Any], tags: Mapping[str, str], number: int | None
    ) -> "Future[Any]":
        task = self._task._replace(name=name, values=values, tags=tags, number=number)
        return self._client.submit(_run, task, key=f"{name}-{uuid4().hex[:8]}")

    def _result(self, future: "Future[Any]") -> Any:
        wait([future])
        outcome = _outcome(future)
        if isinstance(outcome, KilledWorker):
            raise TrackingError(f"No worker has survived the baseline: {one_line(outcome)}")
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _count(self) -> int:
        try:
            return len(self._client.nthreads())
        except OSError as error:
            again = self._plan.config.typed("tune --resume")
            raise TrackingError(
                f"The scheduler of Dask is gone ({one_line(error)}): `{again}` continues the study."
            ) from error

    def _ended(self, study: Study, trial: Any, outcome: Any) -> None:
        if isinstance(outcome, NotReadyError):
            study.give_up(trial.number)
            raise outcome
        if outcome is None and study.tries(trial.number) < _MOST_TRIES:
            self._plan.say(f"Trial {trial.number}: its worker is gone; its values are tried again.")
            study.give_up(trial.number)
            return
        died = RuntimeError(f"{_MOST_TRIES} workers have died of these values")
        self._plan.ended(study, trial, died if outcome is None else outcome)


def _outcome(future: "Future[Any]") -> Any:
    """Return what a worker has returned; none if it could not."""
    if future.status == "error":
        return future.exception()
    return future.result() if future.status == "finished" else None


# --- On a worker ---

# One trial at a time: Kedro has one project's pipelines in a process, whatever threads it has.
_alone = Lock()
_places: dict[str, "_Place"] = {}


def _run(task: Assignment) -> float | Exception | None:
    """Run a trial, and return its metric or what it has raised; none if a worker has died of it."""
    with _alone, _configured():
        try:
            place = _places.setdefault(task.study, _Place(task))
            runner, study = place.runner, place.study
        except Exception as error:
            where = get_worker().address
            message = error.message if isinstance(error, TrackingError) else repr(error)
            return NotReadyError(f"The worker at {where}: {message}")
        if not task.name:  # What a worker has left that was killed here.
            deliver_left(State.of(place.path), runner.config)
            return None
        trial = None
        if task.number is not None:
            trial = study.trial(task.number)
            if _WORKER in trial.user_attrs:
                return None
            trial.set_user_attr(_WORKER, get_worker().address)
        try:
            return runner.run(task.name, task.values or {}, task.tags or {}, trial)
        except Exception as error:
            return sendable(error)


@contextmanager
def _configured() -> Iterator[None]:
    """Let Kedro know the project, for as long as a trial takes: see `configure_settings`."""
    os.environ.pop("MLFLOW_RUN_ID", None)  # A trial would join that run.
    configure_settings()
    with kedro_finds_pipelines_of(PACKAGE):
        if not project.pipelines:
            project.pipelines.configure(f"{PACKAGE}.pipeline_registry")
        yield


def _leave(study: str) -> None:
    """Release what the trials of a study had in common."""
    _places.pop(study, None)


@dataclass
class _Place:
    """A project on a worker, which trials of a study find open."""

    task: Assignment

    @cached_property
    def path(self) -> Path:
        path = PACKAGE_FOLDER.parents[1]
        return path if (path / "pyproject.toml").is_file() else Path.cwd()

    @cached_property
    def runner(self) -> Runner:
        task, options = self.task, self.task.options
        with opened(self.path, task.env, [options.pipeline], {}) as found:
            slices = slices_of(needed_for(task.dataset, options.pipeline), options.search)
            session = KedroServiceSession.create(project_path=self.path, env=task.env)
            return Runner(session, found.config, options, task.dataset, slices)

    @cached_property
    def options(self) -> TuningOptions:
        """The study's, with the storage of this worker's own tuning.yml."""
        session = KedroServiceSession.create(project_path=self.path, env=self.task.env)
        storage = read_options(session.load_context().config_loader).storage
        return self.task.options.model_copy(update={"storage": storage})

    @cached_property
    def study(self) -> StudyElsewhere:
        return StudyElsewhere(self.options, State.of(self.path), self.task.study)
