"""Tune, compare, reproduce, monitor and prune, with runs on PostgreSQL behind a server.

The commands of docs/tuning.md and docs/reproduce.md are run as they are written there.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.storages import get_storage

from tests.support import answers
from tests.support.databases import PASSWORD, PostgreSQL
from tests.support.pages import commands_of, page
from tests.support.profiles import weekly
from tests.support.project import Project, call_it
from tests.support.shared import packages
from tests.support.studies import OPTUNA, Searched
from tests.support.tiny import said

# By the page: its commands, and what the tests of this file give in the place of a part of them;
# none for a command that another test runs.
COMMANDS: dict[str, dict[str, tuple[str, str] | None]] = {
    "tuning.md": {
        # tests/update/test_answers.py
        'kedro mlflow update -d "features=[tuning]"': None,
        "kedro mlflow tune --trials 20": ("20", "3 --jobs 2 --write"),
        "kedro mlflow tune --resume": ("--resume", "--resume --trials 4 --no-run"),
        # tests/backends/test_tuning_on_dask.py
        "kedro mlflow tune --scheduler tcp://HOST:8786": None,
        "kedro mlflow tune --scheduler tcp://HOST:8786 --resume": None,
    },
    "reproduce.md": {
        "kedro mlflow reproduce --version 1": ("1", "1 --tolerance 1e-6 --yes"),
        "kedro mlflow reproduce RUN": ("RUN", "RUN --exact --keep"),
    },
}

# Of its experiment and its registered model.
NAME = "studied"


def shown_by(name: str) -> set[str]:
    """The commands of the project's own that a page shows, in blocks or in a sentence."""
    text = page(f"docs/{name}")
    shown = {each.removeprefix("uv run ") for each in commands_of(text)}
    found = {each for each in shown if each.startswith("kedro mlflow ")}
    return {*found, *re.findall(r"`(kedro mlflow reproduce [A-Z]+)`", text)}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_page_is_run(name: str) -> None:
    assert shown_by(name) == COMMANDS[name].keys()


class Studied(NamedTuple):
    """The regression with a version in a registry on PostgreSQL; it is under git."""

    project: Project
    client: MlflowClient
    storage: str
    variables: dict[str, str]

    def kedro(self, *arguments: str, code: int = 0) -> str:
        result = self.project.kedro(*arguments, code=code, env=self.variables)
        screen = said(result.stdout + result.stderr)
        assert PASSWORD not in screen
        assert "Traceback" not in screen
        return screen

    def typed(self, command: str, run: str = "RUN") -> str:
        """Run a command of a page, in the form that COMMANDS has of it."""
        (change,) = (found[command] for found in COMMANDS.values() if command in found)
        assert change
        _, *arguments = command.replace(*change).replace("RUN", run).split()
        return self.kedro(*arguments)

    def runs(self) -> list[Run]:
        """All runs of its experiment, the newest first."""
        experiment = self.client.get_experiment_by_name(NAME)
        assert experiment
        return list(self.client.search_runs([experiment.experiment_id]))

    def whole_runs(self) -> list[Run]:
        """Those that have registered a version, the oldest first."""
        found = self.client.search_model_versions(f"name = '{NAME}'")
        ids = [str(each.run_id) for each in sorted(found, key=lambda each: int(each.version))]
        return [self.client.get_run(each) for each in ids]

    def files(self, run: Run, folder: str) -> set[str]:
        return {each.path for each in self.client.list_artifacts(run.info.run_id, folder)}


@pytest.fixture(scope="module")
def studied(
    installed: Project,
    template: Path,
    postgresql: PostgreSQL,
    plain_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Studied]:
    given = {"features": "[tuning, monitoring]", "tracking_preset": "server"}
    folder = tmp_path_factory.mktemp("studied") / "project"
    answers.render(template, folder, {**given, "backend_store": "postgresql"})
    project = Project(folder, installed.environment)
    call_it(project, NAME)
    kept = 'storage: "${oc.env:TUNING_STORAGE}"'
    project.edit("conf/base/tuning.yml", "storage: null", kept)
    subprocess.run(["uv", "lock", "--quiet"], cwd=folder, check=True)
    answers.git(folder, "init", "--quiet")
    answers.git(folder, "add", "--all")
    answers.git(folder, "commit", "--quiet", "--message", "Start")
    storage = postgresql.create("studies_of_regression")
    variables = {
        "MLFLOW_TRACKING_URI": plain_server,
        "TUNING_STORAGE": storage,
        "PYTHONPATH": str(packages(installed, tmp_path_factory, "optuna", *OPTUNA)),
    }
    found = Studied(project, MlflowClient(plain_server), storage, variables)
    found.kedro("run")
    yield found
    shutil.rmtree(folder)


@weekly
def test_a_version_is_reproduced(studied: Studied) -> None:
    (run,) = studied.whole_runs()
    shown = studied.typed("kedro mlflow reproduce RUN", run.info.run_id)
    assert f"The run {run.info.run_id} was reproduced exactly" in shown
    tags = studied.client.get_run(run.info.run_id).data.tags
    assert tags["reproduced"].startswith("exactly")
    assert studied.files(run, "reproduction")
    assert "was reproduced" in studied.typed("kedro mlflow reproduce --version 1")
    assert len(studied.runs()) == 1


@weekly
def test_a_search_ends_in_a_challenger(studied: Studied) -> None:
    project = studied.project
    # Whatever is drawn is better than this.
    project.edit("conf/base/parameters.yml", "alpha: 10", "alpha: 1000000")
    answers.git(project.folder, "commit", "--quiet", "--all", "--message", "Worse")
    assert "Baseline: " in studied.typed("kedro mlflow tune --trials 20")
    searched = Searched(studied.variables["MLFLOW_TRACKING_URI"], get_storage(studied.storage))
    parent, children = searched.parent(), searched.children()
    assert parent.info.status == "FINISHED"
    assert "tuning/trials.csv" in studied.files(parent, "tuning")
    assert sorted(run.data.tags["tuning.trial"] for run in children) == ["0", "1", "2"]
    assert {run.info.status for run in children} == {"FINISHED"}
    best = searched.study().best_value
    assert best < parent.data.metrics["baseline/rmse"]
    challenger = studied.whole_runs()[-1]
    assert challenger.data.metrics["evaluation/rmse"] == pytest.approx(best)
    assert answers.git(project.folder, "status", "--short").count("parameters.yml") == 1
    assert "Study " in studied.typed("kedro mlflow tune --resume")
    assert not searched.lost_nothing(4)


@weekly
def test_runs_are_compared(studied: Studied) -> None:
    studied.kedro("run", "--params", "model.alpha=1000000")
    first, *_, last = studied.whole_runs()
    shown = studied.kedro("mlflow", "compare", first.info.run_id, last.info.run_id)
    assert "All have predicted again for the holdout of the first" in shown
    assert "worse" in shown
    assert f"comparison/against-{first.info.run_id}.md" in studied.files(last, "comparison")
    assert " against " in studied.kedro("mlflow", "compare", "--best", "2")


@weekly
def test_a_scoring_runs_drift_is_seen_and_the_truth_judged(studied: Studied) -> None:
    folder = studied.project.folder
    (path,) = (folder / "data/01_raw").glob("*.csv")
    truth = pd.read_csv(path).dropna().sample(150, random_state=4).reset_index(drop=True)
    shifted = truth.drop(columns="progression").assign(bmi=(truth["bmi"] * 1.3).round(1))
    shifted.to_csv(folder / "data/05_model_input/instances.csv", index=False)
    shown = studied.kedro("run", "--pipelines", "inference")
    assert "drifted since the training (bmi psi" in shown
    run = studied.runs()[0]
    assert run.data.metrics["drift/bmi/psi"] > 0.25
    assert studied.files(run, "drift") == {"drift/drift.csv", "drift/drift.png"}
    assert "input bmi, 150 rows: psi" in studied.kedro("mlflow", "monitor", code=1)

    truth.to_csv(folder / "truth.csv", index=False)
    predictions = ("--predictions", "data/07_model_output/predictions.csv")
    result = studied.project.fork(
        *("kedro", "mlflow", "judge", *predictions, "--truth", "truth.csv"), env=studied.variables
    )
    result.communicate()  # Data that have drifted may break a promise.
    run = studied.runs()[0]
    assert run.info.run_name == "judge version 1"
    assert run.data.metrics["truth/rmse"] > 0


@weekly
def test_what_is_old_is_pruned(studied: Studied, postgresql: PostgreSQL) -> None:
    for seed in (5, 6):
        studied.kedro("run", "--params", f"split.seed={seed}")
    before = studied.whole_runs()
    champion, old = before[0], before[-2]
    ms = 100 * 86_400_000
    with postgresql.connect("plain") as database:
        for run in (champion, old):
            run_id = run.info.run_id
            database.execute(
                "UPDATE runs SET end_time = end_time - %s WHERE run_uuid = %s", (ms, run_id)
            )
            database.execute(
                "UPDATE model_versions SET creation_time = creation_time - %s WHERE run_id = %s",
                (ms, run_id),
            )
    shown = studied.kedro("mlflow", "prune", "--older-than", "90d")
    assert "would be deleted: --yes does it." in shown
    assert len(studied.whole_runs()) == len(before)
    studied.kedro("mlflow", "prune", "--older-than", "90d", "--yes")
    left = [run.info.run_id for run in studied.whole_runs()]
    assert left == [run.info.run_id for run in before if run is not old]
    assert not studied.files(old, "figures")
    assert studied.client.get_run(old.info.run_id).data.params == old.data.params
    studied.kedro("run", "--pipelines", "inference")
