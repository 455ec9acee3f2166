"""The journal keeps each event once, in order, and the shipper delivers all of it."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.tracking.conftest import Tracking


def test_events_are_read_once_and_in_order(tracking: Tracking, tmp_path: Path) -> None:
    journal = tracking("journal").Journal(tmp_path)
    reader = tracking("journal").JournalReader(tmp_path)
    assert reader.read() == []
    journal.append("metrics", values={"a": math.inf})
    journal.append("node", name="n")
    assert [record.kind for record in reader.read()] == ["metrics", "node"]
    assert reader.read() == []
    journal.append("run_ended", status="FINISHED")
    (last,) = reader.read()
    assert last.data == {"status": "FINISHED"}
    assert abs(last.time - time.time() * 1000) < 60_000


def test_a_line_that_is_still_being_written_is_read_when_it_is_whole(
    tracking: Tracking, tmp_path: Path
) -> None:
    reader = tracking("journal").JournalReader(tmp_path)
    line = b'{"kind": "node", "time": 1, "data": {"name": "n"}}\n'
    path = tmp_path / "77.jsonl"
    path.write_bytes(line + line[:20])
    assert len(reader.read()) == 1
    path.write_bytes(line + line)
    assert len(reader.read()) == 1


def test_threads_append_whole_lines(tracking: Tracking, tmp_path: Path) -> None:
    journal = tracking("journal").Journal(tmp_path)

    def append(number: int) -> None:
        for step in range(200):
            journal.append("metrics", values={f"m{number}": step})

    threads = [threading.Thread(target=append, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = tracking("journal").JournalReader(tmp_path).read()
    for number in range(8):
        steps = [v for r in records for name, v in r.data["values"].items() if name == f"m{number}"]
        assert steps == list(range(200))


class Collecting:
    """A sink that keeps what it is given, and may fail."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.names: list[int] = []
        self._fail_at = fail_at

    def deliver(self, records: list[Any]) -> None:
        for record in records:
            if record.data["number"] == self._fail_at:
                raise ConnectionError("gone")
            self.names.append(record.data["number"])


def test_the_shipper_delivers_all_that_was_appended(tracking: Tracking, tmp_path: Path) -> None:
    journal, sink = tracking("journal").Journal(tmp_path), Collecting()
    shipper = tracking("shipping.shipper").Shipper(tmp_path, sink)
    for number in range(500):
        journal.append("metrics", number=number)
        shipper.announce()
    assert shipper.drain(30)
    assert sink.names == list(range(500))


def test_a_sink_that_fails_is_reported_and_nothing_is_removed(
    tracking: Tracking, tmp_path: Path
) -> None:
    journal = tracking("journal").Journal(tmp_path)
    shipper = tracking("shipping.shipper").Shipper(tmp_path, Collecting(fail_at=3))
    for number in range(5):
        journal.append("metrics", number=number)
    assert not shipper.drain(30)
    assert isinstance(shipper.error, ConnectionError)
    assert len(tracking("journal").JournalReader(tmp_path).read()) == 5


@pytest.mark.parametrize("counts", [(0, 0, 0), (1, 0, 0), (250, 801, 3), (100, 800, 100)])
def test_batches_keep_to_mlflows_limits_and_lose_nothing(
    tracking: Tracking, counts: tuple[int, int, int]
) -> None:
    items = [list(range(count)) for count in counts]
    batches = list(tracking("shipping.mlflow_sink")._batches(*items))
    for kind, limit in enumerate((100, 800, 100)):
        assert [item for batch in batches for item in batch[kind]] == items[kind]
        assert all(len(batch[kind]) <= limit for batch in batches)
    assert all(any(batch) for batch in batches)
