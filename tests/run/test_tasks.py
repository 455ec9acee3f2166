"""One MLflow run of many tasks, each a `kedro run` of its own: equal to that of one process."""

from __future__ import annotations

import json
import random
import shlex
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.support.contents import contents, differences
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project, copy_of
from tests.support.tiny import each_of, journals, said
from tests.support.training import training

# An unreachable MLflow, which is not retried.
DEADLINE = "deadline: '${oc.env:DEADLINE,60}'"
AWAY = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "DEADLINE": "0.1"}


@pytest.fixture
def trains(project: Project) -> Project:
    """A project whose training passes what it makes from task to task."""
    return training(project)


@pytest.fixture(scope="module")
def alone(
    rendered: Project, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, dict[str, Any]]:
    """The same, and what MLflow has of the run that one process has made there."""
    project = training(copy_of(rendered, tmp_path_factory.mktemp("alone")))
    project.kedro("run")
    (run,) = project.runs()
    return project, contents(project.client, run.info.run_id)


def begin(project: Project, *options: str, **env: str) -> str:
    return project.kedro("mlflow", "run", "begin", *options, env=env).stdout.strip()


def tasks(project: Project, *options: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(
        project.kedro("mlflow", "tasks", "--json", *options).stdout
    )
    return listed


def run_task(
    project: Project,
    task: dict[str, Any],
    run: str,
    env: Mapping[str, str] | None = None,
    code: int = 0,
) -> str:
    program, *arguments = shlex.split(task["command"])
    assert program == "kedro"
    result = project.kedro(*arguments, code=code, env={"MLFLOW_RUN_ID": run, **(env or {})})
    return said(result.stdout + result.stderr)


def end(project: Project, run: str, *options: str, code: int = 0, **env: str) -> str:
    result = project.kedro("mlflow", "run", "end", run, *options, code=code, env=env)
    return said(result.stdout + result.stderr)


def all_well(project: Project, run: str) -> None:
    for task in tasks(project):
        node = task["command"].split(" ")[-1]
        screen = run_task(project, task, run)
        assert f"Joined MLflow run {run}: the part of {node} has finished" in screen


def all_at_once(project: Project, run: str, *options: str) -> None:
    """One task of all nodes."""
    project.kedro("run", "--env", "tasks", *options, env={"MLFLOW_RUN_ID": run})


def two_at_a_time(project: Project, run: str) -> None:
    """Tasks that do not need each other run at once; one is killed and tried again before that."""
    prepare, *waiting = tasks(project)
    run_task(project, prepare, run)
    kill_once_it_runs(project, waiting[0], run)
    done = {prepare["name"]}
    while waiting:
        ready = [task for task in waiting if done.issuperset(task["needs"])]
        processes = [
            project.fork(*shlex.split(task["command"]), env={"MLFLOW_RUN_ID": run})
            for task in ready
        ]
        for task, process in zip(ready, processes, strict=True):
            process.communicate()
            assert process.poll() == 0
            done.add(task["name"])
        waiting = [task for task in waiting if task["name"] not in done]
    assert journals(project) == []


def one_fails_and_is_tried_again(project: Project, run: str) -> None:
    for task in tasks(project):
        if task["name"] == "train":
            project.write("fail-train", "")
            assert "as told" in run_task(project, task, run, code=1)
            (project.folder / "fail-train").unlink()
        run_task(project, task, run)


def one_is_killed_and_tried_again(project: Project, run: str) -> None:
    """What it leaves on its disk is delivered by the next task there, and replaces nothing."""
    for task in tasks(project):
        if task["name"] == "fit":
            kill_once_it_runs(project, task, run)
        run_task(project, task, run)
    assert journals(project) == []


def kill_once_it_runs(project: Project, fit: dict[str, Any], run: str) -> None:
    project.write("wait-fit", "")
    killed = project.fork(*shlex.split(fit["command"]), env={"MLFLOW_RUN_ID": run})
    while not (project.folder / "waiting-fit").exists():
        assert killed.poll() is None
    killed.kill()
    killed.communicate()
    for name in ("wait-fit", "waiting-fit"):
        (project.folder / name).unlink()
    assert len(journals(project)) == 1


def all_run_twice(project: Project, run: str) -> None:
    all_well(project, run)
    all_well(project, run)


def the_server_is_away_for_a_while(project: Project, run: str) -> None:
    """What could not be delivered arrives with the next task, and replaces no later try."""
    for task in tasks(project):
        if task["name"] in ("fit", "train"):
            run_task(project, task, run, {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, code=1)
        run_task(project, task, run)
    assert journals(project) == []


def another_run_at_the_same_time(project: Project, run: str) -> None:
    other = begin(project, "--params", "shift=9.5")
    for task, of_other in zip(tasks(project), tasks(project, "--params", "shift=9.5"), strict=True):
        for each, run_id in ((of_other, other), (task, run)):
            run_task(project, each, run_id)
    project.client.set_terminated(other, "KILLED")
    assert project.client.get_run(other).data.params["shift"] == "9.5"
    project.client.delete_run(other)


@pytest.mark.parametrize(
    "happens",
    [
        two_at_a_time,
        pytest.param(one_is_killed_and_tried_again, marks=weekly),
        pytest.param(all_well, marks=weekly),
        pytest.param(all_run_twice, marks=weekly),
        pytest.param(one_fails_and_is_tried_again, marks=weekly),
        pytest.param(the_server_is_away_for_a_while, marks=weekly),
        pytest.param(another_run_at_the_same_time, marks=weekly),
    ],
)
def test_tasks_make_the_run_that_one_process_makes(
    alone: tuple[Project, dict[str, Any]], happens: Callable[[Project, str], None]
) -> None:
    project, expected = alone
    before = len(project.runs())
    run = begin(project)
    happens(project, run)
    assert f"MLflow run {run} has finished, registered {PACKAGE} version" in end(project, run)
    if happens is two_at_a_time:  # What had been read before a model was made is a matter of time.
        models = contents(project.client, run)["models"]
        assert [each[:2] for each in models] == [each[:2] for each in expected["models"]]
        expected = expected | {"models": models}
    assert differences(contents(project.client, run), expected) == []
    # Once more, it changes nothing.
    assert f"MLflow run {run} has finished" in end(project, run)
    assert differences(contents(project.client, run), expected) == []
    assert len(project.runs()) == before + 1


def test_a_run_that_tasks_have_not_finished_says_which_and_why(trains: Project) -> None:
    run = begin(trains, "--name", "nightly", "--params", "shift=2.5")
    found = trains.client.get_run(run)
    assert (found.info.status, found.info.run_name) == ("RUNNING", "nightly")
    assert found.data.params == {"shift": "2.5", "epochs": "5"}
    assert "kedro run --env tasks --params shift=2.5" in found.data.tags["kedro.command"]
    prepare, fit, *_ = tasks(trains, "--params", "shift=2.5")
    assert fit["command"] == "kedro run --env tasks --params shift=2.5 --nodes fit"
    assert fit["needs"] == ["prepare"]
    run_task(trains, prepare, run)
    screen = end(trains, run, "--wait", "0", code=1)
    missing = "nothing has arrived of the nodes fit, line, train, guess, evaluate"
    assert f"MLflow run {run} has failed: {missing}." in screen
    trains.write("fail-fit", "")
    run_task(trains, fit, run, code=1)
    assert "has failed: node 'fit': ValueError: as told." in end(trains, run, code=1)
    found = trains.client.get_run(run)
    assert (found.info.status, found.data.tags["kedro.missing_nodes"]) == ("FAILED", "5")
    assert found.data.tags["kedro.failure"] == "node 'fit': ValueError: as told"
    # What had failed is run again, and the run is ended again.
    (trains.folder / "fail-fit").unlink()
    all_at_once(trains, run, "--params", "shift=2.5", "--from-nodes", "fit,line,train")
    assert f"has finished, registered {PACKAGE} version 1 (champion)" in end(trains, run)
    found = trains.client.get_run(run)
    assert (found.info.status, found.data.tags["kedro.failure"]) == ("FINISHED", "")
    assert end(trains, run, "--status", "KILLED") == f"MLflow run {run} has finished."


def test_a_key_begins_one_run(trains: Project) -> None:
    two = [trains.fork("kedro", "mlflow", "run", "begin", "--key", "it's") for _ in range(2)]
    (run,) = {process.communicate()[0].strip() for process in two}
    assert begin(trains, "--key", "it's") == run
    assert begin(trains, "--key", "another") != run
    screen = trains.kedro("mlflow", "run", "end", "--key", "it's", "--status", "KILLED", "--wait=0")
    assert screen.stdout.startswith(f"MLflow run {run} has been stopped: nothing has arrived")
    # A run of the orchestrator that is started once more continues it.
    printed = json.loads(begin(trains, "--key", "it's", "--json"))
    assert printed["id"] == run
    assert printed["address"] == f"uv run kedro mlflow ui --run-id {run} --env tasks"
    assert trains.client.get_run(run).info.status == "RUNNING"
    assert trains.runs()[0].data.params == {"shift": "0.5", "epochs": "5"}
    assert len(trains.runs()) == 2


def test_a_run_whose_tasks_run_again_registers_what_they_have_made_then(trains: Project) -> None:
    """An orchestrator's run is cleared and starts once more, on other data."""
    for number, mean in ((1, 2.5), (2, 7.5)):
        trains.write("data/patients.csv", f"x,y\n1.0,{mean - 1.5}\n2.0,{mean + 0.5}\n")
        run = begin(trains, "--key", "monthly")
        all_at_once(trains, run)
        assert f"registered {PACKAGE} version {number}" in end(trains, run)
        state = next(files_of_version(trains, number).rglob("state.json"))
        assert json.loads(state.read_text("utf-8")) == {"mean": mean}
    state = next(files_of_version(trains, 1).rglob("state.json"))
    assert json.loads(state.read_text("utf-8")) == {"mean": 2.5}


def files_of_version(project: Project, number: int) -> Path:
    uri = project.client.get_model_version_download_uri(PACKAGE, str(number))
    return Path(uri.removeprefix("file://"))


def test_what_cannot_be_is_said(trains: Project) -> None:
    messages = {
        "run begin --pipelines trainig": "no pipeline 'trainig' (it has: ",
        "run begin --params shift": "Invalid format of `params`",
        f"run end {'0' * 32}": "is not in MLflow",
        "run end": "Give the run that `kedro mlflow run begin` has printed.",
        "run end --key none": "was begun by the key 'none'",
        "tasks --env base": "give guesses, rows entries in conf/base/catalog.yml",
    }
    ended = each_of(trains, [({}, f"mlflow {arguments}") for arguments in messages])
    for (arguments, message), (code, screen) in zip(messages.items(), ended, strict=True):
        assert code == (2 if "shift" in arguments else 1)
        assert message in screen
    assert trains.runs() == []
    assert journals(trains) == []


def test_what_does_not_arrive_fails_the_task(trains: Project) -> None:
    trains.edit("conf/base/mlflow.yml", "model:\n", f"shipping: {{{DEADLINE}}}\nmodel:\n")
    run = begin(trains)
    prepare, *_ = tasks(trains)
    text = run_task(trains, prepare, run, AWAY, code=1)
    assert "its tracking data have not arrived" in text
    assert len(journals(trains)) == 1
    trains.edit("conf/base/mlflow.yml", DEADLINE, f"{DEADLINE}, on_undelivered: keep")
    run_task(trains, prepare, run, AWAY)
    assert len(journals(trains)) == 2
    # MLflow is back: one `kedro mlflow sync` delivers both tries.
    synced = trains.kedro("mlflow", "sync", "--env", "tasks").stdout
    assert synced.count(f"finished, delivered as run {run}") == 2
    screen = end(trains, run, "--wait", "0", code=1)
    assert "nothing has arrived of the nodes fit, line, train, guess, evaluate" in screen
    result = trains.kedro("mlflow", "run", "begin", code=1, env=AWAY)
    assert "cannot be reached" in said(result.stderr)


def test_nodes_that_pass_what_has_no_file_are_one_task_by_memory(trains: Project) -> None:
    grouped = tasks(trains, "--by", "memory", "--env", "base")
    assert [task["command"] for task in grouped] == [
        "kedro run --env base --nodes prepare,fit,line,train,guess,evaluate"
    ]


SCORING = """\
from kedro.pipeline import Pipeline, node

def create_pipeline():
    return Pipeline([
        node(lambda instances: instances, "instances", "clean", name="clean"),
        node(lambda clean, state: clean.assign(p=state["mean"]), ["clean", "state"], "predictions",
             name="predict"),
    ])
"""


def test_all_tasks_score_with_the_version_that_was_champion_at_the_begin(trains: Project) -> None:
    trains.write(f"src/{PACKAGE}/pipelines/inference/pipeline.py", SCORING)
    trains.kedro("run")
    trains.client.create_model_version(PACKAGE, "file:///nowhere")
    run = begin(trains, "--pipelines", "inference")
    clean, predict = tasks(trains, "--pipelines", "inference")
    run_task(trains, clean, run)
    trains.client.set_registered_model_alias(PACKAGE, "champion", "2")
    assert f"Scoring with {PACKAGE} version 1" in run_task(trains, predict, run)
    assert "has finished" in end(trains, run)
    assert trains.client.get_run(run).data.tags["model.version"] == "1"
    rows = (trains.folder / "data/predictions.csv").read_text().split()[1:]
    assert [row.split(",")[1:3] for row in rows] == [["2.5", "1"], ["2.5", "1"]]


@weekly
def test_a_mirror_has_one_run_of_all_tasks(trains: Project) -> None:
    mirror = "mirrors: [{mlflow_tracking_uri: 'sqlite:///mirror.db'}]\nmodel:\n"
    trains.edit("conf/base/mlflow.yml", "model:\n", mirror)
    run = begin(trains)
    all_well(trains, run)
    end(trains, run)
    there = MlflowClient(f"sqlite:///{trains.folder}/mirror.db")
    (mirrored,) = trains.runs(there)
    assert mirrored.data.tags["kedro.original"] == run
    found, expected = (
        contents(client, run_id)
        for client, run_id in ((there, mirrored.info.run_id), (trains.client, run))
    )
    found["tags"].pop("kedro.original")
    for each in (found, expected):  # What other tasks had read is added on the server alone.
        each["models"] = [(name, status) for name, status, *_ in each["models"]]
    assert differences(found, expected) == []


def test_what_does_not_arrive_goes_to_a_store(trains: Project, tmp_path: Path) -> None:
    """The machine of a task goes with its disk; another one delivers what it has left."""
    store = f"shipping: {{spill: 'file://{tmp_path}/store', {DEADLINE}}}\nmodel:\n"
    trains.edit("conf/base/mlflow.yml", "model:\n", store)
    run = begin(trains)
    prepare, fit, *_ = tasks(trains)
    run_task(trains, prepare, run)
    for task in (fit, {"command": "kedro run --env tasks --from-nodes line,train,guess"}):
        text = run_task(trains, task, run, AWAY)
        assert "What did not arrive is in file://" in text
        assert journals(trains) == []
    assert len(list((tmp_path / "store").glob("*/*/run.json"))) == 2
    shutil.rmtree(trains.folder / ".kedro_mlflow")
    synced = trains.kedro("mlflow", "sync", "--env", "tasks").stdout
    assert synced.count(f"finished, delivered as run {run}") == 2
    assert list((tmp_path / "store").glob("*/*")) == []
    assert "has finished, registered" in end(trains, run, "--wait", "0")
    models = contents(trains.client, run)["models"]
    assert [model[:2] for model in models] == [(PACKAGE, "READY"), ("line", "READY")]


def test_what_could_not_be_begun_does_not_stay_under_way(trains: Project) -> None:
    """MLflow has made the run, and its store of files takes nothing."""
    store = "experiment:\n    create_experiment_kwargs: {artifact_location: 'file:///proc/no'}\n"
    trains.edit("conf/base/mlflow.yml", "experiment:\n", store)
    hours = "shipping: {abandoned_after_hours: 1.0e-6}\nmodel:\n"
    trains.edit("conf/base/mlflow.yml", "model:\n", hours)
    result = trains.kedro("mlflow", "run", "begin", code=1)
    assert "has not taken the run (" in said(result.stderr)
    assert "Traceback" not in result.stderr
    (found,) = trains.runs()
    assert (found.info.status, journals(trains)) == ("FAILED", [])
    run = found.info.run_id
    assert "has no record of its begin" in end(trains, run, code=1)
    trains.client.update_run(run, "RUNNING")
    synced = said(trains.kedro("mlflow", "sync", "--env", "tasks").stdout)
    assert f"{run}: begun and never ended: The run {run} has no record of its begin" in synced


def test_a_run_that_was_never_ended_is_ended_by_sync(trains: Project) -> None:
    hours = "shipping: {abandoned_after_hours: 1.0e-6}\nmodel:\n"
    trains.edit("conf/base/mlflow.yml", "model:\n", hours)
    done, run = begin(trains), begin(trains)
    all_at_once(trains, done)
    here = trains.kedro("mlflow", "sync").stdout
    assert f"{run}: begun and never ended, `uv run kedro mlflow sync --env tasks` ends it" in here
    synced = said(trains.kedro("mlflow", "sync", "--env", "tasks").stdout)
    assert f"{done}: begun and never ended, finished now" in synced
    assert f"{run}: begun and never ended, failed now: nothing has arrived of the nodes" in synced
    assert {found.info.status for found in trains.runs()} == {"FINISHED", "FAILED"}


@weekly
def test_whatever_is_killed_the_run_is_whole_in_the_end(trains: Project) -> None:
    """Tasks and the end are killed at any moment, and tried again until they come through."""
    trains.kedro("run")
    (alone,) = trains.runs()
    expected = contents(trains.client, alone.info.run_id)
    for seed in range(30):
        chance = random.Random(seed)
        run = begin(trains)
        for task in tasks(trains):
            while chance.random() < 0.4:
                kill_soon(trains, shlex.split(task["command"]), run, chance)
            run_task(trains, task, run)
        for _ in range(2):
            kill_soon(trains, ["kedro", "mlflow", "run", "end"], run, chance)
        assert "has finished" in end(trains, run), seed
        trains.kedro("mlflow", "sync", "--env", "tasks")
        assert journals(trains) == [], seed
        found = contents(trains.client, run)
        assert differences(found | {"models": []}, expected | {"models": []}) == [], seed
        # Of a model, what was killed may have left a beginning.
        ready = [name for name, status, *_ in found["models"] if status == "READY"]
        assert ready == [PACKAGE, "line"], seed
        assert trains.client.get_run(run).info.status == "FINISHED", seed


def kill_soon(project: Project, command: Sequence[str], run: str, chance: random.Random) -> None:
    process = project.fork(*command, env={"MLFLOW_RUN_ID": run})
    time.sleep(chance.uniform(0.1, 3))
    process.kill()
    process.communicate()


@weekly
def test_tasks_share_the_child_runs_of_their_namespaces(trains: Project) -> None:
    """Each namespace has one child run, as it has in the run of one process."""
    nested = "tracking:\n  run: {nested: namespace}\n"
    trains.edit("conf/base/mlflow.yml", "tracking:\n", nested)
    source = trains.folder / f"src/{PACKAGE}/pipelines/training/pipeline.py"
    trains.write(str(source), source.read_text("utf-8") + NAMESPACES)
    trains.kedro("run")
    (parent,) = (each for each in trains.runs() if "mlflow.parentRunId" not in each.data.tags)
    alone = dict(children(trains, parent.info.run_id))
    run = begin(trains)
    all_well(trains, run)
    end(trains, run)
    assert dict(children(trains, run)) == alone
    assert alone == {"north": ("FINISHED", 1.0), "south": ("FINISHED", 1.0)}


NAMESPACES = """

from kedro.pipeline import pipeline

whole = create_pipeline

def create_pipeline():
    def halve(rows):
        return {"half": len(rows) / 2}

    each = Pipeline([node(halve, "rows", "sized", name="size")])
    parts = [pipeline(each, namespace=name, inputs="rows") for name in ("north", "south")]
    return Pipeline([whole(), each, *parts])
"""


def children(project: Project, run: str) -> list[tuple[str, Any]]:
    return [
        (each.info.run_name, (each.info.status, each.data.metrics["sized/half"]))
        for each in project.runs()
        if each.data.tags.get("mlflow.parentRunId") == run
    ]
