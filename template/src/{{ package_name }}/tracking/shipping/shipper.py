"""The shipper: reads a run's journal and sends it to a sink, from a thread of its own."""

import logging
import threading
import time
from pathlib import Path
from typing import Protocol

from ..journal import JournalReader, Record
from .client import is_transient
from .delivery import Delivery

logger = logging.getLogger(__name__)

# How often the journal is looked at: seldom enough for few calls, often enough to watch a run. The
# pause grows with the run: as long as the run has taken so far.
_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 2.0, 30.0
_FIRST_BACKOFF_SECONDS, _LONGEST_BACKOFF_SECONDS = 0.5, 15.0
# How long a run's end waits for a sink that was not there the last time it was tried.
_GRACE_SECONDS = 5.0
# A record that fails this often while the server itself is well is what is wrong.
_PATIENCE = 6


class Sink(Protocol):
    """Where a run is delivered to. Delivering the same records twice must change nothing."""

    name: str
    place: str

    def deliver(self, records: list[Record], patient: bool) -> None:
        """Take records in their order.

        Args:
            records: the run's next ones.
            patient: whether to raise what may go through later; else that is set aside too.
        """

    def end(self, record: Record, patient: bool) -> None:
        """Take the run's last record, after all others; patiently or not, as `deliver` does."""

    def is_well(self) -> bool:
        """Tell whether the place answers as if nothing was wrong with it."""


class Shipper:
    """Delivers one run's journal to one sink, until the run's end."""

    def __init__(self, folder: Path, sink: Sink, delivery: Delivery) -> None:
        self.error: Exception | None = None
        self._sink = sink
        self._delivery = delivery
        self._reader = JournalReader(folder, delivery.offsets)
        self._finishing = threading.Event()
        self._stopped = threading.Event()
        self._end: Record | None = None
        self._end_told: Record | None = None
        self._thread = threading.Thread(
            target=self._work, name=f"mlflow-shipper-{folder.name}", daemon=True
        )
        self._thread.start()

    def finish(self, end: Record | None = None) -> None:
        """Say that nothing is appended any more.

        Args:
            end: the run's end, should the disk have refused it to the journal.
        """
        self._end_told = end
        self._finishing.set()

    def drain(self, deadline: float) -> bool:
        """Wait, after `finish`, until everything in the journal is delivered.

        Args:
            deadline: until when, in seconds of ``time.monotonic``. A sink that is not there is
                waited for only a few seconds.

        Returns:
            Whether all of it was delivered. If not, ``error`` says why, or is none when time ran
            out; nothing more is sent.
        """
        grace = min(deadline, time.monotonic() + _GRACE_SECONDS)
        while self._thread.is_alive():
            until = grace if self.error else deadline
            if time.monotonic() >= until:
                break
            self._thread.join(0.05)
        self._stopped.set()
        return self._delivery.done

    def _work(self) -> None:
        started = time.monotonic()
        try:
            while not self._stopped.is_set():
                # Asked before the journal is read: what was appended until then is in this read.
                finishing = self._finishing.is_set()
                if records := self._reader.read():
                    self._deliver(records)
                elif finishing:
                    self._deliver_end()
                    return
                if not finishing and not self._reader.has_more:
                    pause = max(time.monotonic() - started, _SHORTEST_PAUSE_SECONDS)
                    self._finishing.wait(min(pause, _LONGEST_PAUSE_SECONDS))
        except Exception as error:
            self.error = error

    def _deliver(self, records: list[Record]) -> None:
        for record in records:
            if record.kind == "run_ended":
                self._end = record
        events = [record for record in records if record.kind != "run_ended"]
        self._until_it_works(lambda patient: self._sink.deliver(events, patient))
        if self._stopped.is_set():
            return
        self._reader.acknowledge()
        if self._end is None:  # Else what was read last is read again by who goes on from here.
            self._delivery.offsets = dict(self._reader.offsets)
            self._delivery.save()

    def _deliver_end(self) -> None:
        if end := self._end or self._end_told:
            self._until_it_works(lambda patient: self._sink.end(end, patient))
        if not self._stopped.is_set():
            self._delivery.done = True
            self._delivery.save()

    def _until_it_works(self, attempt: "Attempt") -> None:
        failures, backoff = 0, _FIRST_BACKOFF_SECONDS
        while not self._stopped.is_set():
            try:
                attempt(failures < _PATIENCE or not self._sink.is_well())
                self.error = None
                return
            except Exception as error:
                if not is_transient(error):
                    raise
                if self.error is None:
                    logger.warning(
                        "MLflow at %s does not answer: the run goes on, what it leaves is kept.",
                        self._sink.place,
                    )
                self.error = error
            failures += 1
            self._stopped.wait(backoff)
            backoff = min(2 * backoff, _LONGEST_BACKOFF_SECONDS)


class Attempt(Protocol):
    """One try at a delivery."""

    def __call__(self, patient: bool) -> None:
        """Deliver, patiently or not; see `Sink.deliver`."""
