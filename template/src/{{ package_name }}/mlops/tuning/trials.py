"""Trials: Kedro runs in a warm process, each a child run, which register and write nothing."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from kedro.framework.project import settings
from kedro.framework.session import KedroServiceSession
from kedro.io import MemoryDataset
from kedro.io.core import generate_timestamp

from ..config import DiffOptions, KedroMlflowConfig
from ..errors import TrackingError, listed
from ..project import PACKAGE
from ..tracking import RunListener, RunStart
from ..tracking.capture.command import replay_command
from ..tracking.journal import all_records
from .options import FILE, TuningOptions
from .slicing import Slices
from .space import nested
from .study import STALE

if TYPE_CHECKING:
    from kedro.io import DataCatalog
    from optuna import Trial

    from ..tracking.capture import RunCapture

# Tags of a trial's run.
STUDY, NUMBER, STATE = "tuning.study", "tuning.trial", "tuning.state"


class _Kept(MemoryDataset):
    """Holds a value for all trials of this process; each gets a copy."""

    def _release(self) -> None:
        pass


@dataclass
class _Sharing(RunListener):
    """Keeps what the shared nodes make; their run is not tracked."""

    of_one_run = True
    kept: dict[str, _Kept]

    def run_starts(self, start: RunStart) -> None:
        start.is_tracked = False
        _in_memory(start, self.kept)


@dataclass
class _Trial(RunListener):
    """Makes a Kedro run a child run, and takes its metric."""

    of_one_run = True
    name: str
    options: TuningOptions
    dataset: str
    kept: Mapping[str, _Kept]
    tags: Mapping[str, str]
    trial: "Trial | None"
    metrics: dict[str, float] = field(default_factory=dict)

    def run_starts(self, start: RunStart) -> None:
        _in_memory(start, self.kept)
        whole = {**start.run_params, "node_names": None, "to_outputs": [self.dataset]}
        start.tags.update(self.tags)
        start.tags["kedro.command"] = replay_command(whole)

    def metric_reported(self, name: str, value: float, step: int) -> None:
        if self.trial is None or name not in (self.options.metric, self.key):
            return
        from optuna import TrialPruned

        self.trial.report(value, step)
        if self.trial.should_prune():
            raise TrialPruned(f"Not worth going on after step {step}: {name} is {value:g}.")

    def run_fails(self, run: "RunCapture", error: BaseException) -> str | None:
        from optuna import TrialPruned

        pruned = isinstance(error, TrialPruned)
        run.journal.append("tags", values={STATE: "PRUNED" if pruned else "FAIL"})
        return "KILLED" if pruned else None

    def run_ends(self, run: "RunCapture", catalog: "DataCatalog") -> None:
        for record in all_records(run.journal.folder):
            if record.kind == "metrics":
                self.metrics.update({name: value for name, value, _ in record.data["values"]})
        # Whoever leads the study may have given it up meanwhile.
        is_stale = self.trial and f"{STALE}{self.trial.number}" in self.trial.study.user_attrs
        run.journal.append("tags", values={STATE: "FAIL" if is_stale else "COMPLETE"})

    @property
    def key(self) -> str:
        """The metric's name in MLflow."""
        return f"{self.dataset}/{self.options.metric}"

    def value(self) -> float:
        """Return the metric; a TrackingError says that the run has not logged it."""
        for name in (self.key, self.options.metric):
            if name in self.metrics:
                return self.metrics[name]
        known = [name.removeprefix(f"{self.dataset}/") for name in self.metrics]
        near = get_close_matches(self.options.metric, known, n=1, cutoff=0.0)
        meant = f" The nearest one is '{near[0]}'." if near else ""
        raise TrackingError(
            f"{FILE}: no node logs the metric '{self.options.metric}' in '{self.dataset}' "
            f"(there: {listed(known) or 'none'}).{meant}"
        )


def _in_memory(start: RunStart, kept: Mapping[str, MemoryDataset]) -> None:
    """Write no file of the catalog but those that are read in another way (`name@kind`)."""
    for name in start.pipeline.all_outputs():
        if "@" not in name:
            start.catalog[name] = MemoryDataset()
    for name, dataset in kept.items():
        start.catalog[name] = dataset


class Runner:
    """Runs trials in this process."""

    def __init__(
        self,
        session: KedroServiceSession,
        config: KedroMlflowConfig,
        options: TuningOptions,
        dataset: str,
        slices: Slices,
    ) -> None:
        self._session, self._options = session, options
        self._dataset, self._slices = dataset, slices
        self.config, self._config = config, _for_trials(config)
        self._hook, self._has_shared = hook_of_project(), False
        self._kept = {name: _Kept() for name in slices.between}

    def run(
        self, name: str, values: Mapping[str, Any], tags: Mapping[str, str], trial: "Trial | None"
    ) -> float:
        """Run a trial, and return its metric; it raises what its nodes raise.

        What all trials have in common runs before the first one, once.
        """
        if self._slices.shared.nodes and not self._has_shared:
            self._run("shared", _Sharing(self._kept), self._slices.shared.nodes, {})
            self._has_shared = True
        listener = _Trial(name, self._options, self._dataset, self._kept, tags, trial)
        self._run(name, listener, self._slices.trial.nodes, nested(values))
        value = listener.value()
        if not math.isfinite(value):
            raise ValueError(f"{self._options.metric} is {value}")
        return value

    def _run(
        self, name: str, listener: RunListener, nodes: Sequence[Any], params: dict[str, Any]
    ) -> None:
        run = self._config.tracking.run.model_copy(update={"name": name})
        tracking = self._config.tracking.model_copy(update={"run": run})
        config = self._config.model_copy(update={"tracking": tracking})
        with quiet(), self._hook.led_by([listener], config):
            try:
                self._session.run(
                    run_id=f"{generate_timestamp()}-{name.replace(' ', '-')}",
                    pipeline_names=[self._options.pipeline],
                    node_names=[node.name for node in nodes],
                    runtime_params=params,
                )
            finally:
                self._hook.end_open_runs()


def hook_of_project() -> Any:
    """Return the hook that tracks runs."""
    return next(hook for hook in settings.HOOKS if hasattr(hook, "led_by"))


def _for_trials(config: KedroMlflowConfig) -> KedroMlflowConfig:
    """Leave out what a trial's run does not need: models, data sets, copies elsewhere."""
    options = config.tracking
    off = dict.fromkeys(("models", "lineage", "timeline", "system"), False)
    # A trial without its metric is of no use, whatever `kedro run` tracks.
    every = options.disable_tracking.model_copy(update={"pipelines": []})
    tracking = options.model_copy(
        update={
            "disable_tracking": every,
            "diff": DiffOptions(max_kilobytes=0),  # The whole run at the end has it.
            "capture": options.capture.model_copy(update={**off, "metrics": True}),
            "run": options.run.model_copy(update={"id": None, "nested": None}),
            "artifacts": options.artifacts.model_copy(update={"datasets": []}),
        }
    )
    return config.model_copy(update={"tracking": tracking, "mirrors": []})


@contextmanager
def quiet() -> Iterator[None]:
    """Let trials write no line for each node: one line for each trial is enough."""
    mine = logging.getLogger(f"{PACKAGE}.mlops")
    # Some have a level of their own, by the project's logging.yml.
    kedros = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    kedros = [each for each in kedros if each.name.partition(".")[0] == "kedro"]
    before = {each: each.level for each in kedros}, mine.level
    for each in kedros:
        each.level = logging.CRITICAL
    mine.setLevel(logging.WARNING)  # This alone clears the caches of all, which takes its time.
    try:
        yield
    finally:
        for each, level in before[0].items():
            each.level = level
        mine.setLevel(before[1])
