"""A trace goes to another MLflow: it keeps its id, its times and its spans."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..backend.client import is_missing
from ..tracking.shipping.timeline import log_trace
from .pages import pages
from .places import Place

if TYPE_CHECKING:
    from mlflow.entities import Span, Trace

    from .move import Move

_RUN, _MODEL = "mlflow.sourceRun", "mlflow.modelId"


# Where the trace's own MLflow keeps it.
_OF_ITS_PLACE = {
    "mlflow.artifactLocation",
    "mlflow.trace.spansLocation",
    "mlflow.trace.archiveLocation",
    "mlflow.trace.archivalFailure",
}


def trace_ids(place: Place, experiment_id: str) -> Iterable[str]:
    """List the traces of an experiment."""
    found = pages(place.client.search_traces, locations=[experiment_id], include_spans=False)
    return (trace.info.trace_id for trace in found)


def move_trace(move: "Move", trace_id: str, experiment_id: str) -> str | None:
    """Bring a trace to the target unless it is there.

    Returns:
        Its id; none if it stays, because its run does.
    """
    trace = move.source.traces.get_trace(trace_id)
    metadata = dict(trace.info.trace_metadata)
    if _RUN in metadata:
        run_id = move.run(metadata[_RUN])
        if run_id is None:
            return None
        metadata[_RUN] = run_id
    if _MODEL in metadata:
        metadata[_MODEL] = move.model(metadata[_MODEL]) or metadata[_MODEL]
    there = find_trace(move.target, trace_id)
    if there and spans_of(there.data.spans) == spans_of(trace.data.spans):
        return trace_id
    from mlflow.entities import TraceLocation

    tags = {name: trace.info.tags[name] for name in trace.info.tags.keys() - _OF_ITS_PLACE}
    info = replace(
        trace.info,
        trace_location=TraceLocation.from_experiment_id(experiment_id),
        trace_metadata=metadata,
        tags=tags,
    )
    log_trace(move.target.traces, info, trace.data.spans)
    return trace_id


def find_trace(place: Place, trace_id: str) -> "Trace | None":
    """Ask for a trace, by its id; there is none if its spans are not there either."""
    from mlflow.exceptions import MlflowException

    try:
        return place.traces.get_trace(trace_id)
    except MlflowException as error:
        # A bad request: an earlier migration was stopped before it sent the trace's spans.
        if not is_missing(error) and error.error_code != "BAD_REQUEST":
            raise
        return None


def spans_of(spans: "Iterable[Span]") -> list[tuple[Any, ...]]:
    """Describe spans, to compare them."""
    return sorted(
        (span.span_id, span.parent_id or "", span.name, span.start_time_ns, span.end_time_ns)
        for span in spans
    )
