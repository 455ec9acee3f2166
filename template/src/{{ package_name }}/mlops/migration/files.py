"""Files of runs and of logged models: copied and compared one at a time."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from .places import Place

if TYPE_CHECKING:
    from mlflow.entities import FileInfo, LoggedModel

# It names the run and the model that it belongs to.
_NAMES_ITS_OWNER = "MLmodel"


_CHUNK_BYTES = 1_000_000


class Files(Protocol):
    """The files of one run, or of one logged model."""

    def children(self, folder: str | None) -> "list[FileInfo]":
        """List a folder, or the top one."""

    def fetch(self, path: str, into: str) -> Path:
        """Copy one file to this machine."""

    def put(self, file: Path, folder: str | None) -> None:
        """Add one file."""


@dataclass(frozen=True)
class RunFiles:
    """The artifacts of a run."""

    place: Place
    run_id: str

    def children(self, folder: str | None) -> "list[FileInfo]":
        """List a folder, or the top one."""
        return self.place.client.list_artifacts(self.run_id, folder)

    def fetch(self, path: str, into: str) -> Path:
        """Copy one file to this machine."""
        return Path(self.place.client.download_artifacts(self.run_id, path, into))

    def put(self, file: Path, folder: str | None) -> None:
        """Add one file."""
        self.place.client.log_artifact(self.run_id, str(file), folder)


@dataclass(frozen=True)
class ModelFiles:
    """The artifacts of a logged model."""

    place: Place
    model: "LoggedModel"

    def children(self, folder: str | None) -> "list[FileInfo]":
        """List a folder, or the top one."""
        return self.place.client.list_logged_model_artifacts(self.model.model_id, folder)

    def fetch(self, path: str, into: str) -> Path:
        """Copy one file to this machine."""
        from mlflow.artifacts import download_artifacts

        uri = f"{self.model.artifact_location.rstrip('/')}/{path}"
        return Path(
            download_artifacts(artifact_uri=uri, dst_path=into, tracking_uri=self.place.uri)
        )

    def put(self, file: Path, folder: str | None) -> None:
        """Add one file."""
        self.place.client.log_model_artifact(self.model.model_id, str(file), folder)


def sizes(files: Files, folder: str | None = None) -> Iterator[tuple[str, int]]:
    """List all files below a folder, with their sizes."""
    for child in files.children(folder):
        if child.is_dir:
            yield from sizes(files, child.path)
        else:
            yield child.path, int(child.file_size or 0)


def copy(source: Files, target: Files, renamed: Mapping[str, str]) -> None:
    """Copy files that the target does not have, or has not whole.

    Args:
        source: where they are.
        target: where they go.
        renamed: what the owner of the files is called at the target, by what it was called.
    """
    there = dict(sizes(target))
    for path, _ in sizes(source):
        with TemporaryDirectory() as folder:
            file = _fetch_renamed(source, path, folder, renamed)
            if there.get(path) != file.stat().st_size:
                parent = str(PurePosixPath(path).parent)
                target.put(file, None if parent == "." else parent)


def differences(source: Files, target: Files, renamed: Mapping[str, str]) -> Iterator[str]:
    """Tell which files are missing at the target, too many there, or of other content."""
    expected, found = dict(sizes(source)), dict(sizes(target))
    yield from (f"the file {path} is missing" for path in sorted(expected.keys() - found.keys()))
    yield from (f"the file {path} is too many" for path in sorted(found.keys() - expected.keys()))
    for path in sorted(expected.keys() & found.keys()):
        if _digest(source, path, renamed) != _digest(target, path, {}):
            yield f"the file {path} has another content"


def _digest(files: Files, path: str, renamed: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    with (
        TemporaryDirectory() as folder,
        _fetch_renamed(files, path, folder, renamed).open("rb") as file,
    ):
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _fetch_renamed(files: Files, path: str, folder: str, renamed: Mapping[str, str]) -> Path:
    file = files.fetch(path, folder)
    if renamed and file.name == _NAMES_ITS_OWNER:
        file.write_text(rename(file.read_text(encoding="utf-8"), renamed), encoding="utf-8")
    return file


def rename(text: str, renamed: Mapping[str, str]) -> str:
    """Replace names in a text, each once; the longest first, for one may be part of another."""
    names = sorted(filter(None, renamed), key=len, reverse=True)
    if not names:
        return text
    return re.sub("|".join(map(re.escape, names)), lambda found: renamed[found[0]], text)
