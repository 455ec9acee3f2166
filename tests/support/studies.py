"""Projects that search parameters, whose trials are over in a moment, and what came of a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from optuna import Study, get_all_study_names, load_study

from tests.support.processes import wait_until
from tests.support.project import Project
from tests.support.tiny import small

# `rows` is above all that is searched; `broken` never ends well, `slow` takes its time.
PIPELINES = """
import os, time
from pathlib import Path
from kedro.pipeline import Pipeline, node
from ..mlops import report_metric

def rows(seed):
    with open("shared", "a") as file:
        print(os.getpid(), file=file)
    return [seed] * 3

def fit(rows, alpha, kind, slow):
    rows.append(1)  # Another trial must not see it.
    assert len(rows) == 4
    if kind == "broken":
        raise RuntimeError("it is broken")
    for step in range(3):
        report_metric("rmse", alpha + step, step)
        time.sleep(slow)
    return {"alpha": alpha}

def evaluate(model):
    return {"rmse": model["alpha"], "rows": 3.0}

def draw(model):
    Path("drawn").touch()
    return 1

PIPELINES = {"__default__": Pipeline([
    node(rows, "params:seed", "rows", name="rows"),
    node(fit, ["rows", "params:alpha", "params:kind", "params:slow"], "model", name="fit"),
    node(evaluate, "model", "evaluation", name="evaluate"),
    node(draw, "model", "unread", name="draw"),
])}
"""
PARAMETERS = "alpha: 5.0  # ours\nkind: whole\nslow: 0.0\nseed: 1\n"
CATALOG = "model: {type: json.JSONDataset, filepath: data/model.json}\n"
TUNING = """
metric: rmse
search:
  alpha: {low: 0, high: 10}
sampler: random
seed: 3
trials: 12
"""
STUDIES = ".kedro_mlflow/tuning/studies.log"

OPTUNA = ("--no-deps", "optuna>=5,<6", "colorlog", "tqdm")


def searching(project: Project) -> Project:
    """Give the project a search whose trials are over in a moment."""
    small(project, PIPELINES)
    project.write("conf/base/parameters.yml", PARAMETERS)
    project.write("conf/base/catalog.yml", CATALOG)
    project.write("conf/base/tuning.yml", TUNING)
    return project


@dataclass(frozen=True)
class Searched:
    """A study: what Optuna has of it, and what MLflow has.

    Attributes:
        uri: MLflow's, which is opened late: a search makes the tables of a new database.
        storage: Optuna's, opened by whoever looks.
    """

    uri: str
    storage: Any

    @property
    def client(self) -> MlflowClient:
        """MLflow's client."""
        return MlflowClient(self.uri)

    def study(self) -> Study:
        """The newest study."""
        return load_study(study_name=max(get_all_study_names(self.storage)), storage=self.storage)

    def runs(self) -> list[Run]:
        """All runs of the study's experiment."""
        found = [each.experiment_id for each in self.client.search_experiments()]
        return list(self.client.search_runs(found))

    def parent(self) -> Run:
        """The study's run."""
        name = self.study().study_name
        (run,) = (
            run
            for run in self.runs()
            if run.data.tags.get("tuning.study") == name
            and "mlflow.parentRunId" not in run.data.tags
        )
        return run

    def children(self, state: str | None = None) -> list[Run]:
        """The trials' runs."""
        parent = self.parent().info.run_id
        return [
            run
            for run in self.runs()
            if run.data.tags.get("mlflow.parentRunId") == parent
            and "tuning.trial" in run.data.tags
            and state in (None, run.data.tags.get("tuning.state"))
        ]

    def wait_for(
        self, complete: int, processes: int = 1, attribute: str = "process", given_up: int = 0
    ) -> None:
        """Wait until so many trials are complete, and so many processes have taken part."""

        def has_come() -> bool:
            if not get_all_study_names(self.storage):
                return False
            study = self.study()
            trials = study.trials
            stale = sum(name.startswith("stale/") for name in study.user_attrs)
            done = sum(trial.state.name == "COMPLETE" for trial in trials)
            seen = {trial.user_attrs.get(attribute) for trial in trials} - {None}
            return done >= complete and len(seen) >= processes and stale >= given_up

        wait_until(has_come)

    def lost_nothing(self, trials: int) -> set[int]:
        """Check that so many trials count, each once; the numbers of those that were given up."""
        study = self.study()
        named = [name for name in study.user_attrs if name.startswith("stale/")]
        stale = {int(name.partition("/")[2]) for name in named}
        states = {trial.number: trial.state.name for trial in study.trials}
        assert {states[number] for number in stale} <= {"FAIL"}
        others = {number: state for number, state in states.items() if number not in stale}
        assert list(others.values()) == ["COMPLETE"] * trials

        # The same values were tried again.
        again = {trial.user_attrs.get("retries"): trial for trial in study.trials}
        for number in stale:
            assert study.trials[number].params.items() <= again[number].params.items()

        # MLflow has each trial once, and none is under way.
        children = {int(run.data.tags["tuning.trial"]): run for run in self.children()}
        assert len(children) == len(self.children())
        assert children.keys() - stale == others.keys()
        for number in others:
            assert children[number].info.status == "FINISHED"
        assert not [run for run in self.runs() if run.info.status == "RUNNING"]
        for number, run in children.items():
            assert run.data.tags["tuning.state"] == ("FAIL" if number in stale else "COMPLETE")
        return stale
