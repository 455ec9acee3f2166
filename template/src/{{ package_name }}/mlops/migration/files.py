"""Files of runs and of logged models, copied and compared one at a time."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeAlias

from ..disk import sha256_of
from .endpoints import Endpoint

if TYPE_CHECKING:
    from mlflow.entities import FileInfo, LoggedModel

# This file names the run and the model that it belongs to.
_MLMODEL = "MLmodel"


@dataclass(frozen=True)
class RunFiles:
    """The artifacts of a run."""

    endpoint: Endpoint
    run_id: str

    def children(self, folder: str | None) -> "list[FileInfo]":
        """List a folder, or the top one."""
        return self.endpoint.client.list_artifacts(self.run_id, folder)

    def fetch(self, path: str, into: str) -> Path:
        """Copy one file to this machine."""
        return Path(self.endpoint.client.download_artifacts(self.run_id, path, into))

    def put(self, file: Path, folder: str | None) -> None:
        """Add one file."""
        self.endpoint.client.log_artifact(self.run_id, str(file), folder)


@dataclass(frozen=True)
class ModelFiles:
    """The artifacts of a logged model."""

    endpoint: Endpoint
    model: "LoggedModel"

    def children(self, folder: str | None) -> "list[FileInfo]":
        """List a folder, or the top one."""
        return self.endpoint.client.list_logged_model_artifacts(self.model.model_id, folder)

    def fetch(self, path: str, into: str) -> Path:
        """Copy one file to this machine."""
        from mlflow.artifacts import download_artifacts

        uri = f"{self.model.artifact_location.rstrip('/')}/{path}"
        with self.endpoint.admitted():
            return Path(
                download_artifacts(artifact_uri=uri, dst_path=into, tracking_uri=self.endpoint.uri)
            )

    def put(self, file: Path, folder: str | None) -> None:
        """Add one file."""
        self.endpoint.client.log_model_artifact(self.model.model_id, str(file), folder)


Files: TypeAlias = RunFiles | ModelFiles


def sizes(files: Files, folder: str | None = None) -> Iterator[tuple[str, int]]:
    """List all files below a folder, with their sizes."""
    for child in files.children(folder):
        if child.is_dir:
            yield from sizes(files, child.path)
        else:
            yield child.path, int(child.file_size or 0)


def copy_files(source: Files, target: Files, renamed: Mapping[str, str]) -> None:
    """Copy files that the target does not have, or not completely.

    Args:
        source: where they are.
        target: where they go.
        renamed: new names of their run or model, by the old ones.
    """
    there = dict(sizes(target))
    for path, _ in sizes(source):
        with TemporaryDirectory() as folder:
            file = _fetch_renamed(source, path, folder, renamed)
            if there.get(path) != file.stat().st_size:
                parent = str(PurePosixPath(path).parent)
                target.put(file, None if parent == "." else parent)


def differences(source: Files, target: Files, renamed: Mapping[str, str]) -> Iterator[str]:
    """List the files that are missing at the target, are only there, or differ."""
    expected, found = dict(sizes(source)), dict(sizes(target))
    yield from (f"the file {path} is missing" for path in sorted(expected.keys() - found.keys()))
    yield from (f"the file {path} is only there" for path in sorted(found.keys() - expected.keys()))
    for path in sorted(expected.keys() & found.keys()):
        if _digest(source, path, renamed) != _digest(target, path, {}):
            yield f"the file {path} has another content"


def _digest(files: Files, path: str, renamed: Mapping[str, str]) -> str:
    with TemporaryDirectory() as folder:
        return sha256_of(_fetch_renamed(files, path, folder, renamed))


def _fetch_renamed(files: Files, path: str, folder: str, renamed: Mapping[str, str]) -> Path:
    file = files.fetch(path, folder)
    if renamed and file.name == _MLMODEL:
        file.write_text(rename(file.read_text(encoding="utf-8"), renamed), encoding="utf-8")
    return file


def rename(text: str, renamed: Mapping[str, str]) -> str:
    """Replace names in a text, each once; the longest first, for one may be part of another."""
    names = sorted(filter(None, renamed), key=len, reverse=True)
    if not names:
        return text
    return re.sub("|".join(map(re.escape, names)), lambda found: renamed[found[0]], text)
