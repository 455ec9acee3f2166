"""The search: trials in one process or several, from the first to the best values."""

import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from kedro.framework.session import KedroServiceSession

from ..backend.client import reason_of
from ..config import KedroMlflowConfig, read_config
from ..errors import TrackingError, one_line
from ..orchestration.project import OpenedProject, opened
from ..project import State
from ..registry import listeners_of
from ..tracking.capture.values import plain
from ..tracking.shipping.sync import sync
from . import parent_run
from . import study as studies
from .options import FILE, TuningOptions, read_options
from .slicing import Slices, needed_for, slices_of
from .space import Space, nested, space_of
from .study import Study
from .trials import NUMBER, Runner, hook_of_project, quiet

Say = Callable[[str], None]

# So many failures at the start are no bad luck: the pipeline or the search is wrong.
_MOST_FAILURES = 5
# What the study says of what it was begun with.
_BASELINE, _SEARCHED = "baseline", "searched"


@dataclass(frozen=True)
class Found:
    """What a study has found."""

    options: TuningOptions
    study: Study
    parent: parent_run.ParentRun
    space: Space
    baseline: float
    config: KedroMlflowConfig

    @property
    def value(self) -> float:
        """The best value of the metric."""
        return float(self.study.optuna.best_value)

    @property
    def best(self) -> dict[str, Any]:
        """The values that differ from the project's."""
        params = self.study.optuna.best_params
        return {name: each for name, each in params.items() if each != self.space.current[name]}

    @property
    def is_better(self) -> bool:
        """Whether it is better than what the project has."""
        if self.options.direction == "maximize":
            return self.value > self.baseline
        return self.value < self.baseline


@dataclass(frozen=True)
class Search:
    """All that each process of a search knows."""

    path: Path
    env: str | None
    config: KedroMlflowConfig
    options: TuningOptions
    dataset: str
    space: Space
    slices: Slices
    study: str
    deadline: float  # Of `time.monotonic`, which processes of one machine share.
    say: Say

    def state(self) -> State:
        """Return the project's state folder."""
        return State.of(self.path)

    def runner(self) -> Runner:
        """Return what runs trials in this process."""
        session = KedroServiceSession.create(project_path=self.path, env=self.env)
        return Runner(session, self.config, self.options, self.dataset, self.slices)

    def baseline(self, runner: "CanRun", study: Study, tags: Mapping[str, str]) -> float:
        """Run what the project has now, unless the study has done so."""
        now = dict(self.space.current)
        known = study.optuna.user_attrs.get(_BASELINE)
        if known and known["parameters"] == now:
            return float(known["value"])
        value = runner.run("baseline", {}, tags, None)
        study.optuna.set_user_attr(_BASELINE, {"parameters": now, "value": value})
        return value

    def require_same(self, study: Study) -> None:
        """Refuse to continue a study of something else."""
        keys = {"metric", "better", "dataset", "pipeline", "search"}
        now = self.options.model_dump(mode="json", include=keys)
        known = study.optuna.user_attrs.get(_SEARCHED)
        if known is None:
            study.optuna.set_user_attr(_SEARCHED, now)
        elif changed := [key for key in now if known.get(key) != now[key]]:
            raise TrackingError(
                f"{FILE} has changed since this study was begun ({', '.join(changed)}): "
                "begin another one without --resume."
            )

    def goes_on(self) -> bool:
        """Return whether there is time for another trial."""
        return time.monotonic() < self.deadline

    def work(self, runner: Runner, study: Study, tags: Mapping[str, str], stop: Any) -> None:
        """Run trials until there are enough, or time is up, or another process says stop."""
        while self.goes_on() and not stop.is_set():
            if (trial := study.next()) is None:
                return
            outcome: float | Exception
            try:
                values, number = self.space.draw(trial), str(trial.number)
                outcome = runner.run(f"trial {number}", values, {**tags, NUMBER: number}, trial)
            except Exception as error:
                outcome = error
            except BaseException:  # Ctrl-C: it takes part again when the study is resumed.
                study.give_up(trial.number)
                raise
            self.ended(study, trial, outcome)

    def ended(self, study: Study, trial: Any, outcome: float | Exception) -> None:
        """Tell what came of a trial: its metric, or what it has raised."""
        if isinstance(outcome, Exception):
            self._failed(study, trial, outcome)
            return
        study.tell(trial, "COMPLETE", outcome)
        best = study.optuna.best_trial
        self.say(
            f"Trial {trial.number}: {self.options.metric} = {outcome:g} "
            f"(best: {best.value:g}, trial {best.number})"
        )

    def _failed(self, study: Study, trial: Any, error: Exception) -> None:
        from optuna import TrialPruned

        if isinstance(error, TrialPruned):
            study.tell(trial, "PRUNED")
            self.say(f"Trial {trial.number}: pruned. {one_line(error)}")
            return
        study.tell(trial, "FAIL")
        self.say(f"Trial {trial.number}: failed. {one_line(error)}")
        others = study.trials("COMPLETE", "PRUNED")
        if not others and len(study.trials("FAIL")) >= _MOST_FAILURES:
            raise TrackingError(
                f"No trial has come to its end, and {_MOST_FAILURES} have failed: {one_line(error)}"
            ) from error


class CanRun(Protocol):
    """What runs trials: this process, or workers elsewhere."""

    def run(
        self, name: str, values: Mapping[str, Any], tags: Mapping[str, str], trial: Any
    ) -> float:
        """Run a trial, and return its metric; it raises what its nodes raise."""


class Team(Protocol):
    """All processes that run trials of a search."""

    @property
    def runner(self) -> CanRun:
        """What runs the baseline."""

    def work(self, study: Study, tags: Mapping[str, str]) -> None:
        """Run trials until there are enough."""

    def end(self) -> None:
        """Begin no other trial, and wait for those that were begun."""


def search(
    path: Path,
    env: str | None,
    given: Mapping[str, Any],
    *,
    resume: bool,
    say: Say,
    scheduler: str | None = None,
) -> Found:
    """Search the parameters that tuning.yml names; return what was found.

    What is given takes the place of keys of tuning.yml. A TrackingError says what is wrong with it,
    before the first trial. A scheduler of Dask has workers that run the trials.
    """
    if find_spec("optuna") is None:
        raise TrackingError("Optuna is not installed: `uv sync --group tuning` installs it.")
    begun, state = time.monotonic(), State.of(path)
    os.environ.pop("MLFLOW_RUN_ID", None)  # A trial would join that run.
    options = _options(path, env, given)
    with opened(path, env, [options.pipeline], {}) as project:
        dataset = options.dataset or project.config.promotion.evaluation
        needed = needed_for(dataset, options.pipeline)
        space = space_of(options.search, plain(project.catalog["parameters"].load()), needed)
        slices = slices_of(needed, options.search)
        name = studies.latest(options, state) if resume else studies.new_name()
        seconds = options.timeout or float("inf")
        plan = Search(
            path,
            env,
            project.config,
            options,
            dataset,
            space,
            slices,
            name,
            begun + seconds,
            say,
        )
        if scheduler:
            from .dask_workers import workers

            with workers(plan, scheduler) as team:
                return _lead(plan, project, team, resume)
        from .processes import processes

        # Before anything has opened a connection or started a thread.
        with processes(plan) as team:
            return _lead(plan, project, team, resume)


def _options(path: Path, env: str | None, given: Mapping[str, Any]) -> TuningOptions:
    session = KedroServiceSession.create(project_path=path, env=env)
    context = session.load_context()
    read_config(context, path)  # What is wrong there comes first.
    options = read_options(context.config_loader)
    changed = {name: value for name, value in given.items() if value is not None}
    return options.model_copy(update=changed)


def _lead(plan: Search, project: OpenedProject, team: Team, resume: bool) -> Found:
    """Run the study, with the help of the others."""
    study = Study(plan.options, plan.state(), plan.study)
    plan.require_same(study)
    if resume:
        deliver_left(plan.state(), plan.config)
        if gone := study.give_up_stale():
            plan.say(f"Trials {', '.join(map(str, gone))} were left by a process that is gone.")
    parent = parent_run.begin(project, plan.options, study)
    plan.say(f"Study {study.name}, MLflow run {parent.run_id}. Its page: {parent.address}")
    status, baseline = "FAILED", None
    try:
        tags = parent.tags_of(study.name)
        baseline = plan.baseline(team.runner, study, tags)
        plan.say(f"Baseline: {plan.options.metric} = {baseline:g}, with the project's parameters")
        with study.alive():
            team.work(study, tags)
        if not study.trials("COMPLETE"):
            raise TrackingError("No trial has come to its end: there is no best one.")
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        plan.say(f"Stopped. `{plan.config.typed('tune --resume')}` continues it.")
        raise
    finally:
        team.end()
        try:
            deliver_left(plan.state(), plan.config)  # Before what was given up is marked.
            parent.finish(study, plan.options, status, baseline)
        except Exception as error:  # The trials are safe.
            again = plan.config.typed("tune --resume")
            plan.say(f"MLflow has not taken the study ({reason_of(error)}): `{again}` logs it.")
    return Found(plan.options, study, parent, plan.space, baseline, plan.config)


def deliver_left(state: State, config: KedroMlflowConfig) -> None:
    """Deliver what processes that are gone have left on this machine."""
    with quiet():
        deque(sync(state.journals, config, listeners_of(config, state), patient=False), 0)


def train(path: Path, env: str | None, pipeline: str, values: Mapping[str, Any]) -> None:
    """Run a whole pipeline with these values, tracked and registered as `kedro run` does."""
    session = KedroServiceSession.create(project_path=path, env=env)
    try:
        session.run(pipeline_names=[pipeline], runtime_params=nested(values))
    finally:
        hook_of_project().end_open_runs()
