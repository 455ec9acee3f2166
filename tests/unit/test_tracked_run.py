"""A run from its start to what is in MLflow, with a real store and no Kedro session."""

from __future__ import annotations

import json
import logging
import shutil
import time
from pathlib import Path
from typing import Any

import mlflow
import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline, node
from kedro_datasets.pandas import CSVDataset
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, Run
from mlflow.tracking.fluent import _active_run_stack

from tests.support.machine import free_port
from tests.support.rooms import Rooms
from tests.support.tracked import (
    PIPELINE,
    catalog_of,
    config_of,
    double,
    finish,
    measure,
    runs_of,
    started,
    work,
)


@pytest.fixture(autouse=True)
def no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run that others have begun, and no address of theirs."""
    for name in ("MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)


def journals(project: Path) -> list[Path]:
    folder = project / ".kedro_mlflow/journal"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def text_of(uri: str, run_id: str, path: str, folder: Path) -> str:
    return Path(MlflowClient(uri).download_artifacts(run_id, path, str(folder))).read_text("utf-8")


def inputs_of(run: Run) -> list[DatasetInput]:
    assert run.inputs
    return list(run.inputs.dataset_inputs)


def test_a_run_arrives_as_a_whole_and_leaves_nothing_behind(
    mlops: Rooms, tmp_path: Path, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "raw.csv").write_text("a\n1\n", encoding="utf-8")
    raw = CSVDataset(filepath=str(tmp_path / "raw.csv"))
    catalog = catalog_of({"params:alpha": 0.5})
    catalog["raw"] = raw
    pipeline = PIPELINE + Pipeline([node(len, "raw", "rows", name="count")])
    with caplog.at_level(logging.INFO):
        run = started(mlops, tmp_path, config_of(mlops, tmp_path, database), pipeline, (), catalog)
        folder = run.journal.folder
        assert folder == tmp_path / ".kedro_mlflow/journal/2026-01-01T00.00.00.000Z"
        assert not mlops("disk").FileLock(folder / "lock").take()
        for each, inputs, outputs in (
            ("measure", {"params:alpha": 0.5}, {"score": {"rmse": 1.0}}),
            ("double", {"score": {"rmse": 1.0}}, {"doubled": {"rmse": 2.0}}),
            ("count", {"raw": raw.load()}, {"rows": 1}),
        ):
            (one,) = (found for found in pipeline.nodes if found.name == each)
            work(run, one, inputs, outputs, catalog)
        run.complete(catalog)
        run.finish("FINISHED")
    assert journals(tmp_path) == []
    (found,) = runs_of(database)
    info = found.info
    assert (info.run_name, info.status) == ("training", "FINISHED")
    assert info.start_time <= info.end_time
    assert found.data.params == {"alpha": "0.5"}
    metrics = {key: value for key, value in found.data.metrics.items() if "seconds" not in key}
    assert metrics == {"score/rmse": 1.0, "doubled/rmse": 2.0, "rows": 1.0}
    assert {f"node_seconds/{each.name}" for each in pipeline.nodes} < found.data.metrics.keys()
    assert found.data.tags["kedro.command"] == "kedro run --pipelines training"
    assert found.data.tags["mlflow.source.name"] == mlops("project").PACKAGE
    (read,) = inputs_of(found)
    assert (read.dataset.name, read.dataset.source_type) == ("raw", "local")
    assert json.loads(str(read.dataset.profile)) == {"num_rows": 1}
    record = json.loads(text_of(database, info.run_id, "kedro/run.json", tmp_path))
    assert [each["status"] for each in record["nodes"]] == ["FINISHED"] * 3
    assert record["status"] == "FINISHED"
    assert record["versions"]["kedro"] == "1.7.0"
    client = MlflowClient(database)
    (trace,) = client.search_traces(locations=[info.experiment_id], run_id=info.run_id)
    spans = [span.name for span in client.get_trace(trace.info.trace_id).data.spans]
    assert spans == ["training", "measure", "double", "count"]
    assert client.get_experiment(info.experiment_id).tags == {
        "mlflow.experimentKind": "custom_model_development"
    }
    page = "Its page: uv run kedro mlflow ui"
    assert f"Tracked by MLflow as run 'training' ({info.run_id}). {page}" in caplog.text
    assert f"MLflow run 'training' ({info.run_id}) has finished. {page}" in caplog.text
    assert "Tracked by MLflow" not in caplog.text.partition(" has finished")[2]


OFF = [
    ({"lineage": False}, "inputs"),
    ({"timeline": False}, "traces"),
    ({"metrics": False}, "metrics"),
    ({"node_times": False}, "seconds"),
]


@pytest.mark.parametrize(("capture", "missing"), OFF, ids=[missing for _, missing in OFF])
def test_what_mlflow_yml_switches_off_is_not_captured(
    mlops: Rooms, tmp_path: Path, database: str, capture: dict[str, bool], missing: str
) -> None:
    catalog = catalog_of({"params:alpha": 0.5, "rows": [1]})
    config = config_of(mlops, tmp_path, database, tracking={"capture": capture, **STUDY})
    pipeline = Pipeline([node(len, "rows", "score", name="count")])
    run = started(mlops, tmp_path, config, pipeline, (), catalog)
    work(run, pipeline.nodes[0], {"rows": [1]}, {"score": 1})
    run.finish("FINISHED")
    (found,) = runs_of(database)
    traces = MlflowClient(database).search_traces(locations=[found.info.experiment_id])
    there = {
        "inputs": bool(inputs_of(found)),
        "traces": bool(traces),
        "metrics": "score" in found.data.metrics,
        "seconds": "node_seconds/count" in found.data.metrics,
    }
    assert [name for name, is_there in there.items() if not is_there] == [missing]


STUDY: dict[str, Any] = {"experiment": {"name": "study"}}


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_a_run_that_fails_says_so(
    mlops: Rooms, tmp_path: Path, database: str, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    listener = listener_of(mlops)
    run = started(mlops, tmp_path, config_of(mlops, tmp_path, database), listeners=[listener])
    run.node_ended(run.node_started(PIPELINE.nodes[0]), ValueError("no"))
    with caplog.at_level(logging.INFO):
        run.finish(status)
    (found,) = runs_of(database)
    assert found.info.status == status
    assert {"FAILED": " has failed.", "KILLED": " has been stopped."}[status] in caplog.text
    record = json.loads(text_of(database, found.info.run_id, "kedro/run.json", tmp_path))
    assert record["nodes"][0]["error"] == "ValueError: no"
    assert listener.calls == ["run_starts", "shipping_starts"]


def listener_of(mlops: Rooms) -> Any:
    """A listener that notes what it is told, and takes part where it can."""

    class Listener(mlops("tracking").RunListener):  # type: ignore[misc]
        def __init__(self) -> None:
            self.calls: list[str] = []
            self.delivered: list[Any] = []

        def run_starts(self, start: Any) -> None:
            self.calls.append("run_starts")
            start.tags["of the start"] = "yes"
            start.registers = "sales"

        def node_called(self, node: Any, inputs: Any) -> dict[str, str]:
            self.calls.append(f"node_called {node.name}")
            return {"of the node": "yes"} if node.name == "double" else {}

        def run_ends(self, run: Any, catalog: Any) -> None:
            self.calls.append("run_ends")
            run.journal.append("tags", values={"of the end": "yes"})

        def shipping_starts(self, client: Any, started: Any) -> None:
            assert started.data["registers"] == "sales"
            self.calls.append("shipping_starts")

        def run_shipped(self, delivery: Any) -> None:
            self.calls.append("run_shipped")
            self.delivered.append(delivery.run_id)

    return Listener()


def test_other_rooms_take_part_as_listeners(mlops: Rooms, tmp_path: Path, database: str) -> None:
    listener = listener_of(mlops)
    finish(started(mlops, tmp_path, config_of(mlops, tmp_path, database), listeners=[listener]))
    (found,) = runs_of(database)
    taken = {key for key, value in found.data.tags.items() if key.startswith("of the ")}
    assert taken == {"of the start", "of the node", "of the end"}
    assert sorted(listener.calls) == [
        *("node_called double", "node_called measure"),
        *("run_ends", "run_shipped", "run_starts", "shipping_starts"),
    ]
    assert listener.delivered == [found.info.run_id]


def test_a_listener_that_fails_costs_the_run_nothing(
    mlops: Rooms, tmp_path: Path, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(mlops("tracking").RunListener):  # type: ignore[misc]
        subject = "The holdout"

        def node_called(self, node: Any, inputs: Any) -> dict[str, str]:
            raise ValueError("no such rows")

    finish(started(mlops, tmp_path, config_of(mlops, tmp_path, database), listeners=[Failing()]))
    assert runs_of(database)[0].info.status == "FINISHED"
    assert "The holdout is not tracked: no such rows" in caplog.text


def test_a_mirror_gets_the_same_run_and_no_promotion(
    mlops: Rooms, tmp_path: Path, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    mirror = f"sqlite:///{shutil.copy(tmp_path / 'mlflow.db', tmp_path / 'mirror.db')}"
    listener = listener_of(mlops)
    config = config_of(mlops, tmp_path, database, mirrors=[{"mlflow_tracking_uri": mirror}])
    with caplog.at_level(logging.INFO):
        finish(started(mlops, tmp_path, config, listeners=[listener]))
    (found,), (mirrored,) = runs_of(database), runs_of(mirror)
    assert found.info.run_id != mirrored.info.run_id
    assert found.data.params == mirrored.data.params
    assert found.data.metrics == mirrored.data.metrics
    assert mirrored.info.status == "FINISHED"
    assert listener.delivered == [found.info.run_id]
    assert caplog.text.count("Tracked by MLflow as run") == 1
    assert journals(tmp_path) == []


# --- whether, where and under which name ---

NAMES: list[tuple[dict[str, Any], list[str], str | None]] = [
    ({}, ["training"], "training"),
    ({}, ["training", "inference"], "training, inference"),
    ({"run": {"name": "mine"}}, ["training"], "mine"),
    ({"disable_tracking": {"pipelines": ["training"]}}, ["training"], None),
    (
        {"disable_tracking": {"pipelines": ["training"]}},
        ["training", "inference"],
        "training, inference",
    ),
]


@pytest.mark.parametrize(("tracking", "pipelines", "name"), NAMES, ids=range(len(NAMES)))
def test_a_run_is_called_by_its_pipelines_or_left_out(
    mlops: Rooms,
    tmp_path: Path,
    database: str,
    tracking: dict[str, Any],
    pipelines: list[str],
    name: str | None,
) -> None:
    config = config_of(mlops, tmp_path, database, tracking={**STUDY, **tracking})
    run = started(mlops, tmp_path, config, pipeline_names=pipelines)
    assert (run is None) is (name is None)
    if run:
        run.finish("FINISHED")
        assert [found.info.run_name for found in runs_of(database)] == [name]
    assert journals(tmp_path) == []


def begun(uri: str) -> str:
    """A run that somebody else has begun, with a parameter and a name of its own."""
    client = MlflowClient(uri)
    experiment_id = client.create_experiment("theirs", Path(uri[10:]).parent.as_uri())
    tags = {"mlflow.source.name": "theirs"}
    run_id: str = client.create_run(experiment_id, run_name="their run", tags=tags).info.run_id
    client.log_param(run_id, "alpha", "9")
    return run_id


@pytest.mark.parametrize("by", ["mlflow.yml", "environment", "both", "active"])
def test_a_run_that_was_begun_elsewhere_is_joined_and_ended_there(
    mlops: Rooms, tmp_path: Path, database: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = begun(database)
    tracking = dict(STUDY)
    if by in ("mlflow.yml", "both"):
        tracking["run"] = {"id": run_id}
    if by in ("environment", "both"):
        monkeypatch.setenv("MLFLOW_RUN_ID", run_id if by == "environment" else "of nobody")
    away = f"sqlite:///{tmp_path}/away.db"
    config = config_of(mlops, tmp_path, away if by == "active" else database, tracking=tracking)
    try:
        if by == "active":
            mlflow.set_tracking_uri(database)
            mlflow.start_run(run_id)
        finish(started(mlops, tmp_path, config))
    finally:
        if by == "active":
            _active_run_stack.get().clear()  # Without ending it.
    (found,) = runs_of(database, "theirs")
    assert (found.info.run_id, found.info.status) == (run_id, "RUNNING")
    assert found.info.run_name == "their run"
    assert found.data.params == {"alpha": "9"}
    assert found.data.metrics["score/rmse"] == 1.0
    assert found.data.tags["kedro.pipelines"] == "training"
    assert found.data.tags["mlflow.source.name"] == "theirs"
    assert MlflowClient(database).get_experiment_by_name("study") is None
    assert not (tmp_path / "away.db").exists()


def inside(name: str, *nodes: Any) -> Pipeline:
    return Pipeline(nodes, namespace=name, prefix_datasets_with_namespace=False)


NESTED = Pipeline(
    [
        inside("a", node(measure, "params:alpha", "score", name="one")),
        inside("a.b", node(double, "score", "doubled", name="two")),
        Pipeline([node(double, "doubled", "last", name="three")]),
    ]
)


@pytest.mark.parametrize("status", ["FINISHED", "FAILED"])
def test_namespaces_are_child_runs(
    mlops: Rooms, tmp_path: Path, database: str, status: str
) -> None:
    tracking = {**STUDY, "run": {"nested": "namespace"}}
    run = started(mlops, tmp_path, config_of(mlops, tmp_path, database, tracking=tracking), NESTED)
    there = run.find_ids(time.monotonic() + 60)
    ids = {namespace: there.id_of(namespace) for namespace in ("", "a", "a.b")}
    assert all(ids.values())
    if status == "FINISHED":
        finish(run, NESTED)
    else:  # Its last node never starts.
        for each, value in zip(NESTED.nodes[:1], [{"rmse": 1.0}], strict=True):
            work(run, each, {each.inputs[0]: 0.5}, {each.outputs[0]: value})
        run.finish("FAILED")
    found = {each.info.run_name: each for each in runs_of(database)}
    assert {name: each.info.run_id for name, each in found.items()} == {
        "training" if name == "" else name: run_id for name, run_id in ids.items()
    }
    whole, outer, inner = found["training"], found["a"], found["a.b"]
    parent = "mlflow.parentRunId"
    assert outer.data.tags[parent] == whole.info.run_id
    assert inner.data.tags[parent] == outer.info.run_id
    assert parent not in whole.data.tags
    assert inner.data.tags["kedro.namespace"] == "a.b"
    assert outer.data.params == {"alpha": "0.5"}
    assert whole.data.params == inner.data.params == {}
    assert outer.data.metrics["score/rmse"] == 1.0
    assert whole.info.status == status
    assert (outer.info.status, inner.info.status) == (status, status)
    assert all(each.info.end_time for each in found.values())
    if status == "FINISHED":
        assert inner.data.metrics["doubled/rmse"] == 2.0
        assert whole.data.metrics["last/rmse"] == 4.0
        assert outer.info.end_time <= whole.info.end_time


# --- what must not start, what cannot be delivered now ---


def test_a_parameter_that_is_too_long_leaves_nothing_of_a_run(
    mlops: Rooms, tmp_path: Path, database: str
) -> None:
    catalog = catalog_of({"params:alpha": "x" * 7000})
    config = config_of(mlops, tmp_path, database)
    for _ in range(2):
        with pytest.raises(mlops("errors").TrackingError, match="'alpha' is 7000 characters long"):
            started(mlops, tmp_path, config, catalog=catalog)
    assert journals(tmp_path) == []
    assert MlflowClient(database).get_experiment_by_name("study") is None


def test_many_parameters_arrive(mlops: Rooms, tmp_path: Path, database: str) -> None:
    many = {f"p{number}": "y" * 6100 if number == 3 else number for number in range(2300)}
    params = {"dict_params": {"flatten": True}, "long_params_strategy": "tag"}
    config = config_of(mlops, tmp_path, database, tracking={**STUDY, "params": params})
    run = started(mlops, tmp_path, config, catalog=catalog_of({"params:alpha": many}))
    work(run, PIPELINE.nodes[0], {"params:alpha": many}, {})
    run.finish("FINISHED")
    (found,) = runs_of(database)
    assert len(found.data.params) == 2299
    assert found.data.params["alpha.p2299"] == "2299"
    assert found.data.tags["alpha.p3"] == "y" * 6100


@pytest.mark.parametrize("kind", ["server", "database"])
def test_a_run_starts_only_with_its_server_where_mlflow_yml_says_so(
    mlops: Rooms, tmp_path: Path, kind: str
) -> None:
    away = {
        "server": f"http://me:CANARY@127.0.0.1:{free_port()}",
        "database": f"sqlite:///{tmp_path}/no/such/folder/mlflow.db",
    }[kind]
    config = config_of(mlops, tmp_path, away, shipping={"on_unreachable": "fail"})
    with pytest.raises(mlops("errors").TrackingError, match="cannot be reached") as refused:
        started(mlops, tmp_path, config)
    assert "CANARY" not in refused.value.message
    assert journals(tmp_path) == []


@pytest.fixture
def quick(mlops: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up soon on what does not answer."""
    shipper = mlops("tracking.shipping.shipper")
    monkeypatch.setattr(shipper, "_GRACE_SECONDS", 0.1)
    monkeypatch.setattr(shipper, "_FIRST_BACKOFF_SECONDS", 0.05)


@pytest.mark.usefixtures("quick")
def test_a_run_without_its_server_is_kept_and_delivered_by_the_next(
    mlops: Rooms,
    tmp_path: Path,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)  # Files of a server's run go there, in a database.
    away = config_of(mlops, tmp_path, f"http://127.0.0.1:{free_port()}")
    run = started(mlops, tmp_path, away, run_id="2026-01-01T00.00.00.000Z")
    assert run.find_ids(time.monotonic() + 10) is None
    finish(run, alpha=0.25)
    reason = "it does not answer"
    assert f"did not take the whole run ({reason}). The rest is kept: `uv run" in caplog.text
    (kept,) = journals(tmp_path)
    # Another one is killed.
    killed = started(mlops, tmp_path, away, run_id="2026-01-02T00.00.00.000Z")
    killed.node_started(PIPELINE.nodes[0])
    for shipper in killed._shippers:
        shipper.drain(0)
    killed.journal.close()
    killed._lock.release()
    with (kept.parent / killed.journal.folder.name / "1.jsonl").open("w") as half:
        half.write('{"kind": "node", "ti')
    assert len(journals(tmp_path)) == 2
    caplog.clear()
    with caplog.at_level(logging.INFO):
        config = config_of(mlops, tmp_path, database)
        finish(started(mlops, tmp_path, config, run_id="2026-01-03T00.00.00.000Z"))
    assert journals(tmp_path) == []
    found = {each.data.tags["kedro.run_id"][:10]: each for each in runs_of(database)}
    statuses = {day: each.info.status for day, each in found.items()}
    assert statuses == {
        "2026-01-01": "FINISHED",
        "2026-01-02": "KILLED",
        "2026-01-03": "FINISHED",
    }
    assert found["2026-01-01"].data.metrics["score/rmse"] == 0.5
    dead = found["2026-01-02"].info
    assert dead.end_time - dead.start_time < 5000
    for day, ended in (("2026-01-01", "finished"), ("2026-01-02", "been stopped")):
        assert f"Delivered as well: the run of {day}" in caplog.text
        assert f"which has {ended}." in caplog.text


@pytest.mark.usefixtures("quick")
def test_sync_says_what_became_of_each_run(
    mlops: Rooms, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = mlops("tracking.shipping.sync").sync
    monkeypatch.chdir(tmp_path)
    away = config_of(mlops, tmp_path, f"http://127.0.0.1:{free_port()}")
    finish(started(mlops, tmp_path, away))
    alive = started(mlops, tmp_path, away, run_id="2026-01-02T00.00.00.000Z")
    folder = journals(tmp_path)[0].parent
    first, second = sync(folder, away)
    assert (first.status, first.run_id, first.error) == ("FINISHED", None, "it does not answer")
    assert (second.kedro_run_id, second.status) == ("2026-01-02T00.00.00.000Z", None)
    here = config_of(mlops, tmp_path, database)
    first, second = sync(folder, here)
    (found,) = runs_of(database)
    assert (first.status, first.run_id, first.error) == ("FINISHED", found.info.run_id, None)
    assert second.status is None
    assert [each.name for each in journals(tmp_path)] == ["2026-01-02T00.00.00.000Z"]
    alive.finish("FINISHED")
    assert list(sync(tmp_path / "nowhere", here)) == []


def test_what_a_server_refuses_is_kept_beside_and_told(
    mlops: Rooms, tmp_path: Path, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = started(mlops, tmp_path, config_of(mlops, tmp_path, database))
    run.journal.append("metrics", values=[["not a name: *", 1.0, 0]])
    finish(run)
    assert "refused" in caplog.text
    (refused,) = (tmp_path / ".kedro_mlflow/refused").rglob("*.refused")
    assert refused.parent.name == "2026-01-01T00.00.00.000Z"
    assert json.loads(refused.read_text())["what"] == "the metric not a name: *"
    (found,) = runs_of(database)
    assert found.info.status == "FINISHED"
    assert found.data.metrics["score/rmse"] == 1.0


def kept_of(project: Path) -> list[str]:
    folder = project / ".kedro_mlflow/refused"
    return sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []


def test_what_was_refused_is_delivered_again_or_given_up(
    mlops: Rooms, tmp_path: Path, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    sync = mlops("tracking.shipping.sync")
    state, run_id = mlops("project").State.of(tmp_path), "2026-01-01T00.00.00.000Z"
    config = config_of(mlops, tmp_path, database)
    run = started(mlops, tmp_path, config)
    run.journal.append("metrics", values=[["not a name: *", 1.0, 0]])
    finish(run)
    assert (kept_of(tmp_path), journals(tmp_path)) == ([run_id], [])
    for _ in range(2):
        sync.reopen(state)
        assert (kept_of(tmp_path), [each.name for each in journals(tmp_path)]) == ([], [run_id])
        (outcome,) = sync.sync(state.journals, config)
        assert (outcome.status, outcome.error) == ("FINISHED", None)
        assert len(outcome.notes) == 1
        assert kept_of(tmp_path) == [run_id]
    assert len(runs_of(database)) == 1
    alive = started(mlops, tmp_path, config, run_id="alive")
    for name, text in (("alive", "is under way"), ("unknown", "Nothing is kept of a run 'unkno")):
        with pytest.raises(mlops("errors").TrackingError, match=text):
            sync.give_up(state, name)
    alive.finish("FINISHED")
    (state.refused / f"{run_id}-server.jsonl").touch()  # As the first versions kept it.
    sync.give_up(state, run_id)
    assert kept_of(tmp_path) == []


@pytest.mark.parametrize("kind", ["unknown", "deleted"])
def test_a_run_that_joins_one_that_is_gone_says_so_and_holds_nothing_up(
    mlops: Rooms,
    tmp_path: Path,
    database: str,
    kind: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run_id = "0" * 32
    if kind == "deleted":
        run_id = begun(database)
        MlflowClient(database).delete_run(run_id)
    tracking = {**STUDY, "run": {"id": run_id}}
    run = started(mlops, tmp_path, config_of(mlops, tmp_path, database, tracking=tracking))
    with pytest.raises(mlops("errors").TrackingError, match="tracking data have not arrived"):
        finish(run)
    reason = {"unknown": "it has no run ", "deleted": "it has deleted the run "}[kind]
    assert f"{reason}{run_id}, which this one joins" in caplog.text
    assert (kept_of(tmp_path), journals(tmp_path)) == (["2026-01-01T00.00.00.000Z"], [])


def test_a_run_that_is_deleted_meanwhile_is_kept(
    mlops: Rooms, tmp_path: Path, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = started(mlops, tmp_path, config_of(mlops, tmp_path, database))
    run_id = run.find_ids(time.monotonic() + 60).run_id
    MlflowClient(database).delete_run(run_id)
    finish(run)
    assert f"it has deleted the run {run_id}" in caplog.text
    assert kept_of(tmp_path) == ["2026-01-01T00.00.00.000Z"]


def test_the_machine_is_sampled_until_a_run_ends(
    mlops: Rooms, tmp_path: Path, database: str
) -> None:
    run = started(mlops, tmp_path, config_of(mlops, tmp_path, database))
    told: list[str] = []

    class System:
        def stop(self) -> None:
            told.append("stop")

    run._system = System()
    run.finish("FINISHED")
    assert told == ["stop"]


@pytest.mark.parametrize("fails", ["create_run", "set_terminated", "log_batch", "log_inputs"])
def test_a_call_whose_answer_is_lost_makes_nothing_twice(
    mlops: Rooms, tmp_path: Path, database: str, fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has done it, and the connection breaks before it says so."""
    monkeypatch.setattr(mlops("tracking.shipping.shipper"), "_FIRST_BACKOFF_SECONDS", 0.01)
    real = getattr(MlflowClient, fails)
    calls = []

    def lost(self: Any, *arguments: Any, **named: Any) -> Any:
        result = real(self, *arguments, **named)
        calls.append(fails)
        if len(calls) == 1:
            raise ConnectionResetError("cut off")
        return result

    monkeypatch.setattr(MlflowClient, fails, lost)
    tracking = {**STUDY, "run": {"nested": "namespace"}}
    config = config_of(mlops, tmp_path, database, tracking=tracking)
    catalog = catalog_of({"params:alpha": 0.5, "raw": [1]})
    pipeline = NESTED + Pipeline([node(len, "raw", "rows", name="count")])
    run = started(mlops, tmp_path, config, pipeline, (), catalog)
    one = next(each for each in pipeline.nodes if each.name == "count")
    work(run, one, {"raw": [1]}, {"rows": 1})
    run.finish("FAILED")
    assert len(calls) > 1
    found = runs_of(database)
    assert sorted(each.info.run_name for each in found) == ["a", "a.b", "training"]
    assert {each.info.status for each in found} == {"FAILED"}
    whole = next(each for each in found if each.info.run_name == "training")
    assert whole.data.metrics["rows"] == 1.0
    assert len(inputs_of(whole)) == 1
    assert journals(tmp_path) == []


def test_runs_that_begin_in_one_millisecond_have_journals_of_their_own(
    mlops: Rooms, tmp_path: Path, database: str
) -> None:
    config = config_of(mlops, tmp_path, database)
    # A run id is the time; this is what a second process does that begins in the same millisecond.
    both = [started(mlops, tmp_path, config), started(mlops, tmp_path, config)]
    assert len(journals(tmp_path)) == 2
    for run, alpha in zip(both, (1.0, 2.0), strict=True):
        finish(run, alpha=alpha)
    found = runs_of(database)
    assert {run.data.metrics["doubled/rmse"] for run in found} == {4.0, 8.0}
    assert journals(tmp_path) == []


def test_the_journal_that_cannot_be_written_costs_only_tracking(
    mlops: Rooms, tmp_path: Path, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".kedro_mlflow").write_text("a file", encoding="utf-8")
    assert started(mlops, tmp_path, config_of(mlops, tmp_path, database)) is None
    assert "The journal cannot be written" in caplog.text


def test_kept_files_arrive(mlops: Rooms, tmp_path: Path, database: str) -> None:
    kept = CSVDataset(filepath=str(tmp_path / "kept.csv"))
    catalog = DataCatalog({"score": kept})
    catalog["params:alpha"] = catalog_of({"x": 0.5})["x"]
    artifacts = {"datasets": ["sc*"]}
    config = config_of(mlops, tmp_path, database, tracking={**STUDY, "artifacts": artifacts})
    run = started(mlops, tmp_path, config, catalog=catalog)
    (tmp_path / "kept.csv").write_text("x\n1\n", encoding="utf-8")
    work(run, PIPELINE.nodes[0], {}, {"score": 1})
    run.complete(catalog)
    run.finish("FINISHED")
    (found,) = runs_of(database)
    path = "data/score/kept.csv"
    assert text_of(database, found.info.run_id, path, tmp_path) == "x\n1\n"


def test_a_pipeline_has_its_own_name_where_it_is_the_default(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kedro.framework import project

    names = mlops("tracking.start").pipeline_names
    for registered, expected in (
        ({"__default__": PIPELINE, "training": PIPELINE, "a": NESTED}, ["training"]),
        ({"__default__": PIPELINE, "a": NESTED}, ["__default__"]),
    ):
        monkeypatch.setattr(project, "pipelines", registered)
        assert names({"pipeline_names": None}) == expected
        assert names({"pipeline_names": ("a", "b")}) == ["a", "b"]
