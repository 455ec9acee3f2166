"""The timeline: one MLflow trace per run, one span per node."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...backend.pages import is_databricks
from ...mlflow_internals import tracing_client, upload_spans
from ..capture.nodes import nodes_of
from ..journal import Record, all_records

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Span, TraceInfo
    from mlflow.tracing.client import TracingClient

_STATES = {"FINISHED": "OK", "FAILED": "ERROR", "KILLED": "ERROR", "UNFINISHED": "ERROR"}
_ATTRIBUTES = ["function", "source", "inputs", "outputs", "process", "status", "error"]
_ATTRIBUTES += ["waited_seconds"]  # Of a run that tasks have run.
# How many spans are in memory, and in a call, at once: one takes several kB.
_SPANS_PER_CALL = 250


def log_timeline(
    client: "MlflowClient", experiment_id: str, run_id: str, journal: Path, end: Record
) -> None:
    """Log where a run's time went, as a trace that belongs to the run.

    The trace's id is made from the run's, and a span's from its node's: logging them again, or by
    several processes, changes nothing. A client of its own sends it, for MLflow's functions that
    start spans use the process's tracking URI.
    """
    from mlflow.entities import TraceInfo, TraceLocation, TraceState

    whole = _whole_run(journal, end)
    if whole is None:
        return
    info = TraceInfo(
        trace_id=f"tr-{run_id}",
        trace_location=TraceLocation.from_experiment_id(experiment_id),
        request_time=whole["started_ns"] // 1_000_000,
        execution_duration=(whole["ended_ns"] - whole["started_ns"]) // 1_000_000,
        state=TraceState(_STATES[whole["status"]]),
        request_preview=whole["command"],
        trace_metadata={"mlflow.sourceRun": run_id, "mlflow.trace_schema.version": "3"},
        tags={"mlflow.traceName": whole["name"]},
    )
    log_trace(tracing_client(client.tracking_uri), info, _spans(run_id, journal, whole))


def log_trace(tracing: "TracingClient", info: "TraceInfo", spans: Iterable["Span"]) -> None:
    """Log a trace of an experiment, or the rest of it: what is there already stays as it is."""
    trace, rest = tracing.start_trace(info), iter(spans)
    if is_databricks(tracing.tracking_uri):
        # It keeps the spans of an experiment's trace as a file; only a table takes them by a call.
        upload_spans(tracing, trace, rest)
        return
    while some := list(islice(rest, _SPANS_PER_CALL)):
        tracing.log_spans(str(info.experiment_id), some)


def _whole_run(journal: Path, end: Record) -> dict[str, Any] | None:
    """Describe a run as if it was one of its nodes; none without nodes.

    A node may have been seen to start before the run's own first record, or to end after its last.
    """
    start, any_node, path = None, False, None
    started_ns = ended_ns = end.time * 1_000_000
    for record in all_records(journal):
        if record.kind == "run_started":
            start, started_ns = record, min(started_ns, record.time * 1_000_000)
        elif record.kind == "critical_path":
            path = record.data["nodes"]
        elif record.kind in ("node_started", "node"):
            any_node = True
            started_ns = min(started_ns, record.data["started_ns"])
            ended_ns = max(ended_ns, record.data.get("ended_ns", 0))
    if start is None or not any_node:
        return None
    of_run = {"name": start.data["name"], "command": start.data["tags"].get("kedro.command")}
    times = {"started_ns": started_ns, "ended_ns": ended_ns}
    return {**of_run, **times, "status": end.data["status"], "critical_path": path}


def _spans(run_id: str, journal: Path, whole: dict[str, Any]) -> Iterator["Span"]:
    """Yield the span of the whole run, and below it one per node."""
    from mlflow.entities import Span

    times: Counter[str] = Counter()
    span_id = root = _span_id(run_id)
    for number, node in enumerate(chain([whole], nodes_of(all_records(journal)))):
        is_root = number == 0
        if not is_root:
            times[node["name"]] += 1  # A run that was resumed has run it once more.
            span_id = _span_id(run_id, node["name"], str(times[node["name"]]))
        attributes = {"mlflow.traceRequestId": f"tr-{run_id}", "mlflow.spanType": "TASK"}
        kept = ["critical_path"] if is_root else _ATTRIBUTES
        attributes |= {key: node[key] for key in kept if node.get(key) is not None}
        yield Span.from_dict(
            {
                "name": node["name"],
                "trace_id": f"tr-{run_id}",
                "span_id": span_id,
                "parent_span_id": None if is_root else root,
                "start_time_unix_nano": node["started_ns"],
                "end_time_unix_nano": node["ended_ns"] or whole["ended_ns"],
                "status": {"code": _STATES[node["status"]], "message": node.get("error", "")},
                # MLflow keeps attributes as JSON.
                "attributes": {key: json.dumps(value) for key, value in attributes.items()},
            }
        )


def _span_id(*names: str) -> str:
    return sha256("\n".join(names).encode()).hexdigest()[:16]
