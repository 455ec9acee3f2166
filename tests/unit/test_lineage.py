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
