"""What was delivered to a sink: kept on disk, so that a later process goes on where one stopped."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Delivery:
    """How far one sink has got with one run.

    Attributes:
        path: the file that keeps it.
        resumed: whether another process has begun with it: what exists is looked for before it is
            made, for the disk may have refused to remember it.
        run_id: the run in MLflow, once it was created.
        experiment_id: the experiment that the run belongs to.
        attempted: whether the run's creation was ever asked for; if so, it may exist without its id
            having reached us.
        children: the child runs in MLflow, by their namespaces; empty while one was asked for and
            its id has not reached us.
        joined: whether the run is somebody else's, who ends it.
        models: the ids of models that were logged, by the folders that they were saved in; empty
            while one was asked for and its id has not reached us.
        versions: name, number and alias of the registered versions, by the model's id; empty while
            a version was asked for and its number has not reached us.
        refused: how many records the server has refused for good.
        changed: parameters that a continued run keeps: their value there, and this time's.
        offsets: how much of each of the journal's files was delivered, in bytes.
        done: whether all of the run was delivered.
    """

    path: Path
    resumed: bool = False
    run_id: str | None = None
    experiment_id: str = ""
    attempted: bool = False
    children: dict[str, str] = field(default_factory=dict)
    joined: bool = False
    models: dict[str, str] = field(default_factory=dict)
    versions: dict[str, list[str]] = field(default_factory=dict)
    refused: int = 0
    changed: dict[str, tuple[str, str]] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)
    done: bool = False

    @classmethod
    def load(cls, folder: Path, sink: str, resumed: bool = False) -> "Delivery":
        """Read how far a sink has got with the run in this folder."""
        path = folder / f"delivery-{sink}.json"
        if not path.exists():
            return cls(path, resumed)
        return cls(path, resumed, **json.loads(path.read_text(encoding="utf-8")))

    def save(self) -> None:
        """Write it down at once: a process that dies leaves the old state or the new one.

        What the disk refuses is remembered by this process alone: it is delivered once more if
        another one has to go on.
        """
        content = asdict(self)
        del content["path"], content["resumed"]
        half_written = self.path.with_suffix(".tmp")
        with suppress(OSError):
            half_written.write_text(json.dumps(content), encoding="utf-8")
            half_written.replace(self.path)
