"""Kedro's runner and the hook in this process: whatever nodes do, it is one run, and no other."""

from __future__ import annotations

import json
import logging
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
from kedro.framework.hooks import hook_impl
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline, node
from kedro.runner import SequentialRunner, ThreadRunner
from mlflow import MlflowClient

from tests.support.rooms import Rooms
from tests.support.tracked import PIPELINE, RUN_PARAMS, catalog_of, config_of, runs_of

SECRET = "CANARY-CANARY"


def variables() -> dict[str, str]:
    """What runs change of the environment."""
    ours = ("MLFLOW_", "KEDRO_MLFLOW_")
    return {name: value for name, value in os.environ.items() if name.startswith(ours)}


@pytest.fixture(autouse=True)
def clean(mlops: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """No run and no address of others, and nothing that is registered for the end of Python."""
    for name in ("MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(mlops("hook"), "before_thread_pools_end", lambda _: None)


class Loader(dict[str, Any]):
    """What the hook asks of Kedro's loader of configuration."""

    conf_source = "conf"


class Context:
    """What the hook asks of Kedro's context."""

    def __init__(self, config: Any, project: Path) -> None:
        self.__dict__["mlflow"] = config
        self.params = {"alpha": 0.5, "db": {"password": SECRET}}
        self.project_path = project
        self.config_loader = Loader(credentials={"server": {"MLFLOW_TRACKING_TOKEN": SECRET}})


def begun(
    mlops: Rooms, project: Path, config: Any, pipeline: Pipeline = PIPELINE, **run_params: Any
) -> tuple[Any, Any, dict[str, Any]]:
    """Begin a run as Kedro's session does: the hook, what calls it, and what of the run."""
    hook, manager = mlops("hook").MlflowHook(), _create_hook_manager()
    manager.register(hook)
    given = RUN_PARAMS | {"project_path": str(project)} | run_params
    alpha = given.pop("alpha", 0.5)
    about: dict[str, Any] = {
        "run_params": given,
        "catalog": catalog_of({"params:alpha": alpha}),
    }
    hook.after_context_created(Context(config, project))
    manager.hook.before_pipeline_run(pipeline=pipeline, **about)
    return hook, manager, about


def run_kedro(
    mlops: Rooms,
    project: Path,
    config: Any,
    pipeline: Pipeline = PIPELINE,
    runner: Any = SequentialRunner,
    **run_params: Any,
) -> Any:
    """Run a pipeline as Kedro's session does; return the hook."""
    run_params["runner"] = str(runner())
    hook, manager, about = begun(mlops, project, config, pipeline, **run_params)
    run_id = about["run_params"]["run_id"]
    try:
        runner().run(pipeline, about["catalog"], manager, run_id=run_id)
    except Exception as error:
        manager.hook.on_pipeline_error(error=error, pipeline=pipeline, **about)
        raise
    manager.hook.after_pipeline_run(pipeline=pipeline, run_result={}, **about)
    return hook


def fail(alpha: float) -> None:
    raise ValueError(f"no {SECRET} here")


def own_calls(alpha: float) -> dict[str, float]:
    mlflow.log_metric("by hand", alpha)
    with mlflow.start_run(run_name="mine", nested=True):
        mlflow.log_metric("inside", 1.0)
    mlflow.start_run(run_name="left open", nested=True)
    return {"rmse": 1.0}


@pytest.mark.parametrize("runner", [SequentialRunner, ThreadRunner])
def test_a_run_of_kedros_is_one_of_mlflows(
    mlops: Rooms, tmp_path: Path, database: str, runner: Any
) -> None:
    before = variables()
    hook = run_kedro(mlops, tmp_path, config_of(mlops, tmp_path, database), runner=runner)
    (found,) = runs_of(database)
    assert found.info.status == "FINISHED"
    assert found.data.metrics["doubled/rmse"] == 2.0
    assert found.data.tags["kedro.runner"] == runner.__name__
    assert variables() == before
    assert hook._runs == {}


def test_a_node_that_fails_is_told_without_secrets(
    mlops: Rooms, tmp_path: Path, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = Pipeline([node(fail, "params:alpha", "score", name="fit")])
    config = config_of(mlops, tmp_path, database)
    with pytest.raises(ValueError, match=r"no \*{8} here"):
        run_kedro(mlops, tmp_path, config, pipeline)
    (found,) = runs_of(database)
    assert found.info.status == "FAILED"
    client = MlflowClient(database)
    path = client.download_artifacts(found.info.run_id, "kedro/run.json", str(tmp_path))
    (failed,) = json.loads(Path(path).read_text())["nodes"]
    assert failed["error"] == "ValueError: no ******** here"
    assert found.data.tags["kedro.failure"] == "node 'fit': ValueError: no ******** here"
    assert SECRET not in caplog.text


def test_what_is_logged_during_a_run_shows_no_secret(
    mlops: Rooms, tmp_path: Path, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    def talk(alpha: float) -> float:
        logging.getLogger("of the owner").warning("the password is %s", SECRET)
        return alpha

    pipeline = Pipeline([node(talk, "params:alpha", "score", name="talk")])
    server = {"mlflow_tracking_uri": database, "credentials": "server"}
    config = config_of(mlops, tmp_path, database).model_copy(
        update={"server": mlops("config").ServerOptions(**server)}
    )
    run_kedro(mlops, tmp_path, config, pipeline)
    assert "the password is ********" in caplog.text
    assert "MLFLOW_TRACKING_TOKEN" not in os.environ
    logging.getLogger("of the owner").warning("afterwards %s", SECRET)
    assert f"afterwards {SECRET}" in caplog.text


@pytest.mark.parametrize("joins", [False, True])
def test_calls_of_a_nodes_own_go_to_the_run_and_its_stray_ones_are_ended(
    mlops: Rooms, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch, joins: bool
) -> None:
    monkeypatch.setattr(mlops("tracking.active_run"), "uses_mlflow", lambda pipeline: True)
    client, before = MlflowClient(database), mlflow.get_tracking_uri()
    if joins:  # A run of a node's own must not continue it.
        experiment_id = client.create_experiment("study", (tmp_path / "files").as_uri())
        begun = client.create_run(experiment_id, run_name="training")
        monkeypatch.setenv("MLFLOW_RUN_ID", begun.info.run_id)
    pipeline = Pipeline([node(own_calls, "params:alpha", "score", name="log")])
    run_kedro(mlops, tmp_path, config_of(mlops, tmp_path, database), pipeline)
    found = {each.info.run_name: each for each in runs_of(database)}
    assert set(found) == {"training", "mine", "left open"}
    statuses = {name: each.info.status for name, each in found.items()}
    assert statuses == dict.fromkeys(found, "FINISHED") | ({"training": "RUNNING"} if joins else {})
    assert found["training"].data.metrics["by hand"] == 0.5
    whole = found["training"].info.run_id
    for name in ("mine", "left open"):
        assert found[name].data.tags["mlflow.parentRunId"] == whole
    assert mlflow.active_run() is None
    assert mlflow.get_tracking_uri() == before


@pytest.mark.parametrize("fails", [True, False])
def test_a_runs_own_calls_go_to_the_child_run_of_the_namespace(
    mlops: Rooms, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    monkeypatch.setattr(mlops("tracking.active_run"), "uses_mlflow", lambda pipeline: True)

    def log(alpha: float) -> float:
        mlflow.log_metric("by hand", alpha)
        mlflow.start_run(run_name="left open", nested=True)
        if fails:
            raise ValueError("no")
        return alpha

    nodes = [node(log, "params:alpha", "score", name="log")]
    pipeline = Pipeline(nodes, namespace="a", prefix_datasets_with_namespace=False)
    tracking = {"experiment": {"name": "study"}, "run": {"nested": "namespace"}}
    config = config_of(mlops, tmp_path, database, tracking=tracking)
    try:
        run_kedro(mlops, tmp_path, config, pipeline)
    except ValueError:
        assert fails
    found = {each.info.run_name: each for each in runs_of(database)}
    assert found["a"].data.metrics["by hand"] == 0.5
    assert "by hand" not in found["training"].data.metrics
    status = "FAILED" if fails else "FINISHED"
    assert {each.info.status for each in found.values()} == {status}


def test_a_run_that_kedro_does_not_end_is_killed(
    mlops: Rooms, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_exit: list[Any] = []
    monkeypatch.setattr(mlops("hook"), "before_thread_pools_end", at_exit.append)
    hook, _, _ = begun(mlops, tmp_path, config_of(mlops, tmp_path, database))
    (run,) = hook._runs.values()
    end = hook.end_open_runs
    assert end in at_exit
    run.process = -1  # One of a parent process is the parent's to end.
    end()
    assert list(hook._runs.values()) == [run]
    run.process = os.getpid()
    end()
    assert {each.info.status for each in runs_of(database)} == {"KILLED"}


def test_a_run_is_failed_if_another_hook_fails(mlops: Rooms, tmp_path: Path, database: str) -> None:
    class Another:
        @hook_impl
        def after_pipeline_run(self) -> None:
            raise ValueError("the other hook")

    hook, manager, about = begun(mlops, tmp_path, config_of(mlops, tmp_path, database))
    manager.register(Another())
    with pytest.raises(ValueError, match="the other hook"):
        manager.hook.after_pipeline_run(pipeline=PIPELINE, run_result={}, **about)
    (found,) = runs_of(database)
    assert found.info.status == "FAILED"
    assert found.data.tags["kedro.failure"] == "ValueError: the other hook"
    assert hook._runs == {}


def test_workers_are_sent_what_they_need_with_the_catalog(
    mlops: Rooms, tmp_path: Path, database: str
) -> None:
    runner = "<kedro.runner.parallel_runner.ParallelRunner object at 0x7f>"
    config = config_of(mlops, tmp_path, database)
    _, manager, about = begun(mlops, tmp_path, config, runner=runner)
    # The run is there before a worker is forked.
    (running,) = runs_of(database)
    assert running.info.status == "RUNNING"
    kit = about["catalog"].__dict__["_worker_kit"]
    assert SECRET in kit.secrets
    assert kit.session["project_path"] == str(tmp_path)
    manager.hook.after_pipeline_run(pipeline=PIPELINE, run_result={}, **about)
    assert runs_of(database)[0].info.status == "FINISHED"


def test_a_run_that_must_not_start_leaves_the_process_as_it_was(
    mlops: Rooms, tmp_path: Path, database: str
) -> None:
    before = variables()
    handler = signal.getsignal(signal.SIGTERM)
    config = config_of(mlops, tmp_path, database)
    with pytest.raises(mlops("errors").TrackingError):
        run_kedro(mlops, tmp_path, config, alpha="x" * 7000)
    assert variables() == before
    assert signal.getsignal(signal.SIGTERM) is handler


def test_contexts_have_mlflow_yml_when_they_are_asked(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Asked:
        project_path = tmp_path
        env = None

        def __init__(self) -> None:
            self.config_loader = {"mlflow": {"ui": {"port": 1234}}}

    first, second = Asked(), Asked()
    for context in (first, second):
        mlops("hook").MlflowHook().after_context_created(context)
    assert first.mlflow.ui.port == 1234  # type: ignore[attr-defined]
    assert first.mlflow is first.mlflow  # type: ignore[attr-defined]
    assert first.mlflow is not second.mlflow  # type: ignore[attr-defined]


# --- the process ---


def test_changes_last_from_the_first_run_to_the_end_of_the_last(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_OF_BEFORE", "before")
    state = mlops("tracking.process").ProcessState()
    made: list[str] = []

    class Change:
        def __enter__(self) -> None:
            made.append("made")

        def __exit__(self, *error: object) -> None:
            made.append("undone")

    state.enter()
    state.change("it", Change())
    os.environ |= {"MLFLOW_OF_BEFORE": "x", "MLFLOW_NEW": "x", "KEDRO_MLFLOW_NEW": "x"}
    state.enter()
    state.change("it", Change())
    state.leave()
    assert (made, os.environ.get("MLFLOW_NEW")) == (["made"], "x")
    state.leave()
    assert made == ["made", "undone"]
    assert os.environ["MLFLOW_OF_BEFORE"] == "before"
    assert not {"MLFLOW_NEW", "KEDRO_MLFLOW_NEW"} & os.environ.keys()
    state.enter()
    state.change("it", Change())
    state.leave()
    assert made == ["made", "undone"] * 2


@pytest.mark.parametrize("handled", [True, False])
def test_sigterm_ends_a_run_as_ctrl_c_does_unless_the_program_handles_it(
    mlops: Rooms, handled: bool
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    own: list[int] = []
    signal.signal(
        signal.SIGTERM, (lambda number, frame: own.append(number)) if handled else signal.SIG_DFL
    )
    state = mlops("tracking.process").ProcessState()
    try:
        state.enter()
        if handled:
            signal.raise_signal(signal.SIGTERM)
            assert own == [signal.SIGTERM]
        else:
            with pytest.raises(SystemExit) as ended:
                signal.raise_signal(signal.SIGTERM)
            assert ended.value.code == 128 + signal.SIGTERM
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        state.leave()
        assert (signal.getsignal(signal.SIGTERM) is signal.SIG_DFL) is not handled
        if not handled:
            state.enter()
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
            state.leave()
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


def test_garbage_collection_is_as_before(mlops: Rooms) -> None:
    import gc

    process = mlops("tracking.process")
    gc.unfreeze()
    for was_on in (True, False):
        (gc.enable if was_on else gc.disable)()
        try:
            with process.garbage_collection_paused():
                assert not gc.isenabled()
            assert gc.isenabled() is was_on
        finally:
            gc.enable()
    with process.thawed_afterwards():
        with process.frozen_afterwards():
            assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
        count = gc.get_freeze_count()
        with process.thawed_afterwards(), process.frozen_afterwards():
            pass
        assert 0 < gc.get_freeze_count() <= count
    assert gc.get_freeze_count() == 0


def test_a_worker_that_was_not_forked_gets_what_it_needs_through_a_pipe(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pickle

    from kedro.framework import project

    process = mlops("tracking.process")
    equipped: list[Any] = []
    configured: list[str] = []
    settings = SimpleNamespace(
        HOOKS=(SimpleNamespace(equip=equipped.append), object()),
        configured=False,
        configure=configured.append,
    )
    monkeypatch.setattr(project, "settings", settings)
    monkeypatch.setattr(project, "PACKAGE_NAME", None)
    server = mlops("config").ServerOptions(request_header_provider={"type": "x"})
    given = {"project_path": "/p", "env": "prod", "runtime_params": {"a": 1}}
    kit = process.WorkerKit(given, server, frozenset({SECRET}), {"r1": "/p/journal/r1"})
    catalog = DataCatalog()
    kit.send_along(catalog)
    arrived = pickle.loads(pickle.dumps(catalog)).__dict__["_worker_kit"]
    assert equipped == [arrived]
    assert configured == [f"{mlops('project').PACKAGE}.settings"]
    assert (arrived.session, arrived.server, arrived.secrets) == (given, server, {SECRET})
    assert arrived.journals == {"r1": "/p/journal/r1"}
    settings.configured = True
    pickle.loads(pickle.dumps(kit))
    assert len(configured) == 1
    hook = mlops("hook").MlflowHook()
    hook.equip(arrived)
    record = logging.getLogger("x").makeRecord("x", 30, "f", 1, "%s", (SECRET,), None)
    assert record.getMessage() == "********"
    hook._process_state.enter()
    hook._process_state.leave()


def test_a_run_id_that_is_under_way_is_refused_and_its_run_goes_on(
    mlops: Rooms, tmp_path: Path, database: str
) -> None:
    _, manager, about = begun(mlops, tmp_path, config_of(mlops, tmp_path, database))
    with pytest.raises(mlops("errors").TrackingError, match="give each its own run_id"):
        manager.hook.before_pipeline_run(pipeline=PIPELINE, **about)
    manager.hook.after_pipeline_run(pipeline=PIPELINE, run_result={}, **about)
    (found,) = runs_of(database)
    assert found.info.status == "FINISHED"
