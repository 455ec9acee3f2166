"""What a sink is: MLflow's is one, and a class of the project's may be another."""

import json
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path

from ..journal import Record
from .client import reason_of
from .delivery import Delivery


class Sink(ABC):
    """Where a run is delivered to. An object serves one run, from one thread.

    What is delivered twice must change nothing: after a failure the same records come again, and so
    they do in another process that goes on where one was killed. What may go through later is told
    by raising a ConnectionError or TimeoutError; any other exception ends the delivery, until
    `kedro mlflow sync` or the next run tries again.

    Attributes:
        place: what messages call it.
        name: names its own files in the run's journal.
        folder: the run's journal, where it may keep files of its own.
        delivery: how far it has got; kept there.
    """

    place: str
    name: str
    folder: Path
    delivery: Delivery

    def attach(self, name: str, folder: Path, resumed: bool = False) -> None:
        """Say which run it serves.

        Args:
            name: the sink's.
            folder: the run's journal.
            resumed: whether another process has begun to deliver the run.
        """
        self.name, self.folder = name, folder
        self.delivery = Delivery.load(folder, name, resumed)

    @abstractmethod
    def begin(self, started: Record) -> None:
        """Open the run, before anything else and in each process that delivers it.

        Args:
            started: the run's first record, ``run_started``.
        """

    @abstractmethod
    def deliver(self, records: list[Record], patient: bool) -> None:
        """Take the run's next records, in their order.

        Args:
            records: what has happened.
            patient: whether to raise what may go through later. If not, it has been tried often
                while the place was well: `set_aside` what does not go through, or raise.
        """

    @abstractmethod
    def end(self, ended: Record, patient: bool) -> None:
        """Close the run, after everything else.

        Args:
            ended: the run's last record, ``run_ended``.
            patient: as in `deliver`.
        """

    def is_well(self) -> bool:
        """Tell whether the place answers as if nothing was wrong with it; if unsure, it is not."""
        return False

    @property
    def refusals(self) -> str | None:
        """Say in a sentence what has been set aside; none if nothing has."""
        if not self.delivery.refused:
            return None
        return (
            f"{self.place} has refused {self.delivery.refused} records of the run for good: "
            f"{self.folder.parents[1] / 'refused'} says which."
        )

    def set_aside(self, what: str, error: Exception) -> None:
        """Keep the reason why something is refused for good; the rest goes on."""
        # No `.jsonl`, which a run's events have: this is none.
        path = self.folder / f"{self.name}.refused"
        with suppress(OSError), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"what": what, "reason": reason_of(error)}) + "\n")
        self.delivery.refused += 1
        self.delivery.save()
