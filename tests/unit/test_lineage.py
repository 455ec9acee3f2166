"""Inputs and the timeline arrive at MLflow once, and leave the process's MLflow state alone."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlflow
import pytest

from tests.support.rooms import Rooms

SECOND = 1_000_000_000
STATUSES = {"FINISHED": "OK", "FAILED": "ERROR"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("lineage") / "mlflow.db"
    return mlflow.MlflowClient(f"sqlite:///{path.as_posix()}")


@pytest.fixture
def run(client: Any, tmp_path: Path) -> Any:
    name = f"of {tmp_path.name}"
    return client.create_run(client.create_experiment(name, tmp_path.as_uri())).info


def node(name: str, started_ns: int, seconds: int, status: str, **more: Any) -> dict[str, Any]:
    times = {"started_ns": started_ns, "ended_ns": started_ns + seconds * SECOND}
    return {"name": name, "inputs": ["a"], "outputs": [], "status": status, **times, **more}


@pytest.mark.parametrize("status", ["FINISHED", "FAILED"])
def test_a_run_is_one_trace_with_a_span_a_node(
    mlops: Rooms,
    client: Any,
    run: Any,
    status: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = mlops("tracking.journal").Record
    timeline = mlops("tracking.shipping.timeline")
    monkeypatch.setattr(timeline, "_SPANS_PER_CALL", 2)  # A large run's come in several calls.
    start = time.time_ns() - 10 * SECOND
    reason = {"error": "ValueError: no"} if status == "FAILED" else {}
    records = [
        record("run_started", start // 1_000_000, {"name": "training", "tags": {}}),
        record("node", 0, node("first", start + SECOND, 2, "FINISHED", function="a.b")),
        record("node", 0, node("last", start + 3 * SECOND, 1, status, **reason)),
        record("node_started", 0, {"name": "open", "started_ns": start + 5 * SECOND}),
        record("run_ended", start // 1_000_000 + 9000, {"status": status}),
    ]
    lines = "".join(json.dumps(asdict(each)) + "\n" for each in records)
    (tmp_path / "1.jsonl").write_text(lines, encoding="utf-8")
    before = mlflow.get_tracking_uri()
    for _ in range(2):  # Delivering twice changes nothing.
        timeline.log_timeline(client, run.experiment_id, run.run_id, tmp_path, records[-1])
    assert mlflow.get_tracking_uri() == before
    (trace,) = client.search_traces(locations=[run.experiment_id], run_id=run.run_id)
    assert trace.info.state == STATUSES[status]
    assert trace.info.request_time == start // 1_000_000
    assert trace.info.execution_duration == 9000
    spans = {span.name: span for span in client.get_trace(trace.info.trace_id).data.spans}
    assert list(spans) == ["training", "first", "last", "open"]
    root = spans.pop("training")
    assert {span.parent_id for span in spans.values()} == {root.span_id}
    assert spans["first"].start_time_ns == start + SECOND
    assert spans["first"].end_time_ns == start + 3 * SECOND
    assert spans["first"].attributes["function"] == "a.b"
    assert spans["last"].status.status_code.value == STATUSES[status]
    assert spans["last"].status.description == reason.get("error", "")
    assert spans["open"].status.status_code.value == "ERROR"


def test_inputs_arrive_as_data_sets_once(mlops: Rooms, client: Any, run: Any) -> None:
    table = {
        "name": "raw",
        "source": "s3://bucket/raw.csv",
        "type": "CSVDataset",
        "digest": "d1",
        "schema": [["a", "int64"], ["b", "object"], ["c", "datetime64[ns]"]],
        "rows": 3,
    }
    memory = {"name": "seen", "source": None, "type": "MemoryDataset", "digest": None}
    record = mlops("tracking.journal").Record
    records = [record("input", 0, data) for data in (table, memory, table)]
    for _ in range(2):
        mlops("tracking.shipping.lineage").log_inputs(client, run.run_id, records)
    inputs = client.get_run(run.run_id).inputs.dataset_inputs
    raw, seen = sorted((each.dataset for each in inputs), key=lambda dataset: dataset.name)
    assert (raw.name, raw.digest, raw.source_type) == ("raw", "d1", "s3")
    assert json.loads(raw.source) == {"uri": "s3://bucket/raw.csv"}
    columns = json.loads(raw.schema)["mlflow_colspec"]
    assert [each["type"] for each in columns] == ["long", "string", "datetime"]
    assert json.loads(raw.profile) == {"num_rows": 3}
    assert (seen.name, seen.source_type, len(seen.digest)) == ("seen", "memory", 32)


INPUTS: list[tuple[dict[str, Any], tuple[str, dict[str, str | None]]]] = [
    ({"source": "file:///a/raw.csv"}, ("local", {"uri": "file:///a/raw.csv"})),
    ({"source": "https://host/raw.csv"}, ("https", {"url": "https://host/raw.csv"})),
    ({"source": "http://host/raw.csv"}, ("http", {"url": "http://host/raw.csv"})),
    ({"source": "s3://bucket/raw.csv"}, ("s3", {"uri": "s3://bucket/raw.csv"})),
    ({"source": None}, ("memory", {"uri": None})),
]


@pytest.mark.parametrize(("given", "expected"), INPUTS, ids=[each[0] for _, each in INPUTS])
def test_a_data_set_says_where_it_is_from(
    mlops: Rooms, given: dict[str, Any], expected: tuple[str, dict[str, str | None]]
) -> None:
    data = {"name": "n" * 600, "type": "CSVDataset", "digest": None, **given}
    made = mlops("tracking.shipping.lineage")._dataset_input(data)
    assert (made.dataset.source_type, json.loads(made.dataset.source)) == expected
    assert made.dataset.name == "n" * 500
    assert (made.dataset.schema, made.dataset.profile) == (None, None)
    assert [(tag.key, tag.value) for tag in made.tags] == [("mlflow.data.context", "CSVDataset")]


def test_without_a_digest_of_its_own_it_has_that_of_its_shape(mlops: Rooms) -> None:
    make = mlops("tracking.shipping.lineage")._dataset_input

    def digest(**given: Any) -> Any:
        return make({"name": "n", "source": None, "type": "x", "digest": None, **given}).dataset

    schema = [["a", "int64"]]
    same = [digest(schema=schema, rows=2).digest for _ in range(2)]
    assert same[0] == same[1]
    others = [digest(), digest(rows=2), digest(schema=schema, rows=3), digest(source="s3://b")]
    assert len({same[0], *(each.digest for each in others)}) == 5
    many = [[f"column {number} {'x' * 100}", "int64"] for number in range(9000)]
    assert digest(schema=many).schema is None
    assert digest(schema=many[:100]).schema is not None


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("int64", "long"), ("UInt8", "long"), ("bigint", "long"), ("int32", "integer")),
        *(("Float64", "double"), ("double", "double"), ("float32", "float")),
        *(("boolean", "boolean"), ("timestamp", "datetime"), ("date", "datetime")),
        *(("binary", "binary"), ("str", "string"), ("category", "string")),
    ],
)
def test_types_of_columns_have_mlflows_names(mlops: Rooms, kind: str, name: str) -> None:
    assert mlops("tracking.shipping.lineage")._type(kind) == name


def test_a_run_without_nodes_has_no_timeline(
    mlops: Rooms, client: Any, run: Any, tmp_path: Path
) -> None:
    record = mlops("tracking.journal").Record
    end = record("run_ended", 1000, {"status": "FINISHED"})
    started = record("run_started", 1, {"name": "training", "tags": {}})
    (tmp_path / "1.jsonl").write_text(json.dumps(asdict(started)) + "\n", encoding="utf-8")
    log = mlops("tracking.shipping.timeline").log_timeline
    log(client, run.experiment_id, run.run_id, tmp_path, end)
    assert list(client.search_traces(locations=[run.experiment_id])) == []


def test_a_trace_is_as_long_as_its_nodes(
    mlops: Rooms, client: Any, run: Any, tmp_path: Path
) -> None:
    """A node may be seen to start before the run's own first record, or to end after its last."""
    record = mlops("tracking.journal").Record
    records = [
        record("run_started", 5000, {"name": "training", "tags": {"kedro.command": "kedro run"}}),
        record("node", 0, node("first", 4 * SECOND, 8, "FINISHED")),
    ]
    lines = "".join(json.dumps(asdict(each)) + "\n" for each in records)
    (tmp_path / "1.jsonl").write_text(lines, encoding="utf-8")
    end = record("run_ended", 10_000, {"status": "FINISHED"})
    log = mlops("tracking.shipping.timeline").log_timeline
    log(client, run.experiment_id, run.run_id, tmp_path, end)
    (trace,) = client.search_traces(locations=[run.experiment_id])
    assert (trace.info.request_time, trace.info.execution_duration) == (4000, 8000)
    assert trace.info.request_preview == "kedro run"
    assert trace.info.trace_id == f"tr-{run.run_id}"
    root, first = client.get_trace(trace.info.trace_id).data.spans
    assert (root.start_time_ns, root.end_time_ns) == (4 * SECOND, 12 * SECOND)
    assert root.parent_id is None
    assert first.parent_id == root.span_id != first.span_id
    assert {root.span_type, first.span_type} == {"TASK"}
    assert first.attributes["inputs"] == ["a"]
    assert "inputs" not in root.attributes


def test_on_databricks_spans_are_a_file(mlops: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    timeline = mlops("tracking.shipping.timeline")
    sent: list[Any] = []

    class Tracing:
        tracking_uri = "databricks"

        def start_trace(self, info: Any) -> str:
            return f"trace of {info}"

    monkeypatch.setattr(timeline, "upload_spans", lambda *given: sent.append(given))
    tracing = Tracing()
    timeline.log_trace(tracing, "info", iter(["span"]))
    ((client, trace, spans),) = sent
    assert (client, trace, list(spans)) == (tracing, "trace of info", ["span"])


def test_a_model_has_the_parameters_that_were_read_before_it(mlops: Rooms) -> None:
    record, lineage = mlops("tracking.journal").Record, mlops("tracking.shipping.lineage")
    records = [
        record("params", 1, {"values": {"a": "1", "b": "2"}}),
        record("params", 2, {"values": {"c": "3"}, "namespace": "part"}),
        record("params", 3, {"values": {"d": "4"}}),
        record("params", 4, {"values": {"e": "5"}}),
    ]
    model = record("model", 3, {})
    assert lineage.parameters_of(records, model) == {"a": "1", "b": "2", "d": "4"}
    of_part = record("model", 3, {"namespace": "part"})
    assert lineage.parameters_of(records, of_part) == {"c": "3"}
    many = [record("params", 1, {"values": {f"p{number}": "x" for number in range(101)}})]
    assert len(lineage.parameters_of(many, model)) == 100


@pytest.mark.parametrize("on", [None, {"name": "rows", "digest": "d"}])
def test_what_was_measured_is_a_metric_of_each_model(mlops: Rooms, on: Any) -> None:
    record = mlops("tracking.journal").Record
    data = {"on": on, "models": ["one", "two", "lost"], "values": [["rmse", 2.0, 3, 77]]}
    measured = [record("measured", 1, data), record("params", 1, {})]
    made = mlops("tracking.shipping.lineage").measured_models(
        measured, {"one": "m-1", "two": "m-2", "lost": ""}
    )
    where = ("rows", "d") if on else (None, None)
    assert [(each.kind, each.time, each.data) for each in made] == [
        ("metrics", 77, {"values": [["rmse", 2.0, 3]], "measures": (model_id, *where)})
        for model_id in ("m-1", "m-2")
    ]
