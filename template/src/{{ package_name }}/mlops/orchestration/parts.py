"""What begin and the tasks of a run have left with it, put together."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..tracking.capture.nodes import nodes_of, records_of
from ..tracking.journal import Record
from ..tracking.run import FAILURE_TAG, MISSING_TAG
from ..tracking.shipping.lineage import parameters_of
from ..tracking.shipping.parts import BEGIN, is_known, read_parts

if TYPE_CHECKING:
    from mlflow.entities import Metric

# Of these, a task knows what is its own alone.
_OF_BEGIN = {"run_started", "run_ended", "child_started", "params"}


class Parts:
    """The records of a run, by the tasks that have left them; all of them are read once."""

    def __init__(self, contents: Mapping[str, Mapping[str, Any]]) -> None:
        """Take the contents of the parts' files, by the names of the tasks."""
        records = {
            task: [Record(**each) for each in content["records"]]
            for task, content in contents.items()
        }
        self._begin = records.pop(BEGIN)
        self._tasks = records
        starts = sorted((task, each["started"]) for task, each in contents.items())
        # The same as long as no task runs again.
        self.attempt = sha256(json.dumps(starts).encode()).hexdigest()[:16]
        self.models = {k: v for each in contents.values() for k, v in each["models"].items()}
        self.children: dict[str, str] = dict(contents[BEGIN]["children"])

    @classmethod
    def read(cls, folder: Path) -> "Parts":
        """Read the files of the parts."""
        return cls(read_parts(folder))

    @property
    def about(self) -> Mapping[str, Any]:
        """What begin was asked for: ``environment``, ``pipelines``, ``params`` and ``nodes``."""
        return next(iter(records_of("begun", self._begin))).data

    @property
    def last_time(self) -> int:
        """When the last thing happened, in ms since 1970."""
        return max(each.time for each in [*self._begin, *self._of_tasks()])

    @cached_property
    def nodes(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """The nodes that have run, by name: the task that has run each last, and how it ended."""
        found: dict[str, tuple[str, dict[str, Any]]] = {}
        for task, records in self._tasks.items():
            for node in nodes_of(records):
                before = found.get(node["name"])
                if before is None or node["started_ns"] >= before[1]["started_ns"]:
                    found[node["name"]] = task, node
        return found

    @property
    def missing(self) -> list[str]:
        """Nodes of the run of which no task has said that they have finished."""
        done = {name for name, (_, node) in self.nodes.items() if node["status"] == "FINISHED"}
        return [name for name in self.about["nodes"] if name not in done]

    @property
    def failed(self) -> list[dict[str, Any]]:
        """Nodes that have failed, the first one first."""
        failed = [node for _, node in self.nodes.values() if node["status"] == "FAILED"]
        return sorted(failed, key=lambda node: node["ended_ns"])

    @property
    def reasons(self) -> list[str]:
        """Why tasks have failed in which no node has."""
        ends = records_of("run_ended", self._of_tasks())
        return [each.data["reason"] for each in ends if each.data.get("reason")]

    def parameters_of_models(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the models that tasks have logged, by their ids: what nodes had read before them.

        A task knows its own parameters only.
        """
        records = self._of_tasks()
        read = records_of("params", records)
        for record in records_of("model", records):
            if model_id := self.models.get(Path(record.data["path"]).name):
                yield model_id, parameters_of(read, record)

    def merged(self, latest: "Mapping[str, Metric]") -> Iterator[Record]:
        """Yield the records as if one process had written them: of a node those of its last try.

        `latest` are the latest points of the run's metrics. What an earlier try has delivered has
        the time of that.
        """
        start = next(iter(records_of("run_started", self._begin)))
        started_ns = start.time * 1_000_000
        waits, path = waits_of([node for _, node in self.nodes.values()], started_ns)
        yield from self._begin
        yield Record("critical_path", self.last_time, {"nodes": path})
        own_tags = start.data["tags"].keys() | {FAILURE_TAG, MISSING_TAG}
        inputs = {each.data["name"] for each in records_of("input", self._begin)}
        for task, record in sorted(self._pairs(), key=lambda pair: pair[1].time):
            kind, data = record.kind, record.data
            is_known = kind in _OF_BEGIN or (kind == "input" and data["name"] not in inputs)
            is_node = kind in ("node", "node_started")
            if is_known or (is_node and self.nodes[data["name"]][0] != task):
                continue
            if kind == "node":
                data = {**data, "waited_seconds": waits[data["name"]]}
            elif kind == "metrics" and not data.get("namespace"):
                yield from _as_delivered(record, latest)
                continue
            elif kind == "tags":
                values = data["values"].items()
                data = {**data, "values": {k: v for k, v in values if k not in own_tags}}
            yield Record(kind, record.time, data)

    def _pairs(self) -> Iterator[tuple[str, Record]]:
        for task, records in self._tasks.items():
            yield from ((task, record) for record in records)

    def _of_tasks(self) -> list[Record]:
        return [record for _, record in self._pairs()]


def _as_delivered(record: Record, latest: "Mapping[str, Metric]") -> Iterator[Record]:
    points: defaultdict[int, list[Any]] = defaultdict(list)
    for name, value, step in record.data["values"]:
        is_there = is_known(name, value, step, latest)
        points[latest[name].timestamp if is_there else record.time].append([name, value, step])
    for time, values in points.items():
        yield Record(record.kind, time, {**record.data, "values": values})


def waits_of(
    nodes: Iterable[Mapping[str, Any]], started_ns: int
) -> tuple[dict[str, float], list[str]]:
    """Compute how many seconds each node waited after all that it reads was there, by its name.

    Also return the critical path: the nodes that the last one waited for, one after another.
    """
    by_name = {node["name"]: node for node in nodes}
    makers = {output: node for node in by_name.values() for output in node["outputs"]}
    before: dict[str, Mapping[str, Any] | None] = {}
    waits = {}
    for name, node in by_name.items():
        parents = [makers[each] for each in node["inputs"] if each in makers]
        before[name] = max(parents, key=_end_of, default=None)
        ready = _end_of(before[name]) if before[name] else started_ns
        waits[name] = max(node["started_ns"] - ready, 0) / 1e9
    path: list[str] = []
    last = max(by_name.values(), key=_end_of, default=None)
    while last and last["name"] not in path:
        path.insert(0, last["name"])
        last = before[last["name"]]
    return waits, path


def _end_of(node: Mapping[str, Any] | None) -> int:
    return (node or {}).get("ended_ns") or 0
