"""What two runs have in common, and in what they differ."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..registry.holdout import DIGEST_TAG, PREDICTIONS_TAG
from ..tracking.capture.sources import LOCK, PLATFORM, PYTHON
from ..tracking.shipping.runs import NAMESPACE_TAG, RUN_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# By kind, and in it by name.
Facts = Mapping[str, Mapping[str, Any]]

MACHINE, DATA, PARAMETERS = "machine", "data", "parameters"
METRICS, PREDICTIONS, FIGURES = "metrics", "predictions", "figures"
# A run that differs in them was not reproduced; in the others, last digits and fonts differ.
_DECIDE = (DATA, PARAMETERS, METRICS)
_NOT_COMPARED = ("node_seconds/", "system/")
# What plotly makes new for each figure.
_RANDOM = re.compile(rb"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_SHOWN = 24


@dataclass(frozen=True)
class Row:
    """What of one kind is compared: how many are the same, and each that is not."""

    kind: str
    same: int
    different: Mapping[str, tuple[Any, Any]]  # Then and now, by name; None where there is none.
    close: int = 0  # How many of the same are so within the tolerance only.

    @property
    def differs(self) -> bool:
        """Whether not all are exactly the same, on whatever machine."""
        return bool(self.kind != MACHINE and (self.different or self.close))

    @property
    def breaks(self) -> bool:
        """Whether the run was not reproduced by it."""
        return bool(self.kind in _DECIDE and self.different)


def facts_of(client: "MlflowClient", run: "Run", folder: Path) -> Facts:
    """Collect what is compared of a run and its child runs; figures are downloaded."""
    of_it = f"tags.`{RUN_TAG}` = '{run.data.tags.get(RUN_TAG)}'"
    family = [("", run)] + [
        (f"{child.data.tags[NAMESPACE_TAG]}/", child)
        for child in client.search_runs([run.info.experiment_id], of_it)
        if NAMESPACE_TAG in child.data.tags
    ]
    tags, inputs = run.data.tags, run.inputs.dataset_inputs if run.inputs else ()
    data = {each.dataset.name: each.dataset.digest for each in inputs}
    if holdout := tags.get(DIGEST_TAG):  # Where a model was measured, it is an input as well.
        data = {name: digest for name, digest in data.items() if digest != holdout}
        data["holdout"] = holdout
    return {
        MACHINE: {name.rpartition(".")[2]: tags.get(name) for name in (PYTHON, PLATFORM, LOCK)},
        DATA: data,
        PARAMETERS: {
            f"{at}{name}": each for at, one in family for name, each in one.data.params.items()
        },
        METRICS: {
            f"{at}{name}": value
            for at, one in family
            for name, value in one.data.metrics.items()
            if not name.startswith(_NOT_COMPARED)
        },
        PREDICTIONS: {"digest": tags[PREDICTIONS_TAG]} if PREDICTIONS_TAG in tags else {},
        FIGURES: {
            f"{at}{name}": digest
            for at, one in family
            for name, digest in _figures(client, one.info.run_id, folder / one.info.run_id)
        },
    }


def _figures(client: "MlflowClient", run_id: str, folder: Path) -> list[tuple[str, str]]:
    if not client.list_artifacts(run_id, FIGURES):
        return []
    folder.mkdir(parents=True)
    there = Path(client.download_artifacts(run_id, FIGURES, str(folder)))
    return [
        (
            path.relative_to(there).as_posix(),
            sha256(_RANDOM.sub(b"", path.read_bytes())).hexdigest(),
        )
        for path in sorted(there.rglob("*"))
        if path.is_file()
    ]


def differences(then: Facts, now: Facts, tolerance: float) -> list[Row]:
    """Compare all that two runs have; numbers may differ by a share of them."""
    rows = []
    for kind, before in then.items():
        different, same, close = {}, 0, 0
        for name in sorted(before.keys() | now[kind].keys()):
            old, new = before.get(name), now[kind].get(name)
            if repr(old) == repr(new):  # NaN is not equal to itself.
                same += 1
            elif (
                isinstance(old, float)
                and isinstance(new, float)
                and isclose(old, new, rel_tol=tolerance)
            ):
                same, close = same + 1, close + 1
            else:
                different[name] = (old, new)
        rows.append(Row(kind, same, different, close))
    return rows


def table_of(rows: list[Row]) -> list[list[str]]:
    """Write it as a table: a heading, a line per kind, and one per difference."""
    table = [["What", "Then", "Now", "Same"]]
    for row in rows:
        close = f", {row.close} of them by the tolerance" if row.close else ""
        table.append([row.kind, "", "", f"{row.same} of {row.same + len(row.different)}{close}"])
        table += [
            [f"  {name}", _shown(old), _shown(new), "NO"]
            for name, (old, new) in row.different.items()
        ]
    return table


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    text = "none" if value is None else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
