"""Prometheus metrics: what a worker counts; the supervisor exposes all counts (`exposition.py`).

Each worker counts in files of one folder, by prometheus-client's multiprocess mode.
"""

from typing import Any

# prometheus-client reads it when it is imported, which is why no import of it is at the top here.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class RequestMetrics:
    """A worker's counts, in the folder that the supervisor has named in its environment."""

    def __init__(self) -> None:
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
        self._labelled: dict[tuple[str, str], tuple[Any, Any]] = {}

    def begin(self) -> None:
        """Count a request in."""
        self._open.inc()

    def end(self, route: str, status: str, seconds: float, rows: int) -> None:
        """Count it out."""
        key = route, status
        if key not in self._labelled:  # labels() takes longer than all else here.
            self._labelled[key] = self._requests.labels(*key), self._seconds.labels(route)
        requests, durations = self._labelled[key]
        requests.inc()
        durations.observe(seconds)
        if rows:
            self._rows.inc(rows)
        self._open.dec()
