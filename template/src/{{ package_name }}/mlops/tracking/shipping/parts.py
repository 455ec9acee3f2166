"""Tasks of one run: each has a journal of its own, and leaves its part of the record with the run.

`kedro mlflow run begin` makes the run and marks it; a `kedro run` that joins a marked run is a task
of it. What describes the whole run is begin's and end's: a task adds what its nodes have made.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from hashlib import sha256
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ..capture import nodes
from ..journal import Record, all_records, first_record
from . import Delivery

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

# Marks a run that was begun for tasks, with the key that it was begun by.
BEGUN_TAG = "kedro.begun"
# Where the tasks' parts are among the run's artifacts, and what begin knows: the first part.
FOLDER = f"{nodes.FOLDER}/parts"
BEGIN = "begin"

_OF_THE_RUN = ("kedro.", "mlflow.", "template.")  # Tags that begin with it.
_LONGEST = 80


def task_name(names: Iterable[str]) -> str:
    """Name a task by its nodes: the same in each of its tries, another in each other task."""
    first, *more = sorted(names) or ["none"]
    digest = sha256("\n".join([first, *more]).encode()).hexdigest()[:8]
    shown = re.sub(r"[^\w\-.]", "_", first)[:_LONGEST].strip(".")
    return "-".join([shown, *([f"and-{len(more)}-more"] if more else []), digest])


def of_task(records: Iterable[Record]) -> list[Record]:
    """Leave out what describes the whole run, whose parts a task does not know."""
    return [own for record in records if (own := _of_task(record))]


def _of_task(record: Record) -> Record | None:
    data = record.data
    if record.kind == "tags":
        own = {key: each for key, each in data["values"].items() if not key.startswith(_OF_THE_RUN)}
        return with_values(record, own)
    is_record = record.kind == "artifact" and data["folder"] == nodes.FOLDER
    is_whole_model = record.kind == "model" and data.get("pipeline")
    return None if is_record or is_whole_model else record


def with_values(record: Record, values: Any) -> Record:
    """Return a record with other values."""
    return Record(record.kind, record.time, {**record.data, "values": values})


def log_part(client: "MlflowClient", delivery: Delivery, journal: Path, task: str) -> None:
    """Leave a journal's records with its run, beside those of other tries of the same task.

    What was killed may arrive while the next try arrives, or after it: each has a file of its own.
    Files that the records name are not a part of it: they were delivered before.
    """
    started = first_record(journal)
    assert started
    about = {"task": task, "started": started.time}
    about |= {"models": delivery.models, "children": delivery.children}
    with TemporaryDirectory() as scratch:
        path = Path(scratch, f"{task}.{started.time}.json")
        with path.open("w", encoding="utf-8") as file:
            file.write(f'{json.dumps(about).removesuffix("}")}, "records": [')
            kept = (each for each in all_records(journal) if each.kind != "artifact")
            for number, record in enumerate(kept):
                file.write(f"{',' if number else ''}\n{json.dumps(asdict(record))}")
            file.write("\n]}\n")
        client.log_artifact(str(delivery.run_id), str(path), FOLDER)


def read_parts(folder: Path) -> dict[str, dict[str, Any]]:
    """Read what was left in a folder, by task: of its last try, and of what began the run first."""
    tries = []
    for path in sorted(folder.glob("*.json")):
        part = json.loads(path.read_text(encoding="utf-8"))
        tries.append({"task": path.stem, **part})  # Older versions named a file as the task.
    tries.sort(key=lambda part: part["started"])
    first, last = ({part["task"]: part for part in order} for order in (reversed(tries), tries))
    return last | {BEGIN: first[BEGIN]}


def is_known(name: str, value: float, step: int, latest: "Mapping[str, Metric]") -> bool:
    """Return whether a point is the latest one that MLflow has; also one that is no number."""
    there = latest.get(name)
    return there is not None and (there.step, repr(there.value)) == (step, repr(value))


def without_known_metrics(
    records: Iterable[Record], latest: "Mapping[str, Metric]"
) -> list[Record]:
    """Leave out points that an earlier try of a task has delivered: up to the latest there is."""

    def new(record: Record) -> Record:
        if record.kind != "metrics":
            return record
        points = record.data["values"]
        done = {name: step for name, value, step in points if is_known(name, value, step, latest)}
        return with_values(record, [each for each in points if each[2] > done.get(each[0], -inf)])

    return [new(record) for record in records]
