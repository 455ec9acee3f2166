"""What Prometheus is told: the counts of all workers together, and the supervisor's own."""

from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from ..errors import TrackingError


class Exposition:
    """What the supervisor tells Prometheus: its own counts, and what the workers have counted.

    Attributes:
        folder: where the workers count.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._registry = CollectorRegistry()
        MultiProcessCollector(self._registry, str(folder))
        self._model = Gauge(
            "serving_model_info",
            "The model that is served.",
            ["name", "version"],
            registry=self._registry,
        )
        self._reloads = Counter(
            "serving_reloads", "New champions, by outcome.", ["outcome"], registry=self._registry
        )
        for outcome in ("served", "failed"):
            self._reloads.labels(outcome)
        self._restarts = Counter(
            "serving_worker_restarts", "Workers that have died.", registry=self._registry
        )

    def listen(self, host: str, port: int) -> Callable[[], None]:
        """Answer at this address from now on; returns what ends that.

        Raises:
            TrackingError: the address is taken.
        """
        try:
            server, thread = start_http_server(port, host, self._registry)
        except OSError as error:
            raise TrackingError(
                f"--metrics-port {port}: {error.strerror}; choose another one."
            ) from error

        def stop() -> None:
            server.shutdown()
            thread.join()

        return stop

    def serves(self, name: str, version: str) -> None:
        """Say which version it is now."""
        self._model.clear()
        self._model.labels(name, version).set(1)

    def reloaded(self, outcome: str) -> None:
        """Count a new champion."""
        self._reloads.labels(outcome).inc()

    def restarted(self) -> None:
        """Count a worker that had to be replaced."""
        self._restarts.inc()

    def gone(self, pid: int) -> None:
        """Forget what a worker was doing when it ended; what it has done stays."""
        mark_process_dead(pid, str(self.folder))
