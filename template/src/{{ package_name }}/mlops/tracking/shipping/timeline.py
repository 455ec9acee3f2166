"""The timeline: one MLflow trace a run, a span a node."""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...backend.pages import is_databricks
from ...mlflow_internals import upload_spans
from ..capture.nodes import nodes_of
from ..journal import Record, all_records

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Span, TraceInfo
    from mlflow.tracing.client import TracingClient

_STATES = {"FINISHED": "OK", "FAILED": "ERROR", "KILLED": "ERROR", "UNFINISHED": "ERROR"}


_SPAN_TYPE = "TASK"


# As many spans as are in memory, and in a call, at once: one takes several kB.
_SPANS_A_CALL = 250


def log_timeline(
    client: "MlflowClient", experiment_id: str, run_id: str, journal: Path, end: Record
) -> None:
    """Log where a run's time went, as a trace that belongs to the run.

    The trace's id is the run's, and a span's its place: logging them again changes nothing. It goes
    through a client of its own, for MLflow's functions that start spans send them to the process's
    tracking URI.

    Args:
        client: of the tracking server that has the run.
        experiment_id: the run's experiment.
        run_id: the run.
        journal: the folder that holds all of the run's records.
        end: the run's last record.
    """
    from mlflow.tracing.client import TracingClient

    start, started_ns, ended_ns = _bounds(journal, end)
    if start is None:
        return
    spans = _spans(run_id, journal, start, end, started_ns, ended_ns)
    tracing = TracingClient(client.tracking_uri)
    log_trace(tracing, _trace(run_id, experiment_id, start, end, started_ns, ended_ns), spans)


def log_trace(tracing: "TracingClient", info: "TraceInfo", spans: Iterable["Span"]) -> None:
    """Log a trace of an experiment, or the rest of it: what is there already stays as it is."""
    trace, rest = tracing.start_trace(info), iter(spans)
    if is_databricks(tracing.tracking_uri):
        # It keeps the spans of an experiment's trace as a file; only a table takes them by a call.
        upload_spans(tracing, trace, rest)
        return
    while some := list(islice(rest, _SPANS_A_CALL)):
        tracing.log_spans(str(info.experiment_id), some)


def _bounds(journal: Path, end: Record) -> tuple[Record | None, int, int]:
    """Find the record of the run's start, and when its trace starts and ends; none without nodes.

    A node may have been seen to start before the run's own first record, or to end after its last.
    """
    start, any_node = None, False
    started_ns = ended_ns = end.time * 1_000_000
    for record in all_records(journal):
        if record.kind == "run_started":
            start, started_ns = record, min(started_ns, record.time * 1_000_000)
        elif record.kind in ("node_started", "node"):
            any_node = True
            started_ns = min(started_ns, record.data["started_ns"])
            ended_ns = max(ended_ns, record.data.get("ended_ns", 0))
    return (start if any_node else None), started_ns, ended_ns


def _trace(
    run_id: str, experiment_id: str, start: Record, end: Record, started_ns: int, ended_ns: int
) -> "TraceInfo":
    from mlflow.entities import TraceInfo, TraceLocation, TraceState

    return TraceInfo(
        trace_id=f"tr-{run_id}",
        trace_location=TraceLocation.from_experiment_id(experiment_id),
        request_time=started_ns // 1_000_000,
        execution_duration=(ended_ns - started_ns) // 1_000_000,
        state=TraceState(_STATES[end.data["status"]]),
        request_preview=start.data["tags"].get("kedro.command"),
        trace_metadata={"mlflow.sourceRun": run_id, "mlflow.trace_schema.version": "3"},
        tags={"mlflow.traceName": start.data["name"]},
    )


def _spans(
    run_id: str, journal: Path, start: Record, end: Record, started_ns: int, ended_ns: int
) -> Iterator["Span"]:
    """Yield the span of the whole run, and below it one a node."""
    state = _STATES[end.data["status"]]
    yield _span(run_id, 1, start.data["name"], started_ns, ended_ns, state, {})
    for number, node in enumerate(nodes_of(all_records(journal)), start=2):
        yield _span(
            run_id,
            number,
            node["name"],
            node["started_ns"],
            node["ended_ns"] or ended_ns,
            _STATES[node["status"]],
            {key: node[key] for key in _ATTRIBUTES if node.get(key) is not None},
        )


_ATTRIBUTES = ("function", "source", "inputs", "outputs", "process", "status", "error")


def _span(
    run_id: str,
    number: int,
    name: str,
    started_ns: int,
    ended_ns: int,
    state: str,
    attributes: Mapping[str, Any],
) -> "Span":
    """Make a span; number 1 is the whole run, which holds all others."""
    from mlflow.entities import Span

    # MLflow keeps attributes as JSON.
    own = {"mlflow.traceRequestId": f"tr-{run_id}", "mlflow.spanType": _SPAN_TYPE}
    return Span.from_dict(
        {
            "name": name,
            "trace_id": f"tr-{run_id}",
            "span_id": f"{number:016x}",
            "parent_span_id": None if number == 1 else f"{1:016x}",
            "start_time_unix_nano": started_ns,
            "end_time_unix_nano": ended_ns,
            "status": {"code": state, "message": str(attributes.get("error", ""))},
            "attributes": {
                key: json.dumps(value) for key, value in (own | dict(attributes)).items()
            },
        }
    )
