"""What a worker counts, for Prometheus.

It counts in files of one folder, by prometheus-client's multiprocess mode; the supervisor reads
those of all workers together (`exposition.py`).
"""

import os
from typing import Any

# prometheus-client reads it when it is imported.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"


_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class RequestMetrics:
    """What a worker counts; nothing, unless the supervisor has named a folder for it."""

    def __init__(self) -> None:
        self._is_on = FOLDER in os.environ
        if not self._is_on:
            return
        from prometheus_client import Counter, Gauge, Histogram

        self._requests = Counter(
            "serving_requests", "Requests by route and status.", ["route", "status"]
        )
        self._seconds = Histogram(
            "serving_request_seconds", "Seconds to the answer.", ["route"], buckets=_SECONDS
        )
        self._rows = Counter("serving_rows", "Rows that were predicted for.")
        self._open = Gauge(
            "serving_requests_in_flight",
            "Requests without an answer yet.",
            multiprocess_mode="livesum",
        )
        self._children: dict[tuple[str, int], tuple[Any, Any]] = {}

    def begin(self) -> None:
        """Count a request in."""
        if self._is_on:
            self._open.inc()

    def end(self, route: str, status: int, seconds: float, rows: int) -> None:
        """Count it out; 0 is the status of one whose sender has gone."""
        if not self._is_on:
            return
        key = route, status
        if key not in self._children:
            requests = self._requests.labels(route, str(status or "gone"))
            self._children[key] = requests, self._seconds.labels(route)
        requests, durations = self._children[key]
        requests.inc()
        durations.observe(seconds)
        if rows:
            self._rows.inc(rows)
        self._open.dec()
