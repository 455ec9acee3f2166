"""What is known of a run only at its end: how long its nodes took, and its description."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..capture.nodes import FOLDER, local_name, nodes_of, write_run_record
from ..capture.values import MAX_TAG_LENGTH, Metric, in_parts, valid_name
from ..journal import Record, all_records

DESCRIPTION_TAG = "mlflow.note.content"  # What MLflow's page shows as the run's description.

# A record is read as a whole.
_METRICS_PER_RECORD = 1000
_ENDED = {"FINISHED": "Finished", "FAILED": "Failed", "KILLED": "Stopped"}


def last_records(folder: Path, end: Record, with_times: bool) -> Iterator[Record]:
    """Yield what comes before the end of the run in this folder, whose files it completes."""
    for times in node_times(all_records(folder)) if with_times else ():
        yield Record("metrics", end.time, times)
    path = write_run_record(folder, end)
    yield Record("artifact", end.time, {"path": str(path), "folder": FOLDER})


def node_times(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """Yield the nodes' seconds as data of metrics; captured last, they are below all others."""
    times: dict[str, list[Metric]] = {}
    for node in nodes_of(records):
        if node["status"] == "FINISHED":
            namespace = node.get("namespace", "")
            # Named with its unit, which MLflow's page shows nowhere else.
            name = valid_name(f"node_seconds/{local_name(node['name'], namespace)}")
            times.setdefault(namespace, []).append((name, node["seconds"], 0))
    for namespace, values in times.items():
        of_child = {"namespace": namespace} if namespace else {}
        for some in in_parts(values, _METRICS_PER_RECORD):
            yield {"values": some, **of_child}


def describe_run(start: Record, end: Record, registered: Iterable[str], command: str | None) -> str:
    """Describe a run in Markdown: how it ended and why, what it has registered, its command."""
    seconds = max(end.time - start.time, 0) / 1000
    parts = [f"**{_ENDED[end.data['status']]}** after {_duration(seconds)}."]
    parts += [f"Registered {name}." for name in registered]
    if reason := end.data.get("reason"):
        parts.append(code(reason))
    if command:
        parts.append(code(command))
    return "\n\n".join(parts)[:MAX_TAG_LENGTH]


def code(text: object) -> str:
    """Quote a text, so that nothing in it is read as Markdown."""
    return f"`{' '.join(str(text).replace('`', chr(39)).split())}`"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
