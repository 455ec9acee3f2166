"""From the journal to MLflow: a thread per sink, which sends batches and retries what fails.

A sink is where runs are delivered. MLflow's is one; the project may define others.
"""

import json
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ...backend.client import reason_of
from ...project import State
from ..journal import Record
from .batches import describe_changes


class GoneError(Exception):
    """MLflow does not have the run that is to be delivered, or has deleted it."""


@dataclass
class Delivery:
    """How far one sink has got with one run.

    What is empty in `children`, `models` and `versions` was asked for, and its id has not reached
    us: it may exist.
    """

    path: Path
    # Whether another process has begun with it: what exists is looked for before it is made, for
    # the disk may have refused to remember it.
    resumed: bool = False
    run_id: str | None = None  # In MLflow, once it was created there.
    experiment_id: str = ""
    attempted: bool = False  # Whether the run's creation was ever asked for.
    children: dict[str, str] = field(default_factory=dict)  # Ids of child runs, by namespace.
    joined: bool = False  # Whether the run was started, and is ended, elsewhere.
    attempt: str = ""  # Of tasks: which tries of them the run was ended with.
    is_task: bool = False  # Whether that is by `kedro mlflow run begin` and `end`.
    models: dict[str, str] = field(default_factory=dict)  # Ids, by the folders they are saved in.
    # Name, number and alias of the registered versions, by the model's id.
    versions: dict[str, list[str]] = field(default_factory=dict)
    # Why registered versions did not become the champion, by their numbers.
    not_promoted: dict[str, str] = field(default_factory=dict)
    refused: int = 0  # How many records the server has refused for good.
    gone: bool = False  # Whether the server does not have the run: nothing can be delivered.
    # Parameters that a continued run keeps: their value there, and this time's.
    changed: dict[str, tuple[str, str]] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)  # Bytes delivered, by journal file.
    done: bool = False

    @classmethod
    def load(cls, folder: Path, sink: str, resumed: bool = False) -> "Delivery":
        """Read how far a sink has got with the run in this folder."""
        path = folder / f"delivery-{sink}.json"
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return cls(path, resumed, **content)

    def id_of(self, namespace: str = "") -> str:
        """Return the id in MLflow of the run or, by its namespace, a child run; empty if none."""
        return (self.children.get(namespace) if namespace else self.run_id) or ""

    @property
    def registered(self) -> list[str]:
        """The versions that were registered, as a person reads them."""
        return [
            f"{name} version {number} ({alias})"
            for name, number, alias in filter(None, self.versions.values())
        ]

    def save(self) -> None:
        """Write it at once: a process that dies leaves the old state or the new one.

        What the disk refuses is remembered by this process only: another one that continues
        delivers it once more.
        """
        content = asdict(self)
        del content["path"], content["resumed"]
        half_written = self.path.with_suffix(".tmp")
        with suppress(OSError):
            half_written.write_text(json.dumps(content), encoding="utf-8")
            half_written.replace(self.path)


class Sink(ABC):
    """Where a run is delivered to. An object serves one run, from one thread.

    What is delivered twice must change nothing: after a failure the same records come again, and so
    they do in another process that continues where one was killed. A ConnectionError or
    TimeoutError says that a call may succeed later; any other exception ends the delivery, until
    `kedro mlflow sync` or the next run tries again.
    """

    place: str  # What messages call it.
    ends_last = False  # Whether `end` waits until MLflow has all, or does not take it.
    name: str  # Of its own files in the run's journal.
    folder: Path  # The run's journal, where it may keep files of its own.
    delivery: Delivery  # How far it has got; saved there.

    def attach(self, name: str, folder: Path, resumed: bool = False) -> None:
        """Set which run it serves, and whether another process has begun to deliver that."""
        self.name, self.folder = name, folder
        self.delivery = Delivery.load(folder, name, resumed)

    @abstractmethod
    def begin(self, started: Record) -> None:
        """Open the run by its record ``run_started``, in each process that delivers it."""

    @abstractmethod
    def deliver(self, records: list[Record], patient: bool) -> None:
        """Take the run's next records, in their order; if `patient`, raise what may succeed later.

        If not, it was tried often while the server was well: `set_aside` what fails, or raise.
        """

    @abstractmethod
    def end(self, ended: Record, patient: bool) -> None:
        """Close the run by its record ``run_ended``, after everything else."""

    def is_well(self) -> bool:
        """Return whether it answers as if nothing was wrong with it; if unsure, it does not."""
        return False

    @property
    def mlflow(self) -> Delivery:
        """What MLflow has of the run by now: its id there, its versions."""
        return Delivery.load(self.folder, "server")

    @property
    def notes(self) -> list[str]:
        """What the run's owner should know of the delivery, one sentence each."""
        notes = [describe_changes(self.delivery.changed)] if self.delivery.changed else []
        if count := self.delivery.refused:
            run, refused = self.folder.name, State.of_journal(self.folder).refused
            with suppress(OSError, IndexError):
                first = json.loads(self._reasons.read_text(encoding="utf-8").splitlines()[0])
                more = f", and {count - 1} more" if count > 1 else ""
                is_model = first["what"].startswith("the model ")
                retry = f"register {run}" if is_model else "sync --refused"
                notes.append(
                    f"{self.place} refuses {first['what']} for good ({first['reason']}){more}. "
                    f"{refused / run} keeps the run: `uv run kedro mlflow {retry}` tries again, "
                    f"`uv run kedro mlflow sync --give-up {run}` deletes it."
                )
        return notes

    def set_aside(self, what: str, error: Exception) -> None:
        """Keep the reason why something is refused for good; the rest is delivered."""
        with suppress(OSError), self._reasons.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"what": what, "reason": reason_of(error)}) + "\n")
        self.delivery.refused += 1
        self.delivery.save()

    @property
    def _reasons(self) -> Path:
        # Not `.jsonl`, which is the suffix of a run's events.
        return self.folder / f"{self.name}.refused"
