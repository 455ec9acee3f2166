"""The shipper: reads a run's journal and sends it to a sink, from a thread of its own."""

import threading
from pathlib import Path
from typing import Protocol

from ..journal import JournalReader, Record

# How often worker processes' files are looked at; this process's own appends are announced.
_POLL_SECONDS = 0.2


class Sink(Protocol):
    """Where a run is delivered to."""

    def deliver(self, records: list[Record]) -> None:
        """Take records in their order; an exception means that no more of the run is taken."""


class Shipper:
    """Delivers one run's journal until its end, or until the sink fails."""

    def __init__(self, folder: Path, sink: Sink) -> None:
        self.error: Exception | None = None
        self._reader = JournalReader(folder)
        self._sink = sink
        self._news = threading.Event()
        self._finishing = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name=f"mlflow-shipper-{folder.name}", daemon=True
        )
        self._thread.start()

    def announce(self) -> None:
        """Say that the journal has grown."""
        self._news.set()

    def drain(self, seconds: float) -> bool:
        """Wait until everything in the journal is delivered; nothing may be appended any more.

        Returns:
            Whether all of it was delivered in time. If not, ``error`` says why, or is none when
            time ran out.
        """
        self._finishing.set()
        self._news.set()
        self._thread.join(seconds)
        return not self._thread.is_alive() and self.error is None

    def _work(self) -> None:
        try:
            while True:
                # Asked before the journal is read: what was appended until then is in this read.
                finishing = self._finishing.is_set()
                if records := self._reader.read():
                    self._sink.deliver(records)
                if finishing:
                    return
                self._news.wait(_POLL_SECONDS)
                self._news.clear()
        except Exception as error:
            self.error = error
