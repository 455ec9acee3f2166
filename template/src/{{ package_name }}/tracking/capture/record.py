"""The run's record: one JSON file that says what ran, on what, for how long and with what end."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..journal import Record

FOLDER, FILE = "kedro", "run.json"


def run_record(records: Iterable[Record]) -> dict[str, Any]:
    """Build the record of a run from what its journal holds.

    Returns:
        ``run_id``, ``name``, ``status``, ``started`` and ``ended`` (ms since 1970), ``pipelines``,
        ``command`` and versions as the run's tags have them, ``git`` (commit and whether the
        sources were changed), ``inputs`` and ``nodes``. A node that was started and has no end has
        the status ``UNFINISHED``, and so has a run.
    """
    start = next((record for record in records_of("run_started", records)), None)
    end = next((record for record in records_of("run_ended", records)), None)
    tags = dict(start.data["tags"]) if start else {}
    return {
        "run_id": tags.get("kedro.run_id"),
        "name": start.data["name"] if start else None,
        "status": end.data["status"] if end else "UNFINISHED",
        "started": start.time if start else None,
        "ended": end.time if end else None,
        "pipelines": tags.get("kedro.pipelines", "").split(", "),
        "command": tags.get("kedro.command"),
        "environment": tags.get("kedro.env"),
        "runner": tags.get("kedro.runner"),
        "versions": {"kedro": tags.get("kedro.version"), "template": tags.get("template.version")},
        "git": {
            "commit": tags.get("mlflow.source.git.commit"),
            "dirty": tags.get("mlflow.source.git.dirty", "") == "true",
        },
        "inputs": inputs_of(records),
        "nodes": nodes_of(records),
    }


def write_run_record(records: Iterable[Record], folder: Path) -> Path:
    """Write the record of a run into a folder; it is the run's artifact ``kedro/run.json``."""
    path = folder / FILE
    path.write_text(json.dumps(run_record(list(records)), indent=2), encoding="utf-8")
    return path


def nodes_of(records: Iterable[Record]) -> list[dict[str, Any]]:
    """List a run's nodes in the order of their start, those without an end included."""
    nodes = {
        record.data["name"]: dict(record.data) for record in records_of("node_started", records)
    }
    nodes |= {record.data["name"]: dict(record.data) for record in records_of("node", records)}
    for node in nodes.values():
        ended_ns = node.setdefault("ended_ns", None)
        node["seconds"] = ended_ns and (ended_ns - node["started_ns"]) / 1e9
        node.setdefault("status", "UNFINISHED")
    return sorted(nodes.values(), key=lambda node: node["started_ns"])


def inputs_of(records: Iterable[Record]) -> list[dict[str, Any]]:
    """List the data that a run has read, each once: two processes may have written it down."""
    inputs = {record.data["name"]: dict(record.data) for record in records_of("input", records)}
    return [inputs[name] for name in sorted(inputs)]


def records_of(kind: str, records: Iterable[Record]) -> list[Record]:
    """Pick the records of one kind."""
    return [record for record in records if record.kind == kind]
