"""The timeline: one MLflow trace a run, a span a node."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..capture.record import nodes_of, records_of
from ..journal import Record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Span

_STATES = {"FINISHED": "OK", "FAILED": "ERROR", "KILLED": "ERROR", "UNFINISHED": "ERROR"}
_SPAN_TYPE = "TASK"


def log_timeline(
    client: "MlflowClient", experiment_id: str, run_id: str, records: Iterable[Record]
) -> None:
    """Log where a run's time went, as a trace that belongs to the run.

    The trace's id is the run's, and a span's its place: logging them again changes nothing. It goes
    through a client of its own, for MLflow's functions that start spans send them to the process's
    tracking URI.

    Args:
        client: of the tracking server that has the run.
        experiment_id: the run's experiment.
        run_id: the run.
        records: all that the run's journal holds, its end included.
    """
    from mlflow.entities import TraceInfo, TraceLocation, TraceState
    from mlflow.tracing.client import TracingClient

    records = list(records)
    nodes = nodes_of(records)
    ends = records_of("run_ended", records)
    if not nodes or not ends:
        return
    start = records_of("run_started", records)[0]
    started_ns = min(start.time * 1_000_000, nodes[0]["started_ns"])
    ended_ns = max([ends[0].time * 1_000_000, *(node["ended_ns"] or 0 for node in nodes)])
    name, state = start.data["name"], _STATES[ends[0].data["status"]]
    spans = [_span(run_id, 1, name, started_ns, ended_ns, state, {})]
    for number, node in enumerate(nodes, start=2):
        attributes = {key: node[key] for key in _ATTRIBUTES if node.get(key) is not None}
        spans.append(
            _span(
                run_id,
                number,
                node["name"],
                node["started_ns"],
                node["ended_ns"] or ended_ns,
                _STATES[node["status"]],
                attributes,
            )
        )
    info = TraceInfo(
        trace_id=f"tr-{run_id}",
        trace_location=TraceLocation.from_experiment_id(experiment_id),
        request_time=started_ns // 1_000_000,
        execution_duration=(ended_ns - started_ns) // 1_000_000,
        state=TraceState(state),
        request_preview=start.data["tags"].get("kedro.command"),
        trace_metadata={"mlflow.sourceRun": run_id, "mlflow.trace_schema.version": "3"},
        tags={"mlflow.traceName": name},
    )
    tracing = TracingClient(client.tracking_uri)
    tracing.start_trace(info)
    tracing.log_spans(experiment_id, spans)


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
