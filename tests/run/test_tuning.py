"""`kedro mlflow tune`: trials are Kedro runs of a warm process, and child runs of the study's."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from compileall import compile_dir
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from mlflow import MlflowClient
from optuna import Study
from optuna.storages import JournalStorage, get_storage
from optuna.storages.journal import JournalFileBackend

from tests.support import answers
from tests.support.forked_kedro import Forked
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project, copy_of
from tests.support.shared import packages
from tests.support.studies import (
    OPTUNA,
    PARAMETERS,
    STUDIES,
    TUNING,
    Searched,
    searching,
)
from tests.support.tiny import each_of, journals, quick_figures


class Tuned(NamedTuple):
    """A project that asked for tuning, whose packages are beside those of the environment."""

    project: Project
    packages: Path

    @property
    def env(self) -> dict[str, str]:
        return {"PYTHONPATH": f"{self.project.folder}/src:{self.packages}"}

    def tune(self, *options: str, code: int = 0) -> str:
        """Search; what the screen shows."""
        result = self.project.kedro("mlflow", "tune", *options, code=code, env=self.env)
        return result.stdout + result.stderr

    def study(self) -> Study:
        return self.searched.study()

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.project.folder}/mlflow.db"

    @property
    def searched(self) -> Searched:
        path = self.project.folder / STUDIES
        path.parent.mkdir(parents=True, exist_ok=True)
        journal = JournalFileBackend(str(path))
        return Searched(self.uri, JournalStorage(journal))


@pytest.fixture(scope="module")
def optuna(rendered: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packages(rendered, tmp_path_factory, "optuna", *OPTUNA)


@pytest.fixture(scope="module")
def original(
    rendered: Project, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    folder = tmp_path_factory.mktemp("tuning") / "project"
    answers.render(template, folder, {"features": "[tuning]"})
    compile_dir(folder / "src", quiet=1)  # Or each copy's first command would.
    return searching(Project(folder, rendered.environment))


@pytest.fixture
def tuned(original: Project, optuna: Path, tmp_path: Path) -> Tuned:
    return Tuned(copy_of(original, tmp_path), optuna)


def example(template: Path, rendered: Project, optuna: Path, folder: Path, name: str) -> Tuned:
    answers.render(template, folder, {"features": "[tuning]", "example": name})
    answers.git(folder, "init", "--quiet")
    return Tuned(Project(folder, rendered.environment), optuna)


# --- one process ---


def test_a_study_is_a_run_above_its_trials(tuned: Tuned) -> None:
    screen = tuned.tune("--no-run")
    project, study = tuned.project, tuned.study()
    states = Counter(trial.state.name for trial in study.trials)
    assert states["COMPLETE"] + states["PRUNED"] == 12
    assert states["PRUNED"] > 0

    # Each trial is a child run, once, and ends as it did.
    children = {int(run.data.tags["tuning.trial"]): run for run in tuned.searched.children()}
    assert sorted(children) == list(range(12))
    assert len(tuned.searched.children()) == 12
    status = {"COMPLETE": "FINISHED", "PRUNED": "KILLED"}
    for trial in study.trials:
        run = children[trial.number]
        assert run.info.status == status[trial.state.name]
        assert run.data.tags["tuning.state"] == trial.state.name
        assert run.data.params["alpha"] == str(trial.params["alpha"])
        if trial.state.name == "COMPLETE":
            assert run.data.metrics["evaluation/rmse"] == trial.value
        history = project.client.get_metric_history(run.info.run_id, "rmse")
        assert {point.step: point.value for point in history} == trial.intermediate_values
    command = children[0].data.tags["kedro.command"]
    assert "--to-outputs evaluation --params alpha=" in command

    # The run above them says what came of it.
    parent = tuned.searched.parent()
    assert parent.info.status == "FINISHED"
    assert (
        f"{states['COMPLETE']} complete, {states['PRUNED']} pruned"
        in (parent.data.tags["tuning.trials"])
    )
    assert parent.data.params == {"alpha": "5.0", "kind": "whole", "slow": "0.0", "seed": "1"}
    assert parent.data.metrics["baseline/rmse"] == 5.0
    assert parent.data.metrics["best/rmse"] == study.best_value
    kept = {each.path for each in project.client.list_artifacts(parent.info.run_id, "tuning")}
    names = ("history.png", "importances.png", "parallel_coordinates.png", "trials.csv")
    assert kept == {f"tuning/{name}" for name in (*names, "tuning.yml")}
    table = project.client.download_artifacts(parent.info.run_id, "tuning/trials.csv")
    assert len(Path(table).read_text("utf-8").splitlines()) == 13

    # What nothing touches ran once; nothing was written, drawn or registered.
    assert len((project.folder / "shared").read_text().split()) == 1
    assert not (project.folder / "data/model.json").exists()
    assert not (project.folder / "drawn").exists()
    assert project.client.search_model_versions() == []
    assert not any((project.folder / ".kedro_mlflow/journal").iterdir())

    # And what to change, which another call writes.
    best = study.best_params["alpha"]
    assert f"-alpha: 5.0  # ours\n+alpha: {best}  # ours\n" in screen
    parameters = project.folder / "conf/base/parameters.yml"
    assert parameters.read_text("utf-8") == PARAMETERS
    tuned.tune("--resume", "--write", "--no-run")
    assert parameters.read_text("utf-8") == PARAMETERS.replace("5.0", str(best))
    assert len(tuned.study().trials) == 12
    assert tuned.searched.parent().info.status == "FINISHED"


def test_a_trial_that_fails_is_one_of_many(tuned: Tuned) -> None:
    search = "search:\n  kind: {choices: [whole, broken]}\n"
    tuned.project.edit("conf/base/tuning.yml", "search:\n", search)
    screen = tuned.tune("--no-run", "--trials", "8")
    states = Counter(trial.state.name for trial in tuned.study().trials)
    assert sum(states.values()) == 8
    assert states["FAIL"] > 0
    failed = tuned.searched.children("FAIL")
    assert len(failed) == states["FAIL"]
    assert {run.info.status for run in failed} == {"FAILED"}
    assert all("it is broken" in run.data.tags["kedro.failure"] for run in failed)
    assert screen.count("failed. it is broken") == states["FAIL"]


def test_what_is_wrong_is_said_before_the_first_trial(tuned: Tuned) -> None:
    path = "conf/base/tuning.yml"
    cases = [
        (("metric: rmse", "metric: rmsee\nbetter: lower"), "The nearest one is 'rmse'"),
        (("  alpha:", "  alfa:"), "no such parameter; the nearest one is 'alpha'"),
        (("metric:", "dataset: evaluated\nmetric:"), "'evaluated', which no node"),
        (("metric:", "storage: postgres://x\nmetric:"), "storage: postgres://x cannot be opened"),
        (("seed: 3", "seed: 3\npipeline: trainig"), "no pipeline 'trainig'"),
    ]
    wrong = [({path: TUNING.replace(old, new)}, "mlflow tune") for (old, new), _ in cases]
    broken = {"conf/base/parameters.yml": PARAMETERS.replace("kind: whole", "kind: broken")}
    *ended, on_dask, failed, resumed = each_of(
        tuned.project,
        [
            *wrong,
            ({path: TUNING}, "mlflow tune --scheduler tcp://x:1"),
            (broken, "mlflow tune"),
            ({path: TUNING.replace("high: 10", "high: 11")}, "mlflow tune --resume"),
        ],
        tuned.env,
    )
    for (_, sentence), (code, screen) in zip(cases, ended, strict=True):
        assert code == 1
        assert sentence in screen
        assert "Trial 0" not in screen
        assert "Traceback" not in screen
    assert on_dask[0] == 2
    assert "`uv run kedro mlflow update -d orchestrator=dask` adds" in on_dask[1]
    for (code, screen), sentence in ((failed, "it is broken"), (resumed, "begun (search)")):
        assert code == 1
        assert sentence in screen


def test_a_run_that_waits_is_delivered_to_its_mirror_as_well(tuned: Tuned) -> None:
    config = tuned.project.read("conf/base/mlflow.yml")
    mirror = "mirrors: [{mlflow_tracking_uri: '${oc.env:MIRROR}'}]\n"
    deadline = "shipping: {deadline: '${oc.env:DEADLINE,60}'}\n"
    tuned.project.write("conf/base/mlflow.yml", config + mirror + deadline)
    away = {"MIRROR": "http://127.0.0.1:9", "DEADLINE": "1"}
    tuned.project.kedro("run", env={**tuned.env, **away})
    assert len(journals(tuned.project)) == 1
    there = f"sqlite:///{tuned.project.folder}/mirror.db"
    options = ("tune", "--no-run", "--trials", "2")
    tuned.project.kedro("mlflow", *options, env={**tuned.env, "MIRROR": there})
    assert not journals(tuned.project)
    (mirrored,) = tuned.project.runs(MlflowClient(there))
    assert mirrored.info.status == "FINISHED"


# --- several processes, and what kills them ---


def test_two_commands_share_a_study_in_a_database(tuned: Tuned) -> None:
    """As two machines would; its address is in the environment, and in nothing that is kept."""
    storage = 'trials: 6\nstorage: "${oc.env:TUNING_STORAGE}"'
    tuned.project.edit("conf/base/tuning.yml", "trials: 12", storage)
    tuned.project.edit("conf/base/parameters.yml", "slow: 0.0", "slow: 0.1")
    address = f"sqlite:///{tuned.project.folder}/studies-of-CANARY.db"
    env = {**tuned.env, "TUNING_STORAGE": address}
    searched = Searched(tuned.uri, get_storage(address))
    first = tuned.project.fork("kedro", "mlflow", "tune", "--no-run", env=env)
    searched.wait_for(2)
    tuned.project.kedro("mlflow", "tune", "--no-run", "--resume", env=env)
    first.communicate(timeout=120)
    assert first.returncode == 0
    trials = searched.study().trials
    assert len(trials) == 6
    assert all(trial.state.is_finished() for trial in trials)
    assert len({trial.user_attrs["process"] for trial in trials}) == 2
    numbers = [int(run.data.tags["tuning.trial"]) for run in searched.children()]
    assert sorted(numbers) == list(range(6))
    assert not (tuned.project.folder / STUDIES).exists()
    kept = tuned.project.client.download_artifacts(searched.parent().info.run_id, "tuning")
    assert not [path for path in Path(kept).iterdir() if b"CANARY" in path.read_bytes()]


@pytest.fixture
def slow(tuned: Tuned) -> Iterator[tuple[Tuned, Forked]]:
    """A search of two processes whose trials take 0.3 seconds."""
    tuned.project.edit("conf/base/parameters.yml", "slow: 0.0", "slow: 0.1")
    tuned.project.edit("conf/base/tuning.yml", "seed: 3", "seed: 3\npruner: none\njobs: 2")
    process = tuned.project.fork("kedro", "mlflow", "tune", "--no-run", env=tuned.env)
    try:
        tuned.searched.wait_for(3, processes=2)
        yield tuned, process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _helper(process: Forked) -> psutil.Process:
    """The process that was forked to run trials."""
    leader = psutil.Process(process.pid)
    (helper,) = (each for each in leader.children() if each.cmdline() == leader.cmdline())
    return helper


@pytest.mark.parametrize("then", ["all", pytest.param("none", marks=weekly)])
def test_no_trial_is_lost_or_counted_twice(slow: tuple[Tuned, Forked], then: str) -> None:
    """Whatever is killed: the process that helps, and then the one that leads, or not."""
    tuned, process = slow
    _helper(process).kill()
    tuned.searched.wait_for(5)
    if then == "all":
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=120)
    screen = tuned.tune("--no-run", "--resume")
    assert tuned.searched.lost_nothing(12)
    assert "left by a process that is gone" in screen


# --- the examples ---

REGRESSION = """\
search:
  model.kind: {choices: [ridge, forest, boosting]}
  model.alpha: {low: 0.1, high: 100, log: true, when: {model.kind: ridge}}
  model.depth: {low: 1, high: 4, when: {model.kind: [forest, boosting]}}
"""


def test_families_are_compared_and_the_best_is_registered(
    template: Path, rendered: Project, optuna: Path, tmp_path: Path
) -> None:
    tuned = example(template, rendered, optuna, tmp_path / "project", "regression")
    path = tuned.project.folder / "conf/base/tuning.yml"
    start, _, rest = path.read_text("utf-8").partition("search:")
    path.write_text(f"{start}{REGRESSION}{rest[rest.index('dataset: null') :]}", "utf-8")
    quick_figures(tuned.project)
    tuned.project.edit("conf/base/parameters.yml", "repeats: 10", "repeats: 2")
    # Any of the trials is better than that.
    tuned.project.edit("conf/base/parameters.yml", "alpha: 10.0", "alpha: 100000.0")
    before = tuned.project.folder / "conf/base/parameters.yml"
    text = before.read_text("utf-8")
    screen = tuned.tune("--trials", "4", "--jobs", "2", "--write")
    study = tuned.study()
    assert len(study.trials) == 4
    for trial in study.trials:
        extra = {"ridge": {"model.alpha"}}.get(trial.params["model.kind"], {"model.depth"})
        assert set(trial.params) == {"model.kind", *extra}

    # A whole run with the best values has registered the model.
    (version,) = tuned.project.client.search_model_versions()
    assert version.name == PACKAGE
    run = tuned.project.client.get_run(str(version.run_id))
    assert "mlflow.parentRunId" not in run.data.tags
    assert run.data.metrics["evaluation/rmse"] == pytest.approx(study.best_value, rel=1e-9)
    for name, value in study.best_params.items():
        assert run.data.params[name] == str(value)
    after = before.read_text("utf-8")
    assert after != text
    assert after.count("#") == text.count("#")
    assert "(champion)" in screen


@weekly
def test_the_classification_is_tuned_as_it_is_rendered(
    template: Path, rendered: Project, optuna: Path, tmp_path: Path
) -> None:
    tuned = example(template, rendered, optuna, tmp_path / "project", "classification")
    tuned.tune("--trials", "4", "--no-run")
    study = tuned.study()
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4
    assert all(run.data.metrics["evaluation/f1"] > 0.9 for run in tuned.searched.children())
    assert study.direction.name == "MAXIMIZE"
