"""Prometheus metrics: counted in the workers, exposed by the supervisor for all of them together.

Each worker counts in files of one folder, by prometheus-client's multiprocess mode.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .server import Supervisor

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


class _SupervisorCollector:
    def __init__(self, supervisor: "Supervisor") -> None:
        self._supervisor = supervisor

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily as Counter
        from prometheus_client.core import GaugeMetricFamily as Gauge

        info = Gauge("serving_model_info", "The model that is served.", labels=["name", "version"])
        if served := self._supervisor.served:
            info.add_metric([served.name, served.version], 1)
        reloads = Counter("serving_reloads", "New champions, by outcome.", labels=["outcome"])
        for outcome, count in self._supervisor.reloads.items():
            reloads.add_metric([outcome], count)
        restarts = self._supervisor.restarts
        yield from (info, reloads)
        yield Counter("serving_worker_restarts", "Workers that have died.", restarts)


@contextmanager
def exposed(supervisor: "Supervisor", folder: Path, host: str, port: int) -> Iterator[None]:
    """Answer Prometheus with the supervisor's counts and those in the workers' folder."""
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector

    from ..errors import TrackingError

    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))
    registry.register(_SupervisorCollector(supervisor))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        text = f"--metrics-port {port}: {error.strerror}; choose another one."
        raise TrackingError(text) from error
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
