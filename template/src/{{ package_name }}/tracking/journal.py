"""The journal: one JSON line an event, appended at once, with the files it speaks of beside it.

A run has a folder of its own, named by Kedro's run id:

    .kedro_mlflow/journal/<run id>/
        run.json          what a worker process needs to join in: the tracking part of mlflow.yml
        <process>.jsonl   the events that one process saw, in their order
        files/            what those events speak of: figures, models

A line that was written is on disk when the process dies the next moment. Worker processes only
append.
"""

import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Record:
    """One event: its kind, when it happened (ms since 1970) and what is worth keeping of it."""

    kind: str
    time: int
    data: Mapping[str, Any]


class Journal:
    """Writes the events of one process, in one run's folder; safe to call from several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "files"
        self.files.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._file = (folder / f"{os.getpid()}.jsonl").open("a", encoding="utf-8")

    def append(self, kind: str, **data: Any) -> None:
        """Write one event; it is on disk when this returns."""
        line = json.dumps({"kind": kind, "time": now(), "data": data}, default=str)
        with self._lock:
            self._file.write(f"{line}\n")
            self._file.flush()

    def close(self) -> None:
        """Close this process's file; nothing can be appended afterwards."""
        self._file.close()


class JournalReader:
    """Reads a run's events, of all its processes, each once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offsets: dict[Path, int] = {}

    def read(self) -> list[Record]:
        """Return the events that came since the last call; of each process in their order."""
        records = []
        for path in sorted(self._folder.glob("*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                # A line without its end is still being written: it is read the next time.
                whole, newline, _ = file.read().rpartition(b"\n")
            self._offsets[path] = self._offsets.get(path, 0) + len(whole) + len(newline)
            records += [Record(**json.loads(line)) for line in whole.splitlines()]
        return records


def now() -> int:
    """Return the time in milliseconds since 1970, as MLflow counts it."""
    return time.time_ns() // 1_000_000
