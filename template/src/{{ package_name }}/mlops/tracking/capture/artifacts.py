"""Artifacts: figures that nodes return, and files of data sets that mlflow.yml keeps."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.core import strip_protocol
from fsspec.implementations.local import LocalFileSystem
from kedro.io import DataCatalog

from ...config import ArtifactsOptions
from ...disk import atomic
from ...mlflow_internals import Storage, draws, storage_of, suffix_of_partitions
from ..journal import Journal
from .foreign import entries_of, is_a, size_of, text_of
from .values import valid_name

_MEGABYTE = 1_000_000


def capture_artifacts(
    journal: Journal,
    catalog: DataCatalog,
    outputs: Iterable[tuple[str, str]],
    options: ArtifactsOptions,
    started: int,
) -> None:
    """Copy the files of kept data sets beside the journal, as the run's ``data/<data set>``.

    Above the limits of ``tracking.artifacts``, ``data/<data set>.json`` is written instead, with
    path, size and SHA-256 of each file. Files in an object store are downloaded, up to the same
    limits; above them the store's own digest is written.

    `outputs` are the run's, as `RunCapture.outputs` returns them, and `started` is its start in ms
    since 1970: older files of a folder are not its own.
    """
    for name, namespace in outputs:
        with journal.capturing(f"The artifact '{name}'"):
            dataset = catalog[name]
            if _is_kept(name, dataset, options) and (storage := storage_of(dataset, saved=True)):
                target = journal.files / "data" / valid_name(name).replace("/", "_")
                for path in _copies(storage, target, options, started):
                    folder = path.parent.relative_to(journal.files).as_posix()
                    journal.append("artifact", namespace, path=str(path), folder=folder)


def _is_kept(name: str, dataset: Any, options: ArtifactsOptions) -> bool:
    metadata = getattr(dataset, "metadata", None)
    rules = metadata.get("mlflow") if isinstance(metadata, dict) else None
    if isinstance(rules, dict) and "artifact" in rules:
        return bool(rules["artifact"])
    return any(fnmatchcase(name, pattern) for pattern in options.datasets)


def _copies(
    storage: Storage, target: Path, options: ArtifactsOptions, started: int
) -> Iterator[Path]:
    if storage.files is None and "://" in storage.uri:
        raise ValueError("it is not on this machine")
    files = storage.files or LocalFileSystem()
    folder, saved = _saved_files(files, strip_protocol(storage.uri), started)
    if not saved:
        raise ValueError("the run has saved no file")
    if sum(saved.values()) > options.max_megabytes * _MEGABYTE or len(saved) > options.max_files:
        target.parent.mkdir(parents=True, exist_ok=True)
        target = target.with_name(f"{target.name}.json")
        target.write_text(json.dumps([_describe(files, *each) for each in saved.items()], indent=2))
        yield target
        return
    for path in saved:
        copy = target / PurePosixPath(path).relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with atomic(copy):
            files.get_file(path, str(copy))
        yield copy


def _saved_files(
    files: AbstractFileSystem, path: str, started: int
) -> tuple[PurePosixPath, dict[str, int]]:
    """Find the files that the run has saved there: the folder around them, and their sizes."""
    files.invalidate_cache()
    folder = PurePosixPath(path)
    if files.isfile(path):
        return folder.parent, {path: files.info(path)["size"]}
    # Object stores report whole seconds.
    since = started if isinstance(files, LocalFileSystem) else started // 1000 * 1000
    return folder, {
        each: info["size"]
        for each, info in sorted(files.find(path, detail=True).items())
        if files.modified(each).timestamp() * 1000 >= since
    }


def _describe(files: AbstractFileSystem, path: str, size: int) -> dict[str, Any]:
    """Describe a file; the digest of a remote one is what its store reports."""
    if not isinstance(files, LocalFileSystem):
        info = files.info(path)
        digests = {key: info[key].strip('"') for key in ("ETag", "etag", "md5Hash") if key in info}
        return {"path": files.unstrip_protocol(path), "bytes": size, **digests}
    digest = hashlib.sha256()
    with Path(path).open("rb") as content:
        while part := content.read(_MEGABYTE):
            digest.update(part)
    return {"path": path, "bytes": size, "sha256": digest.hexdigest()}


# --- Figures ---


def is_figure(value: Any) -> bool:
    """Return whether an object is a figure of matplotlib or plotly; neither is imported."""
    return is_a(value, "matplotlib", "Figure") or is_a(value, "plotly", "BaseFigure")


def save_figure(figure: Any, path: Path) -> Path:
    """Save a figure as a PNG (matplotlib) or HTML (plotly) file, or copy one; add the suffix."""
    if isinstance(figure, Path):
        suffix, save = figure.suffix, partial(shutil.copyfile, figure)
    elif is_a(figure, "matplotlib", "Figure"):
        suffix, save = ".png", figure.savefig
    else:
        suffix, save = ".html", partial(figure.write_html, include_plotlyjs="cdn")
    path = path.with_name(f"{path.name.removesuffix(suffix)}{suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path):
        save(path)
    return path


def is_drawn(dataset: Any) -> bool:
    """Return whether the catalog saves matplotlib figures to this machine: once is enough."""
    storage = storage_of(dataset, saved=True) if draws(dataset) else None
    return storage is not None and "://" not in storage.uri


def drawn_files(dataset: Any, value: Any) -> dict[tuple[str, ...], Path]:
    """Return the files that the catalog has drawn, by the keys that the figures have in `value`."""
    storage = storage_of(dataset, saved=True)
    folder = Path(storage.uri if storage else "")
    if size_of(value) is None:
        return {(): folder}
    suffix = ".png" if issubclass(type(value), list) else suffix_of_partitions(dataset)
    keys = (text_of(key) for key, _ in entries_of(value))
    return {(key,): folder / f"{key}{suffix}" for key in keys}
