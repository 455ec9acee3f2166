"""`kedro mlflow tune`: trials are Kedro runs of a warm process, and child runs of the study's."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from mlflow.entities import Run
from optuna import Study, get_all_study_names, load_study
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tests.support import answers
from tests.support.project import PACKAGE, Project, copy_of
from tests.support.shared import shared
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


class Tuned(NamedTuple):
    """A project that asked for tuning, whose packages are beside those of the environment."""

    project: Project
    packages: Path

    @property
    def env(self) -> dict[str, str]:
        return {"PYTHONPATH": f"{self.project.folder}/src:{self.packages}"}

    def tune(self, *options: str, code: int = 0) -> str:
        """Search; what the screen shows."""
        result = self.project.run("kedro", "mlflow", "tune", *options, code=code, env=self.env)
        return result.stdout + result.stderr

    def study(self) -> Study:
        storage = JournalStorage(JournalFileBackend(str(self.project.folder / STUDIES)))
        return load_study(study_name=max(get_all_study_names(storage)), storage=storage)

    def parent(self) -> Run:
        (run,) = (run for run in self.project.runs() if run.info.run_name.startswith("tuning"))
        return run

    def children(self, state: str | None = None) -> list[Run]:
        """The trials' runs."""
        parent = self.parent().info.run_id
        return [
            run
            for run in self.project.runs()
            if run.data.tags.get("mlflow.parentRunId") == parent
            and "tuning.trial" in run.data.tags
            and state in (None, run.data.tags.get("tuning.state"))
        ]


@pytest.fixture(scope="module")
def packages(rendered: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def install(folder: Path) -> None:
        command = ["uv", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        command += ["--python", str(rendered.environment / "bin" / "python")]
        subprocess.run([*command, "optuna>=5,<6", "colorlog", "tqdm"], check=True)

    return shared(tmp_path_factory, "optuna", install)


@pytest.fixture(scope="module")
def original(
    rendered: Project, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    folder = tmp_path_factory.mktemp("tuning") / "project"
    answers.render(template, folder, {"features": "[tuning]"})
    project = small(Project(folder, rendered.environment), PIPELINES)
    project.write("conf/base/parameters.yml", PARAMETERS)
    project.write("conf/base/catalog.yml", CATALOG)
    project.write("conf/base/tuning.yml", TUNING)
    return project


@pytest.fixture
def tuned(original: Project, packages: Path, tmp_path: Path) -> Tuned:
    return Tuned(copy_of(original, tmp_path), packages)


def example(template: Path, rendered: Project, packages: Path, folder: Path, name: str) -> Tuned:
    answers.render(template, folder, {"features": "[tuning]", "example": name})
    answers.git(folder, "init", "--quiet")
    return Tuned(Project(folder, rendered.environment), packages)


# --- one process ---


def test_a_study_is_a_run_above_its_trials(tuned: Tuned) -> None:
    screen = tuned.tune("--no-run")
    project, study = tuned.project, tuned.study()
    states = Counter(trial.state.name for trial in study.trials)
    assert states["COMPLETE"] + states["PRUNED"] == 12
    assert states["PRUNED"] > 0

    # Each trial is a child run, once, and ends as it did.
    children = {int(run.data.tags["tuning.trial"]): run for run in tuned.children()}
    assert sorted(children) == list(range(12))
    assert len(tuned.children()) == 12
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
    parent = tuned.parent()
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
    assert tuned.parent().info.status == "FINISHED"


def test_a_trial_that_fails_is_one_of_many(tuned: Tuned) -> None:
    search = "search:\n  kind: {choices: [whole, broken]}\n"
    tuned.project.edit("conf/base/tuning.yml", "search:\n", search)
    screen = tuned.tune("--no-run", "--trials", "8")
    states = Counter(trial.state.name for trial in tuned.study().trials)
    assert sum(states.values()) == 8
    assert states["FAIL"] > 0
    failed = tuned.children("FAIL")
    assert len(failed) == states["FAIL"]
    assert {run.info.status for run in failed} == {"FAILED"}
    assert all("it is broken" in run.data.tags["kedro.failure"] for run in failed)
    assert screen.count("failed. it is broken") == states["FAIL"]


def test_what_is_wrong_is_said_before_the_first_trial(tuned: Tuned) -> None:
    path, text = "conf/base/tuning.yml", TUNING
    cases = [
        (("metric: rmse", "metric: rmsee\nbetter: lower"), "The nearest one is 'rmse'"),
        (("  alpha:", "  alfa:"), "no such parameter; the nearest one is 'alpha'"),
        (("metric:", "dataset: evaluated\nmetric:"), "'evaluated', which no node"),
        (("metric:", "storage: postgres://x\nmetric:"), "storage: postgres://x cannot be opened"),
        (("seed: 3", "seed: 3\npipeline: trainig"), "no pipeline 'trainig'"),
    ]
    for (old, new), sentence in cases:
        tuned.project.write(path, text.replace(old, new))
        screen = " ".join(tuned.tune(code=1).split())
        assert sentence in screen
        assert "Trial 0" not in screen
        assert "Traceback" not in screen
    tuned.project.write(path, text)
    tuned.project.edit("conf/base/parameters.yml", "kind: whole", "kind: broken")
    assert "it is broken" in tuned.tune(code=1)
    assert "begun (search)" in _after_other_search(tuned)


def _after_other_search(tuned: Tuned) -> str:
    tuned.project.edit("conf/base/tuning.yml", "high: 10", "high: 11")
    return " ".join(tuned.tune("--resume", code=1).split())


# --- several processes, and what kills them ---


def test_two_commands_share_a_study_in_a_database(tuned: Tuned) -> None:
    """As two machines would; its address is in the environment, and in nothing that is kept."""
    storage = 'trials: 12\nstorage: "${oc.env:TUNING_STORAGE}"'
    tuned.project.edit("conf/base/tuning.yml", "trials: 12", storage)
    tuned.project.edit("conf/base/parameters.yml", "slow: 0.0", "slow: 0.1")
    address = f"sqlite:///{tuned.project.folder}/studies-of-CANARY.db"
    env = {**tuned.env, "TUNING_STORAGE": address}
    first = tuned.project.start("kedro", "mlflow", "tune", "--no-run", env=env)
    deadline = time.monotonic() + 120
    while _trials_in(address) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    tuned.project.run("kedro", "mlflow", "tune", "--no-run", "--resume", env=env)
    first.communicate(timeout=120)
    assert first.returncode == 0
    (name,) = get_all_study_names(address)
    trials = load_study(study_name=name, storage=address).trials
    assert len(trials) == 12
    assert all(trial.state.is_finished() for trial in trials)
    assert len({trial.user_attrs["process"] for trial in trials}) == 2
    numbers = [int(run.data.tags["tuning.trial"]) for run in tuned.children()]
    assert sorted(numbers) == list(range(12))
    assert not (tuned.project.folder / STUDIES).exists()
    kept = tuned.project.client.download_artifacts(tuned.parent().info.run_id, "tuning")
    assert not [path for path in Path(kept).iterdir() if b"CANARY" in path.read_bytes()]


def _trials_in(address: str) -> int:
    if not Path(address.removeprefix("sqlite:///")).exists():
        return 0
    try:
        (name,) = get_all_study_names(address)
        return len(load_study(study_name=name, storage=address).trials)
    except Exception:  # It is being made.
        return 0


@pytest.fixture
def slow(tuned: Tuned) -> Iterator[tuple[Tuned, subprocess.Popen[str]]]:
    """A search of two processes whose trials take 0.6 seconds."""
    tuned.project.edit("conf/base/parameters.yml", "slow: 0.0", "slow: 0.2")
    tuned.project.edit("conf/base/tuning.yml", "seed: 3", "seed: 3\npruner: none\njobs: 2")
    process = tuned.project.start("kedro", "mlflow", "tune", "--no-run", env=tuned.env)
    try:
        _wait_for(tuned, 4)
        yield tuned, process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _wait_for(tuned: Tuned, complete: int) -> None:
    """Wait until so many trials are complete, and two processes have taken part."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            trials = tuned.study().trials
            done = sum(trial.state.name == "COMPLETE" for trial in trials)
            if done >= complete and len({trial.user_attrs["process"] for trial in trials}) == 2:
                return
        except (OSError, ValueError, KeyError):  # There is no study yet, or a trial is being begun.
            pass
        time.sleep(0.05)
    pytest.fail("the search does not begin")


def _helper(process: subprocess.Popen[str]) -> psutil.Process:
    """The process that was forked to run trials."""
    (leader,) = [
        each
        for each in [psutil.Process(process.pid), *psutil.Process(process.pid).children(True)]
        if any("multiprocessing" not in " ".join(c.cmdline()) for c in each.children())
    ]
    return next(each for each in leader.children() if each.cmdline() == leader.cmdline())


@pytest.mark.parametrize("killed", ["helper", "all"])
def test_no_trial_is_lost_or_counted_twice(
    slow: tuple[Tuned, subprocess.Popen[str]], killed: str
) -> None:
    tuned, process = slow
    if killed == "all":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        _helper(process).kill()
    process.communicate(timeout=120)

    screen = tuned.tune("--no-run", "--resume")
    study = tuned.study()
    stale = {int(name.partition("/")[2]) for name in study.user_attrs if name.startswith("stale/")}
    assert stale
    assert "left by a process that is gone" in screen
    states = {trial.number: trial.state.name for trial in study.trials}
    assert {states[number] for number in stale} == {"FAIL"}
    others = {number: state for number, state in states.items() if number not in stale}
    assert list(others.values()) == ["COMPLETE"] * 12

    # The same values were tried again.
    again = {trial.user_attrs.get("retries"): trial for trial in study.trials}
    for number in stale:
        assert study.trials[number].params.items() <= again[number].params.items()

    # MLflow has each trial once, and none is under way.
    runs = Counter(int(run.data.tags["tuning.trial"]) for run in tuned.children())
    assert set(runs) >= set(others)
    assert set(runs.values()) == {1}
    finished = {
        int(run.data.tags["tuning.trial"])
        for run in tuned.children()
        if run.info.status == "FINISHED"
    }
    assert finished >= set(others)
    assert not [run for run in tuned.project.runs() if run.info.status == "RUNNING"]
    assert {run.data.tags["tuning.state"] for run in tuned.children()} <= {"COMPLETE", "FAIL"}


# --- the examples ---

REGRESSION = """\
search:
  model.kind: {choices: [ridge, forest, boosting]}
  model.alpha: {low: 0.1, high: 100, log: true, when: {model.kind: ridge}}
  model.depth: {low: 1, high: 4, when: {model.kind: [forest, boosting]}}
"""


def test_families_are_compared_and_the_best_is_registered(
    template: Path, rendered: Project, packages: Path, tmp_path: Path
) -> None:
    tuned = example(template, rendered, packages, tmp_path / "project", "regression")
    path = tuned.project.folder / "conf/base/tuning.yml"
    start, _, rest = path.read_text("utf-8").partition("search:")
    path.write_text(f"{start}{REGRESSION}{rest[rest.index('dataset: null') :]}", "utf-8")
    before = tuned.project.folder / "conf/base/parameters.yml"
    text = before.read_text("utf-8")
    screen = tuned.tune("--trials", "10", "--jobs", "2", "--write")
    study = tuned.study()
    assert len(study.trials) == 10
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


def test_the_classification_is_tuned_as_it_is_rendered(
    template: Path, rendered: Project, packages: Path, tmp_path: Path
) -> None:
    tuned = example(template, rendered, packages, tmp_path / "project", "classification")
    tuned.tune("--trials", "4", "--no-run")
    study = tuned.study()
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4
    assert all(run.data.metrics["evaluation/f1"] > 0.9 for run in tuned.children())
    assert study.direction.name == "MAXIMIZE"
