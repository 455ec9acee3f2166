"""Runs that MLflow has not taken yet: completed and delivered from their journals."""

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ...backend.client import is_transient, reason_of
from ...config import KedroMlflowConfig
from ...disk import FileLock
from ...errors import TrackingError
from ...project import State
from .. import RunListener
from ..journal import Record, all_records, first_record
from . import Delivery
from .shipper import shippers_of, sinks_of
from .summary import last_records


@dataclass(frozen=True)
class Outcome:
    """What became of one run."""

    kedro_run_id: str  # It names the journal.
    status: str | None  # How it ended; none while its process lives.
    run_id: str | None = None  # In MLflow, if it is there.
    error: str | None = None  # Why not all of it was delivered, if so.
    notes: Sequence[str] = ()  # What its owner should know of it, one sentence each.
    registered: Sequence[str] = ()  # Versions of models, as a person reads them.
    reason: str | None = None  # Why it has failed, if that is known.
    environment: str | None = None  # The Kedro environment whose mlflow.yml it waits for.


def sync(
    journals: Path,
    config: KedroMlflowConfig,
    listeners: Sequence[RunListener] = (),
    patient: bool = True,
) -> Iterator[Outcome]:
    """Deliver what is in the journals of a project, the oldest run first.

    A run whose process has died without ending it is ended as killed, at its last event. A run
    whose process lives is left alone. Doing this twice, or stopping it in between, changes nothing.
    So is one of another Kedro environment, whose mlflow.yml may name another server.
    A sink that is away is asked once, and unless we are patient one that fails is not waited for:
    no run holds up the others.
    """
    away: set[str] = set()
    for folder in [path.parent for path in sorted(journals.glob("*/run.json"))]:
        try:
            with FileLock(folder / "lock") as taken:
                if taken and first_record(folder) is None:  # It was killed before it had started.
                    put_away(folder)
                    continue
                outcome = Outcome(folder.name, None)
                if taken:
                    outcome = deliver(folder, config, listeners, away, patient)
        except OSError as error:
            if not folder.exists():  # Its own process has just put it away.
                continue
            # A disk that is full or read-only.
            outcome = Outcome(folder.name, "UNFINISHED", error=reason_of(error))
        yield outcome


def deliver(
    folder: Path,
    config: KedroMlflowConfig,
    listeners: Sequence[RunListener],
    away: set[str] | None = None,
    patient: bool = True,
) -> Outcome:
    """Deliver one run, whose lock the caller holds; `away` collects sinks that do not answer."""
    away = set() if away is None else away
    content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    if (environment := content.get("environment", config.environment)) != config.environment:
        return Outcome(folder.name, None, environment=environment)
    # It may have begun with another experiment than mlflow.yml has by now, and at another address:
    # where files go is for that of today.
    name = {"name": content["experiment"]["name"]}
    experiment = {"experiment": config.tracking.experiment.model_copy(update=name)}
    config = config.model_copy(update={"tracking": config.tracking.model_copy(update=experiment)})
    status = _complete(folder, config.tracking.capture.node_times)
    sinks = sinks_of(folder, config, listeners, resumed=True)
    waiting = [shipper for shipper in shippers_of(sinks) if not shipper.sink.delivery.done]
    shippers = [shipper for shipper in waiting if shipper.sink.name not in away]
    errors = ["it does not answer"] * (len(waiting) - len(shippers))
    for shipper in shippers:
        shipper.start()
        shipper.finish()
    deadline = time.monotonic() + config.shipping.deadline
    for shipper in shippers:
        if not shipper.drain(deadline, patient):
            error, sink = shipper.error, shipper.sink
            errors.append(reason_of(error) if error else "time ran out")
            if error and is_transient(error) and not sink.is_well():
                away.add(sink.name)
    notes = [note for shipper in shippers for note in shipper.sink.notes]
    if not errors:
        put_away(folder)
    delivery = sinks[0].delivery
    run_id = None if delivery.gone else delivery.run_id
    first = errors[0] if errors else None
    return Outcome(folder.name, status, run_id, first, notes, delivery.registered)


def _complete(folder: Path, with_times: bool) -> str:
    """Write the end of a run whose process has not; return how the run ended."""
    last = 0
    for record in all_records(folder):
        if record.kind == "run_ended":
            return str(record.data["status"])
        last = max(last, record.time)
    for path in folder.glob("*.jsonl"):
        # Cut off a line that its process could not finish: the event was not captured.
        written = path.read_bytes()
        if not written.endswith(b"\n"):
            path.write_bytes(written[: written.rfind(b"\n") + 1])
    end = Record("run_ended", last, {"status": "KILLED"})
    records = [*last_records(folder, end, with_times), end]
    with (folder / "sync.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(line)) + "\n" for line in records)
    return "KILLED"


def put_away(folder: Path) -> None:
    """Remove a delivered run's journal; the whole of it is kept if a server has refused a part."""
    state = State.of_journal(folder)
    if any(folder.glob("*.refused")):
        state.refused.mkdir(exist_ok=True)
        folder.rename(state.refused / folder.name)
        return
    # Another process may be about to put its lock into the folder: at once, or not at all.
    delivered = state.folder / f"delivered-{folder.name}"
    folder.rename(delivered)
    shutil.rmtree(delivered)


def reopen(state: State, run: str | None = None) -> None:
    """Let `sync` deliver once more the runs of which a server has refused a part, all of them.

    Or only one run, by Kedro's id.
    """
    for described in state.refused.glob("*/run.json"):
        folder = described.parent
        if run not in (None, folder.name):
            continue
        for reasons in folder.glob("*.refused"):
            delivery = Delivery.load(folder, reasons.stem)
            delivery.done = delivery.gone = False
            delivery.refused, delivery.offsets = 0, {}
            delivery.save()
            reasons.unlink()
        state.journals.mkdir(exist_ok=True)
        folder.rename(state.journals / folder.name)


def give_up(state: State, run: str) -> None:
    """Delete what is kept of a run; a TrackingError if nothing is, or the run is under way."""
    kept = [*state.refused.glob(f"{run}-*.jsonl")]  # As the template's first versions kept it.
    for path in kept:
        path.unlink()
    for folder in (state.refused / run, state.unregistered / run, state.journals / run):
        if (folder / "run.json").is_file():
            kept.append(folder)
            with FileLock(folder / "lock") as taken:
                if not taken:
                    raise TrackingError(f"The run {run} is under way: stop it first.")
                shutil.rmtree(folder)
    if not kept:
        raise TrackingError(f"Nothing is kept of a run '{run}' in {state.folder}.")
