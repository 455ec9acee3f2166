"""The shipper: reads a run's journal and sends it to a sink, from a thread of its own."""

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from ...backend.access import instantiate
from ...backend.client import is_transient
from ...config import KedroMlflowConfig, MirrorOptions
from .. import RunListener
from ..capture.nodes import records_of
from ..journal import JournalReader, Record, first_record
from . import GoneError, Sink
from .mlflow_sink import MlflowSink

logger = logging.getLogger(__name__)

# How often the journal is read: seldom enough for few calls, often enough to watch a run. The pause
# grows with the run: as long as the run has taken so far.
_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 2.0, 30.0
_FIRST_BACKOFF_SECONDS, _LONGEST_BACKOFF_SECONDS = 0.5, 15.0
# How long a run's end waits for an unreachable sink.
_GRACE_SECONDS = 5.0
# A record that fails this often while the server itself is well is what is wrong.
_PATIENCE = 6


class Shipper(threading.Thread):
    """Delivers one run's journal to one sink, in a thread, until the run's end."""

    def __init__(self, sink: Sink, first: "Shipper | None" = None) -> None:
        super().__init__(name=f"mlflow-shipper-{sink.folder.name}", daemon=True)
        self.sink, self._first = sink, first
        self.error: Exception | None = None  # Why the last try has failed; none while all is well.
        self._failing_since = 0.0
        self._reader = JournalReader(sink.folder, sink.delivery.offsets)
        self._finishing = threading.Event()
        self._stopped = threading.Event()
        # The run's end, from the journal, or else from the process that has ended it.
        self._end: Record | None = None
        self._known_end: Record | None = None

    def run(self) -> None:
        """Deliver until the run's end, or until it fails for good."""
        began = time.monotonic()
        try:
            started = first_record(self.sink.folder)
            assert started
            self._retry(lambda patient: self.sink.begin(started))
            while not self._stopped.is_set():
                # Asked before the journal is read: what was appended until then is in this read.
                finishing = self._finishing.is_set()
                if records := self._reader.read():
                    self._deliver(records)
                elif finishing:
                    if end := self._end or self._known_end:
                        self._wait_for_first()
                        self._retry(lambda patient: self.sink.end(end, patient))
                    if not self._stopped.is_set():
                        self._end_delivery()
                    return
                if not finishing and not self._reader.has_more:
                    pause = max(time.monotonic() - began, _SHORTEST_PAUSE_SECONDS)
                    self._finishing.wait(min(pause, _LONGEST_PAUSE_SECONDS))
        except GoneError as error:
            self.error = error
            self.sink.delivery.gone = True
            self.sink.set_aside("the run", error)
            self._end_delivery()
        except Exception as error:
            self.error = error

    @property
    def is_over(self) -> bool:
        """Whether its delivery has come to an end, or was given up."""
        return self._stopped.is_set() or not self.is_alive()

    def _wait_for_first(self) -> None:
        """Let MLflow's delivery come to its end, if the sink wants that, or be given up."""
        first = self._first if self.sink.ends_last else None
        while first and not (first.is_over or self.is_over):
            first.join(0.05)

    def finish(self, end: Record | None = None) -> None:
        """Stop waiting for more records; the disk may have refused the run's end to the journal."""
        self._known_end = end
        self._finishing.set()

    def drain(self, deadline: float, patient: bool = True) -> bool:
        """Wait, after `finish`, until everything in the journal is delivered, and return whether.

        If not, ``error`` says why, or is none when time ran out; nothing more is sent. The deadline
        is of ``time.monotonic``; an unreachable sink is given only a few seconds, and so is any
        that fails unless we are patient.
        """
        asked = time.monotonic()
        while self.is_alive() and (now := time.monotonic()) < deadline:
            if self.error and now >= max(asked, self._failing_since) + _GRACE_SECONDS:
                # A reachable sink may have lost an answer, and be busy again.
                if not (patient and self.sink.is_well()):
                    break
                asked = now
            self.join(0.05)
        self._stopped.set()
        return self.sink.delivery.done

    def _deliver(self, records: list[Record]) -> None:
        events = [record for record in records if record.kind != "run_ended"]
        self._end = next(iter(records_of("run_ended", records)), self._end)
        self._retry(lambda patient: self.sink.deliver(events, patient))
        if self._stopped.is_set():
            return
        self._reader.acknowledge()
        if self._end is None:  # Else another process that continues must read the end again.
            self.sink.delivery.offsets = dict(self._reader.offsets)
            self.sink.delivery.save()

    def _end_delivery(self) -> None:
        self.sink.delivery.done = True
        self.sink.delivery.save()

    def _retry(self, attempt: Callable[[bool], None]) -> None:
        """Try until it works; an attempt is passed whether it is to be patient, as in `Sink`."""
        failures, backoff = 0, _FIRST_BACKOFF_SECONDS
        while not self._stopped.is_set():
            try:
                attempt(failures < _PATIENCE or not self.sink.is_well())
                self.error = None
                return
            except Exception as error:
                if not is_transient(error):
                    raise
                if self.error is None:
                    self._failing_since = time.monotonic()
                    logger.warning(
                        "%s does not answer: the run continues, and its data are kept.",
                        self.sink.place,
                    )
                self.error = error
            failures += 1
            self._stopped.wait(backoff)
            backoff = min(2 * backoff, _LONGEST_BACKOFF_SECONDS)


def shippers_of(sinks: Sequence[Sink]) -> list[Shipper]:
    """Make a shipper of each sink; those of the others know the first one's."""
    shippers: list[Shipper] = []
    for sink in sinks:
        shippers.append(Shipper(sink, shippers[0] if shippers else None))
    return shippers


def sinks_of(
    folder: Path,
    config: KedroMlflowConfig,
    listeners: Sequence[RunListener] = (),
    resumed: bool = False,
) -> list[Sink]:
    """Make the sinks of the run in a folder: the tracking server first, then its mirrors.

    A TrackingError says that a mirror's class cannot be loaded or made, or is no sink.
    """
    tracking = config.tracking
    sinks: dict[str, Sink] = {
        "server": MlflowSink(config.server, tracking, listeners, address=config.typed("ui"))
    }
    for number, mirror in enumerate(config.mirrors):
        # Named by what it is: its position in mlflow.yml may change before a run is delivered.
        content = json.dumps(mirror.model_dump(), sort_keys=True, default=str)
        sink = custom_sink(number, mirror) or MlflowSink(mirror, tracking, listeners, mirror=True)
        sinks[f"mirror-{sha256(content.encode()).hexdigest()[:8]}"] = sink
    for name, sink in sinks.items():
        sink.attach(name, folder, resumed)
    return list(sinks.values())


def custom_sink(number: int, mirror: MirrorOptions) -> Sink | None:
    """Make the sink of a mirror that is a class of the project's own; none for a server."""
    if mirror.type is None:
        return None
    sink: Sink = instantiate(f"mirrors.{number}.type", mirror.type, Sink, mirror.init_kwargs)
    return sink
