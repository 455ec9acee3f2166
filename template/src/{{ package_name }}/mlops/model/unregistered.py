"""Models that a run has fitted and could not register, kept until `kedro mlflow register` does.

What a run keeps in `.kedro_mlflow/unregistered/<its id>/`: its fitted data sets' files, which the
next run may overwrite, the parameters that inference reads, what the model's card says, and why.
"""

import json
import logging
import re
import shutil
import traceback
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from fsspec.core import strip_protocol
from fsspec.implementations.local import LocalFileSystem
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.validation.exceptions import DataValidationError

from ..backend.client import muted
from ..disk import atomic
from ..errors import AS_IT_IS, TrackingError, shortened
from ..mlflow_internals import storage_of
from ..project import State, registered_pipeline
from ..redaction import mask_text
from ..tracking.capture.values import read_parameters
from ..tracking.journal import Journal, Record, all_records
from ..tracking.progress import why_failed
from ..tracking.shipping import Delivery
from .frozen import entry_of
from .plan import dataset_at

if TYPE_CHECKING:
    from ..tracking.capture import RunCapture
    from .schema import Schema

logger = logging.getLogger(__name__)

# Says on a run's page why it has no version of the model, or how it has got one.
TAG = "model.registered"
# What of a run's journal is of use for its model; it may be delivered twice.
_KINDS = ("input", "metrics", "params", "tags")
_RECORD, _PARAMETERS, _REASON, _MLFLOW_RUN = "0.jsonl", "parameters.json", "reason.txt", "run_id"

_TABLES = "tables"

# What of a catalog entry is about the place of the run's own file.
_OF_ITS_PLACE = {"credentials", "fs_args", "versioned"}


@dataclass(frozen=True)
class Waiting:
    """A run whose model has no version."""

    folder: Path  # Which has the name of Kedro's run id.
    run_id: str | None  # In MLflow; none as long as that has not got the run.
    is_packaged: bool  # MLflow has refused its model, which is in the run's journal.

    @property
    def reason(self) -> str:
        """Why the model was not registered."""
        if self.is_packaged:
            return _refused(self.folder)[0]
        return (self.folder / _REASON).read_text(encoding="utf-8").partition("\n")[0]


def keep(
    run: "RunCapture",
    catalog: DataCatalog,
    fitted: Sequence[str],
    error: Exception,
    tables: "Iterable[Schema]" = (),
) -> None:
    """Keep what a run has fitted, and say why its model is not registered and what to do."""
    options, run_id = run.config.model, run.journal.folder.name
    assert options
    reason = reason_of(error)
    logger.debug("The model is not registered.", exc_info=error)
    folder = State.of_journal(run.journal.folder).unregistered / run_id
    try:
        with atomic(folder):
            _write(folder, run, catalog, fitted)
            (folder / _TABLES).mkdir()
            for number, table in enumerate(tables):
                table.write(folder / _TABLES / f"{number:03}.json")
            trace = mask_text("".join(traceback.format_exception(error)))
            (folder / _REASON).write_text(f"{reason}\n\n{trace}", encoding="utf-8")
            # Now it is whole.
            shutil.copyfile(run.journal.folder / "run.json", folder / "run.json")
    except Exception as failure:
        todo = f"What it has fitted cannot be kept either ({reason_of(failure)}): train again"
    else:
        command = run.config.typed(f"register {run_id}")
        todo = f"What it has fitted is kept: once this is fixed, `{command}` registers it"
    run.journal.append("tags", values={TAG: f"no: {reason}"})
    why = reason_of(error, with_values=True)
    text = f"This run registers no version of '{options.name}': {why}. {todo}."
    logger.error("%s", text, extra=AS_IT_IS)


def _write(folder: Path, run: "RunCapture", catalog: DataCatalog, fitted: Sequence[str]) -> None:
    assert run.config.model
    inference = registered_pipeline(run.config.model.pipeline, "model.pipeline")
    (folder / "fitted").mkdir(parents=True)
    for name in fitted:
        _copy(name, catalog.get(name), folder / "fitted" / name)
    parameters = json.dumps(dict(read_parameters(inference, catalog)))
    (folder / _PARAMETERS).write_text(parameters, encoding="utf-8")
    with (folder / _RECORD).open("w", encoding="utf-8") as file:
        for record in all_records(run.journal.folder):
            is_part = record.kind in _KINDS and not record.data.get("namespace")
            if is_part or record.kind == "run_started":
                file.write(f"{json.dumps(asdict(record))}\n")


def reason_of(error: Exception, with_values: bool = False) -> str:
    """Say why in a line: our own errors are whole sentences; values of rows are for screens."""
    cause = error.__cause__
    of_ours = isinstance(error, TrackingError) or type(error) is DatasetError
    if of_ours and (cause is None or (with_values and isinstance(error, TrackingError))):
        return shortened(mask_text(str(error)), 1000).rstrip(".")
    line = why_failed(cause if isinstance(cause, DataValidationError) else error)
    return re.sub("^(TrackingError|DataValidationError): ", "", line).rstrip(".")


def _copy(name: str, dataset: Any, target: Path) -> None:
    """Copy the file or folder of a data set, under its own name, into a new folder."""
    storage = storage_of(dataset)
    if storage is None:
        raise TrackingError(f"the data set '{name}' has no file")
    files, source = storage.files or LocalFileSystem(), strip_protocol(storage.uri)
    target.mkdir()
    files.get(source, str(target / PurePosixPath(source).name), recursive=files.isdir(source))


def note_run(delivery: Delivery) -> None:
    """Note the id in MLflow of a run that waits, once that has the run."""
    journal = delivery.path.parent
    folder = State.of_journal(journal).unregistered / journal.name
    if folder.is_dir() and delivery.run_id:
        (folder / _MLFLOW_RUN).write_text(delivery.run_id, encoding="utf-8")


# --- Later ---


def waiting(state: State) -> list[Waiting]:
    """List the runs whose model has no version, the oldest first."""
    found = []
    for described in state.unregistered.glob("*/run.json"):
        note = described.with_name(_MLFLOW_RUN)
        run_id = note.read_text(encoding="utf-8") if note.is_file() else None
        found.append(Waiting(described.parent, run_id, is_packaged=False))
    for described in state.refused.glob("*/run.json"):
        delivery = Delivery.load(described.parent, "server")
        if _refused(described.parent) and not delivery.registered:
            found.append(Waiting(described.parent, delivery.run_id, is_packaged=True))
    return sorted(found, key=lambda each: (each.folder.stat().st_mtime, each.folder.name))


def _refused(journal: Path) -> list[str]:
    """Return why MLflow has refused models of a run."""
    with suppress(OSError):
        lines = (journal / "server.refused").read_text(encoding="utf-8").splitlines()
        told = map(json.loads, lines)
        return [each["reason"] for each in told if each["what"].startswith("the model ")]
    return []


def restore(run: Waiting, catalog: DataCatalog) -> None:
    """Let a catalog hold what a run has fitted and the parameters that its model reads.

    A TrackingError says that the catalog has another file for something of it by now.
    """
    with muted("kedro.io.data_catalog"):  # It warns about each entry that is replaced.
        for folder in (run.folder / "fitted").iterdir():
            entry = entry_of(folder.name, catalog)
            path = folder / Path(str(entry.get("filepath"))).name
            if not path.exists():
                (kept,) = folder.iterdir()
                raise TrackingError(
                    f"The run {run.folder.name} has saved the data set '{folder.name}' as "
                    f"{kept.name}, and catalog.yml has another file for it: name it so again."
                )
            entry = {key: entry[key] for key in entry if key not in _OF_ITS_PLACE}
            catalog[folder.name] = dataset_at(folder.name, entry, path)
        parameters = json.loads((run.folder / _PARAMETERS).read_text(encoding="utf-8"))
        catalog["parameters"] = MemoryDataset(parameters)
        for name, value in parameters.items():
            catalog[f"params:{name}"] = MemoryDataset(value)


def tables_of(run: Waiting) -> "list[Schema]":
    """Read the schemas of the tables that a run has read."""
    from .schema import Schema  # With pandas.

    return [Schema.read(path) for path in sorted((run.folder / _TABLES).glob("*.json"))]


def reopen_journal(run: Waiting, journal: Journal) -> None:
    """Write what is known of a run into a new journal, by which its MLflow run gets more."""
    journal.create()
    with (journal.folder / _RECORD).open("w", encoding="utf-8") as file:
        for record in all_records(run.folder):
            data = dict(record.data)
            if record.kind == "run_started":
                data |= {"join": run.run_id, "journal": uuid4().hex}
            file.write(f"{json.dumps(asdict(Record(record.kind, record.time, data)))}\n")
