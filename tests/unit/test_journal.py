"""The journal keeps each event once and in order, whoever reads it and how often."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support.answers import REPOSITORY
from tests.support.rooms import Rooms


def test_events_are_read_once_and_in_order(mlops: Rooms, tmp_path: Path) -> None:
    journal = mlops("tracking.journal").Journal(tmp_path)
    reader = mlops("tracking.journal").JournalReader(tmp_path)
    assert reader.read() == []
    journal.append("metrics", values={"a": math.inf})
    journal.append("node", name="n")
    assert [record.kind for record in reader.read()] == ["metrics", "node"]
    reader.acknowledge()
    assert reader.read() == []
    journal.append("run_ended", status="FINISHED")
    (last,) = reader.read()
    assert last.data == {"status": "FINISHED"}
    assert abs(last.time - time.time() * 1000) < 60_000


def test_a_line_that_is_still_being_written_is_read_when_it_is_whole(
    mlops: Rooms, tmp_path: Path
) -> None:
    reader = mlops("tracking.journal").JournalReader(tmp_path)
    line = b'{"kind": "node", "time": 1, "data": {"name": "n"}}\n'
    path = tmp_path / "77.jsonl"
    path.write_bytes(line + line[:20])
    assert len(reader.read()) == 1
    reader.acknowledge()
    path.write_bytes(line + line)
    assert len(reader.read()) == 1


def test_threads_append_whole_lines(mlops: Rooms, tmp_path: Path) -> None:
    journal = mlops("tracking.journal").Journal(tmp_path)

    def append(number: int) -> None:
        for step in range(200):
            journal.append("metrics", values={f"m{number}": step})

    threads = [threading.Thread(target=append, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = list(mlops("tracking.journal").all_records(tmp_path))
    for number in range(8):
        steps = [v for r in records for name, v in r.data["values"].items() if name == f"m{number}"]
        assert steps == list(range(200))


def test_what_was_not_acknowledged_is_read_again(mlops: Rooms, tmp_path: Path) -> None:
    journal = mlops("tracking.journal").Journal(tmp_path)
    journal.append("node", name="a")
    reader = mlops("tracking.journal").JournalReader(tmp_path)
    assert [record.data["name"] for record in reader.read()] == ["a"]
    journal.append("node", name="b")
    assert [record.data["name"] for record in reader.read()] == ["a", "b"]
    reader.acknowledge()
    later = mlops("tracking.journal").JournalReader(tmp_path, reader.offsets)
    assert later.read() == []


def test_a_long_journal_is_read_in_pieces_without_losing_a_line(
    mlops: Rooms, tmp_path: Path
) -> None:
    journal = mlops("tracking.journal").Journal(tmp_path)
    for number in range(300):
        journal.append("node", name=number, text="x" * 10_000)
    reader = mlops("tracking.journal").JournalReader(tmp_path)
    assert 0 < len(reader.read()) < 300
    names = [record.data["name"] for record in mlops("tracking.journal").all_records(tmp_path)]
    assert names == list(range(300))


def test_a_lock_is_free_when_its_process_is_gone(mlops: Rooms, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from importlib import import_module\n"
        "lock = import_module('{{ package_name }}.mlops.disk').FileLock(__import__('pathlib')"
        ".Path(sys.argv[2])); print(lock.take(), flush=True); time.sleep(60)\n"
    )
    source = REPOSITORY / "template" / "src"
    process = subprocess.Popen(
        [sys.executable, "-c", script, source, path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    lock = mlops("disk").FileLock(path)
    assert not lock.take()
    process.kill()
    process.communicate()
    assert lock.take()
    lock.release()
    with mlops("disk").FileLock(path) as taken:
        assert taken


def test_a_disk_that_refuses_costs_what_it_refuses_and_is_told_once(
    mlops: Rooms, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = mlops("tracking.journal").Journal(tmp_path)
    journal.append("event", number=0)
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, before[1]))  # The second line fits in part.
    try:
        for number in (1, 2, 3):
            journal.append("event", number=number, filling="x" * 200)
        with pytest.raises(OSError, match="too large"):
            journal.write("event", filling="x" * 200)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    journal.append("event", number=4)
    records = mlops("tracking.journal").all_records(tmp_path)
    assert [record.data["number"] for record in records] == [0, 4]
    assert caplog.text.count("The disk refuses") == 1
    with pytest.raises(ValueError, match="another"), journal.tolerating():
        raise ValueError("another error")


def test_files_are_found_where_the_journal_is_now(mlops: Rooms, tmp_path: Path) -> None:
    module = mlops("tracking.journal")
    folder = tmp_path / "here" / "2026-01-01"
    journal = module.Journal(folder)
    journal.create()
    inside, outside = "/gone/journal/2026-01-01/files/a/b.png", "/data/a.csv"
    for path in (inside, str(folder / "files/c.png"), outside):
        journal.append("artifact", path=path, folder="figures")
    paths = [record.data["path"] for record in module.all_records(folder)]
    assert paths == [str(folder / "files/a/b.png"), str(folder / "files/c.png"), outside]
