"""Do files get where they belong, and back again?"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from ..disk import vanished
from ..project import is_server
from .finding import Finding, failed, ok, reason
from .server import is_this_machine
from .setup import Setup


def artifacts(setup: Setup) -> Finding:
    """Write a small file beside those of the runs, list it, read it, compare it, remove it."""
    root = setup.artifact_root
    if misplaced := judge_location(root, setup.uri):
        return misplaced
    try:
        return _round_trip(setup, root)
    except ModuleNotFoundError as error:
        return failed(
            f"{_kind(root)} needs {error.name}, which is not installed",
            f"Install it: `uv add {error.name}`.",
        )
    except Exception as error:
        return judge_failure(root, error)


def judge_location(root: str, uri: str) -> Finding | None:
    """Judge a place for files without looking there; none if nothing is wrong with it.

    Args:
        root: where the experiment keeps its files.
        uri: the tracking URI.
    """
    if urlsplit(root).scheme not in ("", "file"):
        return None
    if is_server(uri) and not is_this_machine(urlsplit(uri).hostname or ""):
        return failed(
            "the server names a folder of its own machine, which this one cannot write",
            "Start the server with --artifacts-destination, and use a new experiment.",
        )
    if vanished(root):
        return failed(
            f"the folder of the experiment is gone: {root}",
            "Move the project back there, or give tracking.experiment.name another name.",
        )
    return None


def _round_trip(setup: Setup, root: str) -> Finding:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    repository: Any = get_artifact_repository(root, tracking_uri=setup.uri)
    content = uuid4().hex
    with TemporaryDirectory() as folder:
        file = Path(folder) / "written-by-kedro-mlflow-doctor.txt"
        file.write_text(content, encoding="utf-8")
        path = f"{setup.folder}/artifacts"  # As in a run's folder: with the permissions of runs.
        repository.log_artifact(str(file), path)
        setup.remove_later(
            f"the folder {setup.folder} at {root}",
            lambda: repository.delete_artifacts(None if setup.owns_root else setup.folder),
        )
        listed = [Path(found.path).name for found in repository.list_artifacts(path)]
        if file.name not in listed:
            return failed(f"{_kind(root)} does not list what was written", "Ask who runs it.")
        back = Path(folder) / "back"
        back.mkdir()
        read = Path(repository.download_artifacts(f"{path}/{file.name}", str(back)))
        if read.read_text(encoding="utf-8") != content:
            return failed(
                f"{_kind(root)} returns something else than was written", "Ask who runs it."
            )
    return ok(f"{_kind(root)}: written, listed, read and compared")


def judge_failure(root: str, error: Exception) -> Finding:
    """Say why files do not get there.

    Args:
        root: where the experiment keeps its files.
        error: what the library of that place has raised.
    """
    scheme, words = urlsplit(root).scheme, reason(error)
    message = f"{_kind(root)} does not take files ({words})"
    if scheme in ("", "file"):
        return failed(message, "Let this user write into that folder.")
    if scheme == "mlflow-artifacts":
        if "403" in words:
            return failed(
                "the server does not let us write files",
                "Ask who owns the experiment for the permission EDIT.",
            )
        return failed(message, "Can the server write where it keeps files? Its log says more.")
    return failed(message, "Are its variables set and right? .env.example lists them.")


def _kind(root: str) -> str:
    scheme = urlsplit(root).scheme
    if scheme in ("", "file"):
        return "the folder"
    if scheme == "mlflow-artifacts":
        return "the server's store"
    return f"{scheme}://{urlsplit(root).netloc.rpartition('@')[2]}"
