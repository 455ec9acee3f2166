"""The run's record: one JSON file that says what ran, on what, for how long and with what end.

A run may have thousands of nodes: they go from the journal to the file one by one.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..journal import Record, all_records

FOLDER, FILE = "kedro", "run.json"


def write_run_record(journal: Path, end: Record) -> Path:
    """Write the record of a run beside its journal; it is the run's artifact ``kedro/run.json``.

    It holds ``run_id``, ``name``, ``status``, ``started`` and ``ended`` (ms since 1970),
    ``pipelines``, ``command`` and versions as the run's tags have them, ``git`` (commit and whether
    the sources were changed), ``inputs`` and ``nodes``, as `nodes_of` lists them.

    Args:
        journal: the run's folder.
        end: the run's end, which need not be in the journal yet.
    """
    path = journal / "files" / FILE
    summary = json.dumps(_summary(all_records(journal), end), indent=2)
    nodes = (json.dumps(node) for node in nodes_of(all_records(journal)))
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{summary.removesuffix("}").rstrip()},\n  "nodes": [')
        for number, node in enumerate(nodes):
            file.write(f"{',' if number else ''}\n    {node}")
        file.write("\n  ]\n}\n")
    return path


def _summary(records: Iterable[Record], end: Record) -> dict[str, Any]:
    kept = [record for record in records if record.kind in ("run_started", "input")]
    start = next((record for record in kept if record.kind == "run_started"), None)
    tags = dict(start.data["tags"]) if start else {}
    return {
        "run_id": tags.get("kedro.run_id"),
        "name": start.data["name"] if start else None,
        "status": end.data["status"],
        "started": start.time if start else None,
        "ended": end.time,
        "pipelines": tags.get("kedro.pipelines", "").split(", "),
        "command": tags.get("kedro.command"),
        "environment": tags.get("kedro.env"),
        "runner": tags.get("kedro.runner"),
        "versions": {"kedro": tags.get("kedro.version"), "template": tags.get("template.version")},
        "git": {
            "commit": tags.get("mlflow.source.git.commit"),
            "dirty": tags.get("mlflow.source.git.dirty", "") == "true",
        },
        "inputs": inputs_of(kept),
    }


def nodes_of(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """Yield a run's nodes as they ended, process by process; those without an end come last.

    A node that was started and has no end has the status ``UNFINISHED``.
    """
    running: dict[str, dict[str, Any]] = {}
    for record in records:
        if record.kind == "node_started":
            running[record.data["name"]] = dict(record.data)
        elif record.kind == "node":
            running.pop(record.data["name"], None)
            seconds = (record.data["ended_ns"] - record.data["started_ns"]) / 1e9
            yield {**record.data, "seconds": seconds}
    for node in running.values():
        yield {**node, "ended_ns": None, "seconds": None, "status": "UNFINISHED"}


def inputs_of(records: Iterable[Record]) -> list[dict[str, Any]]:
    """List the data that a run has read, each once: two processes may have written it down."""
    inputs = {record.data["name"]: dict(record.data) for record in records_of("input", records)}
    return [inputs[name] for name in sorted(inputs)]


def records_of(kind: str, records: Iterable[Record]) -> list[Record]:
    """Pick the records of one kind."""
    return [record for record in records if record.kind == kind]
