"""Artifacts: the files of data sets that a run has saved and its owner wants kept with it.

Kedro saves a node's outputs after it has told its hooks of the node, and tells no run id when it
has saved them: so they are taken at the run's end, from the catalog.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import ArtifactsOptions
from ..disk import whole_or_gone
from ..journal import Journal
from .limits import mend_name

if TYPE_CHECKING:
    from kedro.io import DataCatalog

logger = logging.getLogger(__name__)

_MEGABYTE = 1_000_000


def capture_artifacts(
    journal: Journal,
    catalog: "DataCatalog",
    outputs: Mapping[str, str],
    options: ArtifactsOptions,
    started: int,
) -> None:
    """Copy the files of kept data sets beside the journal, as the run's ``data/<data set>``.

    Above the limits of ``tracking.artifacts``, ``data/<data set>.json`` is written instead, with
    path, size and SHA-256 of each file.

    Args:
        journal: the run's.
        catalog: the run's; of a versioned data set it knows the version that the run has saved.
        outputs: the data sets that the run's nodes have returned, and the namespaces of those
            nodes that have child runs.
        options: which of them are kept.
        started: the run's start in ms since 1970: older files of a folder are not its own.
    """
    for name, namespace in sorted(outputs.items()):
        try:
            dataset = catalog[name]
            if _is_kept(name, dataset, options) and (place := _place(dataset)):
                files = list(_saved_files(place, started))
                with journal.tolerating():
                    _keep(journal, name, files, options, namespace)
        except Exception as error:
            # What cannot be captured must not cost its owner the run.
            reason = (str(error) or type(error).__name__).splitlines()[0]
            logger.warning("The files of '%s' are not tracked: %s", name, reason)


def _is_kept(name: str, dataset: Any, options: ArtifactsOptions) -> bool:
    rules = (getattr(dataset, "metadata", None) or {}).get("mlflow") or {}
    if "artifact" in rules:
        return bool(rules["artifact"])
    return any(fnmatchcase(name, pattern) for pattern in options.datasets)


def _place(dataset: Any) -> Path | None:
    """Tell the file or folder that a data set has saved; none for what has no such place."""
    dataset = getattr(dataset, "_dataset", dataset)  # A CachedDataset holds the one with the file.
    path = getattr(dataset, "_filepath", None) or getattr(dataset, "_path", None)
    if path is None:
        return None
    if getattr(dataset, "_protocol", "file") not in ("file", "local") or "://" in str(path):
        raise ValueError("they are not on this machine")
    if getattr(dataset, "_version", None):
        path = dataset._get_versioned_path(dataset.resolve_save_version())
    return Path(str(path))


def _saved_files(place: Path, started: int) -> Iterator[tuple[Path, str]]:
    """List the files that the run has saved in a place, each with its name below it."""
    if place.is_file():
        yield place, place.name
    for file in sorted(place.rglob("*")):
        if file.is_file() and file.stat().st_mtime_ns // 1_000_000 >= started:
            yield file, file.relative_to(place).as_posix()


def _keep(
    journal: Journal,
    name: str,
    files: list[tuple[Path, str]],
    options: ArtifactsOptions,
    namespace: str,
) -> None:
    if not files:
        raise ValueError("the run has saved none")
    name = mend_name(name).replace("/", "_")
    target = journal.files / "data" / name
    size = sum(path.stat().st_size for path, _ in files)
    if size > options.max_megabytes * _MEGABYTE or len(files) > options.max_files:
        target.parent.mkdir(parents=True, exist_ok=True)
        target = target.with_name(f"{name}.json")
        target.write_text(json.dumps([_told(path) for path, _ in files], indent=2))
        journal.append("artifact", namespace, path=str(target), folder="data")
        return
    for path, below in files:
        copy = target / below
        copy.parent.mkdir(parents=True, exist_ok=True)
        with whole_or_gone(copy):
            shutil.copyfile(path, copy)
        folder = (Path("data") / name / below).parent.as_posix()
        journal.append("artifact", namespace, path=str(copy), folder=folder)


def _told(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_MEGABYTE):
            digest.update(part)
    return {"path": str(path), "bytes": path.stat().st_size, "sha256": digest.hexdigest()}
