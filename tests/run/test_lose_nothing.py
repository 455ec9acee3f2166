"""Servers die, networks break, processes are killed: every captured value arrives, once."""

from __future__ import annotations

import random
import time
from functools import partial

from mlflow import MlflowClient

from tests.support.machine import free_port
from tests.support.profiles import IS_WEEKLY, examples
from tests.support.project import Project, call_it
from tests.support.proxy import Proxy, kill_before
from tests.support.slow import (
    captured_metrics,
    expected,
    journals,
    measured,
    runs,
    wait_for_calls,
)
from tests.support.training import training


def test_a_server_that_is_away_gets_the_run_later_as_it_would_have_looked(
    slow: Project, server: str, experiment: str
) -> None:
    away = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}"}
    before = time.time() * 1000
    screen = slow.kedro("run", env=away).stdout
    after = time.time() * 1000
    assert screen.count("does not answer: the run continues") == 1
    assert "uv run kedro mlflow sync" in " ".join(screen.split())
    assert not runs(server, experiment)
    slow.kedro("mlflow", "sync", env=away, code=1)
    slow.kedro("mlflow", "sync", env={"MLFLOW_TRACKING_URI": server})
    (run,) = runs(server, experiment)
    assert measured(run) == expected()
    assert run.info.status == "FINISHED"
    assert before <= run.info.start_time <= run.info.end_time <= after
    assert not journals(slow)
    slow.kedro("mlflow", "sync", env={"MLFLOW_TRACKING_URI": server})
    assert len(runs(server, experiment)) == 1


def test_a_run_that_must_be_tracked_stops_at_once_when_the_server_is_away(slow: Project) -> None:
    slow.edit("conf/base/mlflow.yml", "on_unreachable: offline", "on_unreachable: fail")
    result = slow.kedro(
        "run", env={"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}"}, code=1
    )
    assert "Running node" not in result.stdout
    assert "cannot be reached" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert not journals(slow)


def test_a_server_that_refuses_for_a_while_gets_everything(
    slow: Project, proxy: Proxy, server: str, experiment: str
) -> None:
    process = slow.fork("kedro", "run", env={"MLFLOW_TRACKING_URI": proxy.url})
    wait_for_calls(proxy, 4)
    statuses = [503, 500, 429]
    proxy.guard = lambda _: statuses.pop() if statuses else None
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    assert not statuses
    (run,) = runs(server, experiment)
    assert measured(run) == expected()
    assert run.info.status == "FINISHED"


def test_an_answer_that_is_lost_on_its_way_makes_nothing_twice(
    slow: Project, proxy: Proxy, server: str, experiment: str
) -> None:
    proxy.cut = {"experiments/create", "runs/create", "runs/log-batch", "runs/update"}
    slow.kedro("run", env={"MLFLOW_TRACKING_URI": proxy.url})
    assert not proxy.cut
    (run,) = runs(server, experiment)
    assert measured(run) == expected()
    assert run.info.status == "FINISHED"
    assert not journals(slow)


def test_a_killed_process_loses_nothing_that_was_captured(
    slow: Project, server: str, experiment: str
) -> None:
    """Killed at random moments, many times; then `sync`, twice."""
    variables = {"MLFLOW_TRACKING_URI": server}
    chance = random.Random(7)
    captured: dict[str, set[str]] = {}
    for _ in range(examples(3, 6)):
        known = set(journals(slow))
        process = slow.fork("kedro", "run", env=variables)
        deadline = time.monotonic() + 60
        while not (started := set(journals(slow)) - known):
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 2.5))
        process.kill()
        process.communicate()
        for folder in started & set(journals(slow)):
            captured[folder.name] = captured_metrics(folder)
    assert any(captured.values())
    slow.kedro("mlflow", "sync", env=variables)
    slow.kedro("mlflow", "sync", env=variables)
    assert not journals(slow)
    delivered = {run.data.tags["kedro.run_id"]: run for run in runs(server, experiment)}
    assert len(delivered) == len(runs(server, experiment))
    for name, metrics in captured.items():
        assert set(measured(delivered[name])) == metrics
        assert delivered[name].info.status in ("KILLED", "FINISHED")


def test_a_mirror_gets_the_same_run_and_one_that_is_away_delays_nobody(
    slow: Project, server: str, experiment: str
) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    slow.edit(
        "conf/base/mlflow.yml",
        "mirrors: []",
        f"mirrors: [{{mlflow_tracking_uri: '{server}'}}, {{mlflow_tracking_uri: '{away}'}}] #",
    )
    screen = slow.kedro("run").stdout
    (own,) = slow.runs()
    (mirrored,) = runs(server, experiment)
    assert measured(own) == measured(mirrored) == expected()
    assert own.info.status == mirrored.info.status == "FINISHED"
    assert f"MLflow at {away} did not take the whole run" in " ".join(screen.split())
    assert len(journals(slow)) == 1


def test_a_journal_that_cannot_be_written_costs_the_tracking_and_not_the_run(
    slow: Project,
) -> None:
    slow.write(".kedro_mlflow", "a file where a folder should be")
    screen = " ".join(slow.kedro("run").stdout.split())
    assert "is not tracked" in screen
    assert "Pipeline execution completed successfully" in screen


def test_a_model_whose_registration_was_cut_off_has_one_version(
    project: Project, proxy: Proxy, server: str
) -> None:
    call_it(training(project), "cut")
    proxy.cut = {"registered-models/create", "model-versions/create", "logged-models"}
    project.kedro("run", "--pipelines", "training", env={"MLFLOW_TRACKING_URI": proxy.url})
    assert not proxy.cut
    client = MlflowClient(server)
    assert len(client.search_model_versions("name = 'cut'")) == 1
    version = client.get_model_version_by_alias("cut", "champion")
    run = client.get_run(str(version.run_id))
    assert run.info.status == "FINISHED"
    models = client.search_logged_models([run.info.experiment_id])
    names = [model.name for model in models if model.source_run_id == run.info.run_id]
    assert len(names) == len(set(names)) == 2


MODEL_CALLS = (
    "PATCH /api/2.0/mlflow/logged-models/",
    "POST /api/2.0/mlflow/model-versions/create",
    "POST /api/2.0/mlflow/registered-models/alias",
)


def test_a_run_that_is_killed_between_two_calls_has_its_models_and_versions_once(
    project: Project, proxy: Proxy, server: str
) -> None:
    call_it(training(project), "x")
    client, proxied = MlflowClient(server), {"MLFLOW_TRACKING_URI": proxy.url}
    start = partial(project.fork, "kedro", "run", "--pipelines", "training", env=proxied)
    for call in MODEL_CALLS if IS_WEEKLY else MODEL_CALLS[::2]:
        kill_before(call, proxy, start)
        project.kedro("mlflow", "sync", env=proxied)
        (experiment,) = [each for each in client.search_experiments() if each.name == "x"]
        run_id = client.search_runs([experiment.experiment_id])[0].info.run_id
        own = f"source_run_id = '{run_id}'"
        models = client.search_logged_models([experiment.experiment_id], own)
        assert {str(model.status) for model in models} == {"READY"}
        outputs = client.get_run(run_id).outputs
        assert outputs is not None
        assert {each.model_id for each in outputs.model_outputs} == {m.model_id for m in models}
        versions = client.search_model_versions(f"run_id = '{run_id}'")
        assert len(versions) == len([model for model in models if model.name != "line"]) <= 1
    assert not (project.folder / ".kedro_mlflow/refused").exists()
    assert not journals(project)
