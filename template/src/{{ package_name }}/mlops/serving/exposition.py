"""The supervisor's address for Prometheus: its own counts, and those of all workers together."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from ..errors import TrackingError
from ..project import is_rendered

if TYPE_CHECKING:
    from .server import Supervisor

_MOST_AT_ONCE = 16
_SECONDS_TO_ASK = 5.0


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
        if served and is_rendered("monitoring"):
            traffic = import_module("..monitoring.traffic", __package__)
            yield from traffic.reference_metrics(served.folder, served.name, served.version)
        yield Counter("serving_worker_restarts", "Workers that have died.", restarts)


@contextmanager
def exposed(supervisor: "Supervisor", folder: Path, host: str, port: int) -> Iterator[None]:
    """Answer Prometheus with the supervisor's counts and those in the workers' folder."""
    from prometheus_client import CollectorRegistry, make_wsgi_app
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))
    registry.register(_SupervisorCollector(supervisor))
    try:
        server = _Server(host, port, make_wsgi_app(registry))
    except OSError as error:
        text = f"--metrics-port {port}: {error.strerror}; choose another one."
        raise TrackingError(text) from error
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(WSGIRequestHandler):
    timeout = _SECONDS_TO_ASK

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


class _Server(ThreadingMixIn, WSGIServer):
    """Has a few connections at once: prometheus-client's has a thread for whoever connects."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, app: Any) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._places = threading.Semaphore(_MOST_AT_ONCE)
        super().__init__((host, port), _Handler)
        self.set_app(app)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, or close the connection if all are taken."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and give the place away."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing of who leaves before the answer."""
