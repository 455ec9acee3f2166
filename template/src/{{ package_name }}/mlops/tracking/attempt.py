"""One node on a worker: what was captured of it goes to the process that has started the run.

A worker may die, and the node runs again on another one: what the first has captured must not count
then. So each node has a journal of its own, below the run's if the worker sees that, and the runner
takes what is in it with the node's result. A worker on another machine sends the files as well.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..disk import write_atomically
from ..mlflow_internals import storage_of
from ..project import State
from .journal import Record, all_records

if TYPE_CHECKING:
    from kedro.io import DataCatalog
    from kedro.pipeline.node import Node

    from .capture import RunCapture

_MEGABYTE = 1_000_000

# Sends a file straight to the run's artifacts: its path, the folder there, the namespace.
Upload = Callable[[str, str, str], None]


@dataclass(frozen=True)
class Captured:
    """What was captured of a node: records, and the files that they name if they are elsewhere."""

    records: Sequence[Record] = ()
    root: Path = Path()  # The worker's state folder.
    files: Mapping[str, bytes] = field(default_factory=dict)  # By their paths below that.
    kept: Sequence[str] = ()  # The data sets among whose files they are.
    too_large: Sequence[str] = ()  # What was not sent.

    def moved_to(self, root: Path) -> Iterator[Record]:
        """Write the files below another state folder, and yield the records that name them."""
        for name, content in self.files.items():
            write_atomically(root / name, content)
        for record in self.records:
            path, data = Path(record.data.get("path") or ""), dict(record.data)
            if path.is_absolute() and path.is_relative_to(self.root):
                data["path"] = str(root / path.relative_to(self.root))
            yield Record(record.kind, record.time, data)


def captured_here(attempt: "RunCapture", node: "Node", catalog: "DataCatalog") -> Captured:
    """Return what was captured by a worker that sees the run's folder: the files are there."""
    folder = attempt.journal.folder
    return Captured(list(all_records(folder)), State.of_journal(folder.parents[1]).folder)


def captured_elsewhere(
    attempt: "RunCapture", node: "Node", catalog: "DataCatalog", upload: Upload
) -> Captured:
    """Return what was captured by a worker on another machine, with the files.

    A file above the limits of ``tracking.artifacts`` is uploaded straight away; a model cannot be,
    and is left out as files are where MLflow does not answer.
    """
    kept = [name for name in node.outputs if _keep_files(attempt, node, name, catalog)]
    here, options = captured_here(attempt, node, catalog), attempt.config.tracking.artifacts
    left, files_left = options.max_megabytes * _MEGABYTE, options.max_files
    records, too_large = [], []
    files: dict[str, bytes] = {}
    for record in here.records:
        found = [path for path in _files_of(record) if path.is_relative_to(here.root)]
        size = sum(path.stat().st_size for path in found)
        if size <= left and len(found) <= files_left:
            left, files_left = left - size, files_left - len(found)
            files |= {str(path.relative_to(here.root)): path.read_bytes() for path in found}
            records.append(record)
        elif not _uploaded(record, upload):
            too_large.append(str(record.data.get("name") or Path(record.data["path"]).name))
    return Captured(records, here.root, files | _holdouts(here.root), kept, too_large)


def _keep_files(attempt: "RunCapture", node: "Node", name: str, catalog: "DataCatalog") -> bool:
    """Keep the files of a data set that mlflow.yml names, if they are on this machine alone."""
    from .capture.artifacts import capture_artifacts

    storage = storage_of(catalog.get(name), saved=True)
    if storage is None or "://" in storage.uri:
        return False
    journal, options = attempt.journal, attempt.config.tracking.artifacts
    records = list(all_records(journal.folder))
    outputs = [(name, attempt.namespace_of(node))]
    capture_artifacts(journal, catalog, outputs, options, records[0].time)
    return len(list(all_records(journal.folder))) > len(records)


def _files_of(record: Record) -> list[Path]:
    path = Path(record.data["path"]) if record.kind in ("artifact", "model") else None
    if path is None:
        return []
    return [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]


def _uploaded(record: Record, upload: Upload) -> bool:
    if record.kind != "artifact":
        return False
    with suppress(Exception):  # Then it is named.
        upload(record.data["path"], record.data["folder"], record.data.get("namespace", ""))
        return True
    return False


def _holdouts(root: Path) -> dict[str, bytes]:
    """Return the rows that the node was measured on, which promotion reads; they go once."""
    found = {}
    for path in State(root).holdouts.glob("*"):
        found[str(path.relative_to(root))] = path.read_bytes()
        path.unlink()
    return found
