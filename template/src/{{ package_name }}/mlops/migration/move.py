"""The whole move: experiments with runs, models and traces, then registered models."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..backend.client import if_exists
from ..config import KedroMlflowConfig
from .experiments import move_experiment
from .models import move_model, move_model_metrics
from .notes import noted
from .pages import pages
from .places import ENDED, PARENT_RUN, Place
from .runs import move_run
from .traces import move_trace, trace_ids
from .versions import move_registered_model

if TYPE_CHECKING:
    from mlflow.entities import Experiment, LoggedModel, Run
    from mlflow.entities.model_registry import RegisteredModel

# MLflow makes this experiment itself, everywhere.
_DEFAULT_EXPERIMENT = "0"


@dataclass
class Move:
    """One move.

    Attributes:
        source: where everything is.
        target: where it goes.
        config: mlflow.yml, its places absolute.
        tell: shows a line of progress.
        experiments: the ids of experiments at the target, by those at the source.
        runs: the same of runs; none for one that stays.
        models: the same of logged models.
        traces: the traces that went, which keep their ids.
        left: how many runs stay because they, or those that they belong to, have not ended.
        notes: what could not be moved, and why.
    """

    source: Place
    target: Place
    config: KedroMlflowConfig
    tell: Callable[[str], None]
    experiments: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str | None] = field(default_factory=dict)
    models: dict[str, str | None] = field(default_factory=dict)
    traces: set[str] = field(default_factory=set)
    left: int = 0
    notes: list[str] = field(default_factory=list)

    def bring_all(self) -> None:
        """Move what is not there yet."""
        for experiment in self.experiments_here():
            if experiment.experiment_id != _DEFAULT_EXPERIMENT:
                self.experiment(experiment.experiment_id)
            for run in self.runs_here(experiment):
                with noted(self.notes, f"Run '{run.info.run_name}' ({run.info.run_id})"):
                    self.left += self.run(run.info.run_id) is None
            for model in self.models_here(experiment):
                with noted(self.notes, f"Model {model.name} ({model.model_id})"):
                    # One that a run has left unfinished stays with it.
                    if model.source_run_id is None or self.run(model.source_run_id):
                        self.model(model.model_id)
            for trace_id in trace_ids(self.source, experiment.experiment_id):
                with noted(self.notes, f"Trace {trace_id}"):
                    target_id = self.experiment(experiment.experiment_id)
                    if move_trace(self, trace_id, target_id):
                        self.traces.add(trace_id)
        for registered in self.registered_here():
            with noted(self.notes, f"Registered model {registered.name}"):
                move_registered_model(self, registered)
        for model_id in [here for here, there in self.models.items() if there]:
            with noted(self.notes, f"Metrics of the model {model_id}"):
                move_model_metrics(self, self.source.client.get_logged_model(model_id))

    def experiment(self, experiment_id: str) -> str:
        """Tell which experiment one of the source is at the target; bring it there first."""
        if experiment_id not in self.experiments:
            experiment = self.source.client.get_experiment(experiment_id)
            self.experiments[experiment_id] = move_experiment(self, experiment)
        return self.experiments[experiment_id]

    def run(self, run_id: str) -> str | None:
        """Tell which run one of the source is at the target; bring it there first.

        Returns:
            Its id; none if it stays: it is deleted, or it or its parent have not ended.
        """
        if run_id not in self.runs:
            run = if_exists(self.source.client.get_run, run_id)
            if run is None or not self._may_go(run):
                self.runs[run_id] = None
            else:
                move_run(self, run)
        return self.runs[run_id]

    def model(self, model_id: str) -> str | None:
        """Tell which logged model one of the source is at the target; bring it there first.

        Returns:
            Its id; none if it stays: it is deleted, or was never finished.
        """
        if model_id not in self.models:
            model = if_exists(self.source.client.get_logged_model, model_id)
            if model is None or str(model.status) == "PENDING":
                self.models[model_id] = None
            else:
                move_model(self, model)
        return self.models[model_id]

    def note(self, run: "Run", what: str) -> None:
        """Remember what of a run could not be moved."""
        self.notes.append(f"Run '{run.info.run_name}' ({run.info.run_id}): {what}")

    def experiments_here(self) -> "Iterator[Experiment]":
        """List the experiments of the source, without deleted ones."""
        return pages(self.source.client.search_experiments)

    def runs_here(self, experiment: "Experiment") -> "Iterator[Run]":
        """List the runs of an experiment of the source in the order of their start."""
        experiments = [experiment.experiment_id]
        order = ["attributes.start_time ASC"]
        return pages(self.source.client.search_runs, experiments, order_by=order)

    def models_here(self, experiment: "Experiment") -> "Iterator[LoggedModel]":
        """List the logged models of an experiment of the source."""
        return pages(self.source.client.search_logged_models, [experiment.experiment_id])

    def registered_here(self) -> "Iterator[RegisteredModel]":
        """List the registered models of the source."""
        return pages(self.source.client.search_registered_models)

    def _may_go(self, run: "Run") -> bool:
        """Tell whether a run has ended, and so have its parents; a deleted one stays."""
        if run.info.lifecycle_stage != "active" or run.info.status not in ENDED:
            return False
        parent_id = run.data.tags.get(PARENT_RUN)
        parent = parent_id and if_exists(self.source.client.get_run, parent_id)
        return not parent or parent.info.lifecycle_stage != "active" or self._may_go(parent)
