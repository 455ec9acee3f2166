"""Artifacts: figures that nodes return, and files of data sets that mlflow.yml keeps."""

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from fsspec.implementations.local import LocalFileSystem

from ...config import ArtifactsOptions
from ...disk import atomic
from ...errors import one_line
from ...mlflow_internals import path_within, storage_of
from ..journal import Journal
from .values import mend_name

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline

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
    path, size and SHA-256 of each file. What lies in an object store is fetched, up to the same
    limits; above them its own digest is written.

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
                files, path = place
                saved = _saved_files(files, path, started)
                with journal.tolerating():
                    _keep(journal, name, files, saved, options, namespace)
        except Exception as error:
            # What cannot be captured must not cost its owner the run.
            logger.warning("The files of '%s' are not tracked: %s", name, one_line(error))


def _is_kept(name: str, dataset: Any, options: ArtifactsOptions) -> bool:
    rules = (getattr(dataset, "metadata", None) or {}).get("mlflow") or {}
    if "artifact" in rules:
        return bool(rules["artifact"])
    return any(fnmatchcase(name, pattern) for pattern in options.datasets)


@dataclass(frozen=True)
class _Saved:
    """A file that a run has saved: its path in its file system, the one below the data set's."""

    path: str
    below: str
    bytes: int


def _place(dataset: Any) -> tuple["AbstractFileSystem", str] | None:
    """Return where a data set has saved its file or folder; none for what has no such place."""
    storage = storage_of(dataset, saved=True)
    if storage is None:
        return None
    if storage.files is None and not storage.is_local:
        raise ValueError("they are not on this machine")
    files = storage.files or LocalFileSystem()
    return files, path_within(files, storage.path)


def _saved_files(files: "AbstractFileSystem", place: str, started: int) -> list[_Saved]:
    """List the files that the run has saved in a place; one that is a file itself is its own."""
    files.invalidate_cache()
    if files.isfile(place):
        return [_Saved(place, PurePosixPath(place).name, files.info(place)["size"])]
    # Stores tell the whole seconds alone.
    since = started if _is_local(files) else started // 1000 * 1000
    return [
        _Saved(path, PurePosixPath(path).relative_to(place).as_posix(), info["size"])
        for path, info in sorted(files.find(place, detail=True).items())
        if files.modified(path).timestamp() * 1000 >= since
    ]


def _is_local(files: "AbstractFileSystem") -> bool:
    return isinstance(files, LocalFileSystem)


def _keep(
    journal: Journal,
    name: str,
    files: "AbstractFileSystem",
    saved: list[_Saved],
    options: ArtifactsOptions,
    namespace: str,
) -> None:
    if not saved:
        raise ValueError("the run has saved none")
    name = mend_name(name).replace("/", "_")
    target = journal.files / "data" / name
    size = sum(file.bytes for file in saved)
    if size > options.max_megabytes * _MEGABYTE or len(saved) > options.max_files:
        target.parent.mkdir(parents=True, exist_ok=True)
        target = target.with_name(f"{name}.json")
        target.write_text(json.dumps([_told(files, file) for file in saved], indent=2))
        journal.append("artifact", namespace, path=str(target), folder="data")
        return
    for file in saved:
        copy = target / file.below
        copy.parent.mkdir(parents=True, exist_ok=True)
        with atomic(copy):
            files.get_file(file.path, str(copy))
        folder = (Path("data") / name / file.below).parent.as_posix()
        journal.append("artifact", namespace, path=str(copy), folder=folder)


def _told(files: "AbstractFileSystem", file: _Saved) -> dict[str, Any]:
    """Describe a file; of one that is far away, the digest is what its store has got of it."""
    if not _is_local(files):
        info = files.info(file.path)
        told = {"path": files.unstrip_protocol(file.path), "bytes": file.bytes}
        digests = {key: info[key].strip('"') for key in ("ETag", "etag", "md5Hash") if key in info}
        return told | digests
    digest = hashlib.sha256()
    with Path(file.path).open("rb") as content:
        while part := content.read(_MEGABYTE):
            digest.update(part)
    return {"path": file.path, "bytes": file.bytes, "sha256": digest.hexdigest()}


def save_figure(value: Any, path: Path) -> Path | None:
    """Save a figure beside the journal.

    Args:
        value: what a node returned.
        path: where to, without a suffix.

    Returns:
        The file: PNG for matplotlib, HTML for plotly, none for anything else.
    """
    if _is_a(value, "matplotlib.figure", "Figure"):
        path = path.with_name(f"{path.name}.png")
        with atomic(path):
            value.savefig(path)
        return path
    if _is_a(value, "plotly.basedatatypes", "BaseFigure"):
        path = path.with_name(f"{path.name}.html")
        with atomic(path):
            value.write_html(path, include_plotlyjs="cdn")
        return path
    return None


def files_of_figures(pipeline: "Pipeline", catalog: "DataCatalog") -> dict[str, str]:
    """Find the figures that the catalog saves to a file: drawing them once is enough.

    Returns:
        The files, by data set, of matplotlib figures among the pipeline's outputs.
    """
    entries = catalog.to_config()[0]
    return {
        name: entries[name]["filepath"]
        for name in sorted(pipeline.all_outputs() & entries.keys())
        if str(entries[name]["type"]).endswith(".MatplotlibDataset")
        and not entries[name].get("versioned")
        and "://" not in entries[name]["filepath"]
    }


def copy_figure(file: Path, path: Path) -> Path | None:
    """Copy a figure that the catalog has saved.

    Args:
        file: the catalog's.
        path: where to, without a suffix.

    Returns:
        The copy; none if there is no file: several figures are a folder.
    """
    if not file.is_file():
        return None
    path = path.with_name(f"{path.name}{file.suffix}")
    with atomic(path):
        shutil.copyfile(file, path)
    return path


def _is_a(value: Any, module: str, name: str) -> bool:
    """Tell an object's kind by name, so that no plotting library is imported to find out."""
    return any(base.__module__ == module and base.__name__ == name for base in type(value).__mro__)
