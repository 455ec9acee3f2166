"""What a served model gets and predicts, counted in the buckets of its reference for Prometheus.

Prometheus makes shares and PSI of the counts (`deploy/monitoring/`). A request only leaves its rows
in a queue: a thread counts many at a time, every five seconds.
"""

import atexit
import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from time import sleep
from typing import Any

import pandas as pd

from .reference import FILE, Counts, Distribution, Reference, as_table_of

logger = logging.getLogger(__name__)

_LABELS = ["model", "version", "group", "kind", "feature"]
_ALL = "all"  # An empty label is none to Prometheus.
_SECONDS = 5.0
# As many wait at most; who brings more counts them.
_MOST_WAITING = 100_000

Predict = Callable[[Any], tuple[Any, int]]


def watched(predict: Predict, folder: Path, model: str, version: str) -> Predict:
    """Return a function that predicts as another and has rows and predictions counted.

    A model without a reference, trained before, is not watched.
    """
    if not (folder / FILE).is_file():
        return predict
    traffic = Traffic(Reference.read(folder / FILE), model, version)
    traffic.start()

    def predict_and_count(rows: Any) -> tuple[Any, int]:
        predicted = predict(rows)
        traffic.add(rows, *predicted)
        return predicted

    return predict_and_count


def parts_of(reference: Reference) -> Iterator[tuple[tuple[str, str, str], Distribution]]:
    """Yield each distribution of a reference with its group, kind and feature."""
    for group, about in reference.groups.items():
        for kind, parts in (("input", about.columns), ("prediction", about.predictions)):
            for feature, distribution in parts.items():
                yield (group or _ALL, kind, feature), distribution


def reference_metrics(folder: Path, model: str, version: str) -> Iterator[Any]:
    """Yield them for Prometheus; nothing of a model without a reference."""
    from prometheus_client.core import GaugeMetricFamily as Gauge

    reference = _read(folder)
    if reference is None:
        return
    shares = Gauge(
        "serving_feature_reference_share",
        "Share of the training in a bucket.",
        labels=[*_LABELS, "bucket"],
    )
    flawed = Gauge(
        "serving_feature_reference_flawed_share",
        "Share of the training that is missing or beyond.",
        labels=[*_LABELS, "flaw"],
    )
    for key, distribution in parts_of(reference):
        for bucket, share in zip(distribution.buckets, distribution.shares, strict=True):
            shares.add_metric([model, version, *key, bucket], share)
        before = distribution.before
        beyond = before["unseen"] if distribution.names else before["out_of_range"]
        for flaw, share in (("missing", before["missing"]), ("beyond", beyond)):
            flawed.add_metric([model, version, *key, flaw], share)
    yield from (shares, flawed)


@lru_cache(maxsize=2)
def _read(folder: Path) -> Reference | None:
    path = folder / FILE
    return Reference.read(path) if path.is_file() else None


class Traffic:
    """Counts what a worker gets, in prometheus-client's counters."""

    def __init__(self, reference: Reference, model: str, version: str) -> None:
        from prometheus_client import Counter

        self._reference = reference
        self._waiting: deque[tuple[Any, Any, int]] = deque()
        self._rows = 0
        self._lock = threading.Lock()
        rows = Counter("serving_feature_rows", "Rows by bucket.", [*_LABELS, "bucket"])
        flawed = Counter(
            "serving_feature_flawed_rows", "Rows missing or beyond training's.", [*_LABELS, "flaw"]
        )
        # Each exists from the start: a bucket that stays empty is a fact too.
        self._counters = {
            key: (
                [rows.labels(model, version, *key, bucket) for bucket in distribution.buckets],
                [flawed.labels(model, version, *key, flaw) for flaw in ("missing", "beyond")],
            )
            for key, distribution in parts_of(reference)
        }

    def start(self) -> None:
        """Count in the background, and what is left at the end."""
        threading.Thread(target=self._run, daemon=True, name="monitoring").start()
        atexit.register(self.flush)

    def add(self, rows: Any, predicted: Any, count: int) -> None:
        """Leave the rows of a request to be counted."""
        self._waiting.append((rows, predicted, count))
        self._rows += count
        if self._rows > _MOST_WAITING:
            self.flush()

    def flush(self) -> None:
        """Count what waits; what fails is said once and lost, the requests are answered."""
        with self._lock:
            taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
            self._rows = 0
            try:
                if taken:
                    self._count(taken)
            except Exception:
                logger.exception("Rows are not counted for monitoring.")
                self._waiting = _Nowhere()

    def _run(self) -> None:
        while True:
            sleep(_SECONDS)
            self.flush()

    def _count(self, taken: "Sequence[tuple[Any, Any, int]]") -> None:
        about, (tables, predicted, lengths) = self._reference.groups[""], zip(*taken, strict=True)
        rows = _joined(tables, lengths, about.columns)
        predictions = _joined(predicted, lengths, about.predictions)
        for group, members in self._reference.members(rows):
            parts = self._reference.groups[group]
            for kind, found, distributions in (
                ("input", rows, parts.columns),
                ("prediction", predictions, parts.predictions),
            ):
                for name, distribution in distributions.items():
                    if name in found and len(found[name]) == sum(lengths):
                        counts = distribution.count(found[name][members])
                        self._add((group or _ALL, kind, name), counts)

    def _add(self, key: tuple[str, str, str], counts: Counts) -> None:
        buckets, flaws = self._counters[key]
        pairs = zip(
            (*buckets, *flaws), (*counts.buckets, counts.missing, counts.beyond), strict=True
        )
        for counter, count in pairs:
            if count:
                counter.inc(count)


class _Nowhere(deque[Any]):
    """Takes what is left to be counted after that has failed, and keeps nothing."""

    def append(self, _: Any) -> None:
        """Forget it."""


def _joined(
    tables: Sequence[Any], counts: Sequence[int], names: Collection[str]
) -> dict[str, "pd.Series[Any]"]:
    """Put the columns of several requests one below the other; what one lacks is missing there."""
    values: dict[str, list[Any]] = {name: [] for name in names}
    for table, count in zip(tables, counts, strict=True):
        columns = _lists(table, names)
        for name, into in values.items():
            into.extend(columns[name] if name in columns else [None] * count)
    return {name: pd.Series(each, dtype=object) for name, each in values.items()}


def _lists(table: Any, names: Collection[str]) -> Mapping[str, Sequence[Any]]:
    """Return the columns of a request, or of what was predicted for it, that have these names."""
    if isinstance(table, Mapping):
        return table
    if not hasattr(table, "columns"):
        table = as_table_of(table)
    return {str(each): table[each].to_list() for each in table.columns if str(each) in names}
