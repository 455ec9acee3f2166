"""A trace, which keeps its id, its times and its spans."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..backend.client import is_missing
from ..tracking.shipping.timeline import log_trace
from .endpoints import Endpoint, Migration

if TYPE_CHECKING:
    from mlflow.entities import Span, Trace

# What of its metadata names a run, and a logged model.
RUN, MODEL = "mlflow.sourceRun", "mlflow.modelId"

# Tags that say where its own MLflow keeps it.
_LOCATION_TAGS = {
    "mlflow.artifactLocation",
    "mlflow.trace.spansLocation",
    "mlflow.trace.archiveLocation",
    "mlflow.trace.archivalFailure",
}


def copy_trace(
    migration: Migration, trace: "Trace", experiment_id: str, metadata: dict[str, str]
) -> None:
    """Copy a trace unless the target has it, with metadata that names things of the target."""
    from mlflow.entities import TraceLocation

    there = find_trace(migration.target, trace.info.trace_id)
    if there and spans_of(there) == spans_of(trace):
        return
    tags = {name: trace.info.tags[name] for name in trace.info.tags.keys() - _LOCATION_TAGS}
    info = replace(
        trace.info,
        trace_location=TraceLocation.from_experiment_id(experiment_id),
        trace_metadata=metadata,
        tags=tags,
    )
    log_trace(migration.target.traces, info, trace.data.spans)


def find_trace(endpoint: Endpoint, trace_id: str) -> "Trace | None":
    """Ask for a trace by its id; there is none if its spans are missing."""
    from mlflow.exceptions import MlflowException

    try:
        return endpoint.traces.get_trace(trace_id)
    except MlflowException as error:
        # A bad request: an earlier migration was stopped before it sent the trace's spans.
        if not is_missing(error) and error.error_code != "BAD_REQUEST":
            raise
        return None


def spans_of(trace: "Trace") -> list[tuple[Any, ...]]:
    """Describe the spans of a trace, to compare them."""
    spans: Iterable[Span] = trace.data.spans
    return sorted(
        (span.span_id, span.parent_id or "", span.name, span.start_time_ns, span.end_time_ns)
        for span in spans
    )
