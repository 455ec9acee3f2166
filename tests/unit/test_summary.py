"""What a run's page shows first: its description, and its metrics before its nodes' times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.support.rooms import Rooms

SECOND = 1_000_000_000


def start_of(mlops: Rooms) -> Any:
    data = {"name": "training", "tags": {"kedro.command": "kedro run"}, "journal": "j"}
    return mlops("tracking.journal").Record("run_started", 1_000, data)


@pytest.mark.parametrize(
    ("ended", "status", "reason", "registered", "text"),
    [
        (3_500, "FINISHED", None, [], "**Finished** after 2.5 s.\n\n`kedro run`"),
        (
            126_000,
            "FINISHED",
            None,
            ["sales version 2"],
            "**Finished** after 2 min 5 s.\n\nRegistered sales version 2.\n\n`kedro run`",
        ),
        (7_501_000, "KILLED", None, [], "**Stopped** after 2 h 5 min.\n\n`kedro run`"),
        (
            2_000,
            "FAILED",
            "node 'fit': ValueError: no `x`\n# big",
            [],
            "**Failed** after 1.0 s.\n\n`node 'fit': ValueError: no 'x' # big`\n\n`kedro run`",
        ),
        # The clock was set back.
        (0, "FINISHED", None, [], "**Finished** after 0.0 s.\n\n`kedro run`"),
    ],
)
def test_the_description_says_how_the_run_ended_and_why(
    mlops: Rooms,
    ended: int,
    status: str,
    reason: str | None,
    registered: list[str],
    text: str,
) -> None:
    data = {"status": status, "reason": reason}
    end = mlops("tracking.journal").Record("run_ended", ended, data)
    describe = mlops("tracking.shipping.summary").describe_run
    assert describe(start_of(mlops), end, registered, "kedro run") == text


def delivered(mlops: Rooms, folder: Path, note: str | None = None) -> Any:
    """A run as a real store has it, with this description of somebody else's."""
    config = mlops("config")
    uri = f"sqlite:///{folder}/mlflow.db"
    sink = mlops("tracking.shipping.mlflow_sink").MlflowSink(
        config.ServerOptions(mlflow_tracking_uri=uri),
        config.TrackingOptions(capture=config.CaptureOptions(timeline=False)),
    )
    journal = mlops("tracking.journal").Journal(folder)
    journal.append("run_started", name="n", tags={"kedro.command": "kedro run"}, journal="j")
    times = {"started_ns": SECOND, "ended_ns": 9 * SECOND, "seconds": 2.0, "outputs": []}
    journal.append("node", name="fit", status="FINISHED", **times)
    journal.append("node", name="broken", status="FAILED", error="ValueError: no", **times)
    sink.attach("server", folder)
    started, *rest = mlops("tracking.journal").all_records(folder)
    sink.begin(started)
    client = MlflowClient(uri)
    if note:
        client.set_tag(sink.delivery.run_id, "mlflow.note.content", note)
    sink.deliver(rest, patient=True)
    data = {"status": "FAILED", "reason": "node 'broken': ValueError: no"}
    sink.end(mlops("tracking.journal").Record("run_ended", 5_000, data), True)
    return client.get_run(sink.delivery.run_id)


def test_only_finished_nodes_have_a_time_each_run_its_own(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = mlops("tracking.shipping.summary")
    monkeypatch.setattr(summary, "_METRICS_PER_RECORD", 2)
    journal = mlops("tracking.journal").Journal(tmp_path)
    times = {"started_ns": SECOND, "ended_ns": 9 * SECOND, "seconds": 2.0}
    for name in ("a", "b", "c"):
        journal.append("node", name=name, status="FINISHED", **times)
    journal.append("node", "part", name="part.d", status="FINISHED", **times)
    journal.append("node", name="e", status="FAILED", **times)
    journal.append("node_started", name="f", started_ns=SECOND)
    found = list(summary.node_times(mlops("tracking.journal").all_records(tmp_path)))
    assert found == [
        {"values": [("node_seconds/a", 2.0, 0), ("node_seconds/b", 2.0, 0)]},
        {"values": [("node_seconds/c", 2.0, 0)]},
        {"values": [("node_seconds/d", 2.0, 0)], "namespace": "part"},
    ]


def test_the_reason_of_a_failure_is_on_the_page(mlops: Rooms, tmp_path: Path) -> None:
    note = delivered(mlops, tmp_path).data.tags["mlflow.note.content"]
    assert "`node 'broken': ValueError: no`" in note


def test_a_description_of_somebody_elses_stays(mlops: Rooms, tmp_path: Path) -> None:
    run = delivered(mlops, tmp_path, note="my best run")
    assert run.data.tags["mlflow.note.content"] == "my best run"
