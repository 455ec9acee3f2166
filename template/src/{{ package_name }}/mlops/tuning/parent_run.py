"""The run above the trials: the study at a glance, with its figures and its table."""

import csv
import io
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backend.client import connect, require_reachable
from ..backend.pages import has_pages, page
from ..config import DiffOptions, KedroMlflowConfig
from ..orchestration.project import OpenedProject
from ..redaction import mask
from ..tracking.capture.sources import Sources
from ..tracking.capture.tags import run_tags
from ..tracking.capture.values import MAX_TAG_LENGTH, consumed_parameters, to_mlflow
from ..tracking.shipping.runs import find_experiment
from .options import TuningOptions
from .study import Study
from .trials import NUMBER, STATE, STUDY

if TYPE_CHECKING:
    from mlflow import MlflowClient

_RUN = "run_id"  # What the study says of it.
_FOLDER = "tuning"
_BATCH = 100


@dataclass(frozen=True)
class ParentRun:
    """The run in MLflow whose children are the trials."""

    client: "MlflowClient"
    config: KedroMlflowConfig
    run_id: str
    experiment_id: str

    @property
    def address(self) -> str:
        """Its page, or the command that opens it."""
        if has_pages(self.config.server.uri):
            return page(self.config.server.uri, self.experiment_id, self.run_id)
        return self.config.typed(f"ui --run-id {self.run_id}")

    def tags_of(self, study: str) -> dict[str, str]:
        """Return what makes a trial's run its child."""
        return {"mlflow.parentRunId": self.run_id, STUDY: study}

    def finish(
        self,
        study: Study,
        options: TuningOptions,
        status: str,
        baseline: float | None = None,
        more: Mapping[str, str] | None = None,
    ) -> None:
        """Log what came of the study, and end the run."""
        from matplotlib import pyplot

        client, run_id = self.client, self.run_id
        for name, value in {**summary(study, options, baseline), **(more or {})}.items():
            client.set_tag(run_id, name, value[:MAX_TAG_LENGTH])
        self._log_metrics(study, options, baseline)
        client.log_text(run_id, table(study, options), f"{_FOLDER}/trials.csv")
        for name, figure in figures(study, options).items():
            client.log_figure(run_id, figure, f"{_FOLDER}/{name}.png")
            pyplot.close(figure)
        self._mark_stale(study)
        client.set_terminated(run_id, status)

    def _log_metrics(self, study: Study, options: TuningOptions, baseline: float | None) -> None:
        from mlflow.entities import Metric

        metrics, so_far = [], []
        better = max if options.direction == "maximize" else min
        for trial in study.trials("COMPLETE"):
            assert trial.datetime_complete
            assert trial.value is not None
            so_far.append(trial.value)
            at = int(trial.datetime_complete.timestamp() * 1000)
            metrics.append(Metric(options.metric, trial.value, at, trial.number))
            metrics.append(Metric(f"best/{options.metric}", better(so_far), at, trial.number))
        if baseline is not None:
            at = int(time.time() * 1000)
            metrics.append(Metric(f"baseline/{options.metric}", baseline, at, 0))
        for start in range(0, len(metrics), _BATCH):
            self.client.log_batch(self.run_id, metrics[start : start + _BATCH])

    def _mark_stale(self, study: Study) -> None:
        """Let no run of a trial that was given up count, or be under way for ever."""
        for number in study.stale():
            wanted = f"tags.`{STUDY}` = '{study.name}' and tags.`{NUMBER}` = '{number}'"
            for run in self.client.search_runs([self.experiment_id], wanted):
                self.client.set_tag(run.info.run_id, STATE, "FAIL")
                if run.info.status == "RUNNING":
                    self.client.set_terminated(run.info.run_id, "FAILED")


def begin(project: OpenedProject, options: TuningOptions, study: Study) -> ParentRun:
    """Make the study's run, or continue it."""
    config = project.config
    require_reachable(config.server)
    client = connect(config.server)
    if run_id := study.optuna.user_attrs.get(_RUN):
        run = client.get_run(run_id)
        client.update_run(run_id, "RUNNING")
        return ParentRun(client, config, run_id, run.info.experiment_id)
    patterns = config.redaction.patterns
    tags = run_tags(project.run_params, [options.pipeline], patterns)
    del tags["kedro.runner"]
    project_path = Path(project.run_params["project_path"])
    tags |= Sources(project_path, DiffOptions(max_kilobytes=0)).tags()
    tags |= {"kedro.command": "kedro mlflow tune", STUDY: study.name}
    experiment_id = find_experiment(client, config.tracking.experiment)
    name = f"tuning: {options.metric}"
    run_id = client.create_run(experiment_id, run_name=name, tags=tags).info.run_id
    study.optuna.set_user_attr(_RUN, run_id)
    parent = ParentRun(client, config, run_id, experiment_id)
    searched = mask("", options.model_dump(mode="json", exclude={"storage"}), patterns)
    client.log_dict(run_id, searched, f"{_FOLDER}/tuning.yml")
    fixed = consumed_parameters(project.pipeline, project.catalog, patterns)
    for kind, key, text in to_mlflow(fixed, config.tracking.params):
        log = client.log_param if kind == "params" else client.set_tag
        log(run_id, key, text)
    return parent


def summary(study: Study, options: TuningOptions, baseline: float | None) -> dict[str, str]:
    """Describe the study by tags: what came of the trials, and the best of them."""
    states = [trial.state.name.lower() for trial in study.trials()]
    counts = {name: states.count(name) for name in ("complete", "pruned", "fail")}
    tags = {"tuning.trials": ", ".join(f"{count} {name}" for name, count in counts.items())}
    if baseline is not None:
        tags["tuning.baseline"] = f"{options.metric} = {baseline:g}"
    if counts["complete"]:
        best = study.optuna.best_trial
        values = ", ".join(f"{name} = {value}" for name, value in best.params.items())
        found = f"trial {best.number}: {options.metric} = {best.value:g} with {values}"
        tags["tuning.best"] = found
        tags["mlflow.note.content"] = (
            f"The best of {len(states)} trials is {found}. `{_FOLDER}/trials.csv` lists all."
        )
    return tags


def table(study: Study, options: TuningOptions) -> str:
    """Write all trials as CSV."""
    names = list(options.search)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", options.metric, *names, "seconds", "note"])
    stale = study.stale()
    for trial in study.optuna.get_trials(deepcopy=False):
        values = [trial.params.get(name, "") for name in names]
        note = "its process was gone" if trial.number in stale else ""
        seconds = trial.duration.total_seconds() if trial.duration else ""
        writer.writerow([trial.number, trial.state.name, trial.value, *values, seconds, note])
    return text.getvalue()


def figures(study: Study, options: TuningOptions) -> dict[str, Any]:
    """Draw what there is enough for: history, importances, parallel coordinates."""
    import matplotlib as mpl
    import optuna.visualization.matplotlib as drawn

    complete = study.trials("COMPLETE")
    kinds: dict[str, Callable[..., Any]] = {}
    if complete:
        kinds["history"] = drawn.plot_optimization_history
    if len({trial.value for trial in complete}) > 1:
        kinds["importances"] = drawn.plot_param_importances
        kinds["parallel_coordinates"] = drawn.plot_parallel_coordinate
    found = {}
    with warnings.catch_warnings(), mpl.rc_context():
        warnings.simplefilter("ignore")
        for name, draw in kinds.items():
            try:
                figure = draw(study.optuna, target_name=options.metric).figure
            except (RuntimeError, ValueError):  # There is too little to draw it from.
                continue
            figure.set_size_inches(10, 6)
            figure.set_layout_engine("tight")
            found[name] = figure
    return found
