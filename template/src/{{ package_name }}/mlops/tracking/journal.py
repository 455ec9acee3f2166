"""The journal: one JSON line per event, written at once, with the files that it names beside it.

A run has a folder of its own, named by Kedro's run id, a time in milliseconds (another process's
run that has begun in the same one adds its process id):

    .kedro_mlflow/journal/<run id>/
        run.json              what a worker process, or a later `sync`, needs to know of the run
        <process>.jsonl       the events that one process saw, in their order
        files/                what those events name: figures, models
        delivery-<sink>.json  how far a sink has got
        lock                  held as long as a process of the run lives

A line that was written is on disk when the process dies the next moment. Worker processes only
append. A full disk may lose tracking data but never fails the pipeline.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from typing import IO, Any

from ..disk import refusal
from ..errors import one_line
from ..redaction import mask_leaves

logger = logging.getLogger(__name__)

# How much of one process's file is read at once: memory stays bounded, however long a run is.
_CHUNK_BYTES = 250_000
# What programs read: no text of anybody's.
_NAMES = {"namespace", "path", "folder", "status", "join", "journal", "task"}
_NAMES |= {"inputs", "outputs", "saved", "nodes"}


@dataclass(frozen=True)
class Record:
    """One event: its kind, when it happened (ms since 1970) and what is logged of it."""

    kind: str
    time: int
    data: Mapping[str, Any]


class Journal:
    """Writes the events of one process into a run's folder; safe to call from several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._refused = False

    @property
    def files(self) -> Path:
        """The folder of files that events name."""
        return self.folder / "files"

    def create(self) -> None:
        """Create the run's folder, which no other run has: another may have the same run id."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.folder.mkdir()
        except FileExistsError:
            self.folder = self.folder.with_name(f"{self.folder.name}-{os.getpid()}")
            self.folder.mkdir()
        self.files.mkdir()

    def append(self, kind: str, namespace: str = "", **data: Any) -> None:
        """Write one event of a child run or, without a namespace, of the run itself."""
        with self.tolerating():
            self.write(kind, namespace, **data)

    def write(self, kind: str, namespace: str = "", **data: Any) -> None:
        """Write one event as `append` does; an OSError if the disk refuses it, as a whole."""
        if namespace:
            data["namespace"] = namespace
        if kind != "metrics":
            data = mask_leaves(data, _NAMES)
        self.take(Record(kind, now(), data))

    def take(self, record: Record) -> None:
        """Write one event as it is: as this process has made it, or another one."""
        text = json.dumps(asdict(record), default=str)
        line, written = f"{text}\n".encode(), 0
        with self._lock:
            if self._file is None:
                self.files.mkdir(parents=True, exist_ok=True)
                # Unbuffered: else what the disk refuses would be written with the next line.
                self._file = (self.folder / f"{os.getpid()}.jsonl").open("ab", buffering=0)
            try:
                while written < len(line):
                    written += self._file.write(line[written:])
            except OSError:
                # Half a line would swallow the next one.
                self._file.truncate(os.fstat(self._file.fileno()).st_size - written)
                raise

    @contextmanager
    def tolerating(self) -> Iterator[None]:
        """Continue when the disk refuses to write, with a message the first time."""
        try:
            yield
        except Exception as error:
            refused = refusal(error)
            if refused is None:
                raise
            if not self._refused:
                self._refused = True
                logger.error(
                    "The disk refuses %s (%s): the pipeline continues, and not all of the rest is "
                    "tracked.",
                    refused.filename or self.folder,
                    refused.strerror,
                )

    @contextmanager
    def capturing(self, what: str) -> Iterator[None]:
        """Warn of whatever fails: what cannot be captured must not cost its owner the run."""
        try:
            with self.tolerating():
                yield
        except Exception as error:
            logger.warning("%s is not tracked: %s", what, one_line(error))

    def close(self) -> None:
        """Close this process's file."""
        if self._file:
            self._file.close()
            self._file = None


class JournalReader:
    """Reads a run's events, of all its processes, each once."""

    def __init__(self, folder: Path, offsets: Mapping[str, int] | None = None) -> None:
        # How many bytes of each file were read and acknowledged, by the file's name.
        self.offsets = dict(offsets or {})
        self.has_more = False  # Whether the last read has left out what did not fit into its chunk.
        self._folder = folder
        self._read: dict[str, int] = {}

    def read(self) -> list[Record]:
        """Return the next events that were not acknowledged; of each process in their order."""
        records = []
        self.has_more = False
        for path in sorted(self._folder.glob("*.jsonl")):
            start = self.offsets.get(path.name, 0)
            with path.open("rb") as file:
                file.seek(start)
                # A line without its end is still being written: it is read the next time.
                chunk = file.read(_CHUNK_BYTES)
                self.has_more |= len(chunk) == _CHUNK_BYTES
                whole, newline, _ = (chunk + file.readline()).rpartition(b"\n")
            self._read[path.name] = start + len(whole) + len(newline)
            records += [self._here(Record(**json.loads(line))) for line in whole.splitlines()]
        return records

    def _here(self, record: Record) -> Record:
        """Return a record with its file where that is now: the journal may have been moved."""
        path = record.data.get("path")
        if path is None or path.startswith(str(self._folder)):
            return record
        parts = PurePath(path).parts
        if self._folder.name not in parts:
            return record
        inside = parts[parts.index(self._folder.name) + 1 :]
        return replace(record, data={**record.data, "path": str(self._folder.joinpath(*inside))})

    def acknowledge(self) -> None:
        """Mark what was read last as delivered: it is not read again."""
        self.offsets.update(self._read)


def all_records(folder: Path) -> Iterator[Record]:
    """Read a run's events so far, of one process after another."""
    reader = JournalReader(folder)
    while records := reader.read():
        yield from records
        reader.acknowledge()


def first_record(folder: Path) -> Record | None:
    """Read a run's start, in the first chunk of some file; none if it was never written."""
    return next((record for record in all_records(folder) if record.kind == "run_started"), None)


def now() -> int:
    """Return the time in ms since 1970, as MLflow counts it."""
    return time.time_ns() // 1_000_000
