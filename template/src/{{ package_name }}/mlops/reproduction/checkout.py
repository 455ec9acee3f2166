"""A run's sources, libraries and inputs, in a folder of their own."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ..errors import TrackingError, shortened
from ..tracking.capture.inputs import digest_of
from ..tracking.capture.sources import LOCK, LOCK_FILE, lock_digest

if TYPE_CHECKING:
    from mlflow.entities import Run

# What belongs to the user of this machine, which a run may need and git does not have.
_OF_THE_USER = (".env", "conf/local")
_UV = ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON", "PYTHONPATH", "PYTHONHOME")


class CheckOut:
    """A git worktree of one commit, gone at the end."""

    def __init__(self, project_path: Path, folder: Path, commit: str) -> None:
        self._origin, self._folder, self._commit = project_path, folder, commit
        self.project = folder

    def __enter__(self) -> "CheckOut":
        if self._git("cat-file", "-t", self._commit, check=False).strip() != "commit":
            raise TrackingError(
                f"git does not have the commit {self._commit} here: fetch it (`git fetch --all`), "
                "or look for the branch that had it."
            )
        self.project = self._folder / self._git("rev-parse", "--show-prefix").strip()
        quiet = ["-c", "core.hooksPath=/dev/null"]
        self._git(*quiet, "worktree", "add", "--detach", str(self._folder), self._commit)
        for name in _OF_THE_USER:
            _copy(self._origin / name, self.project / name)
        return self

    def __exit__(self, *error: object) -> None:
        self._git("worktree", "remove", "--force", str(self._folder), check=False)

    def apply(self, diff: Path) -> None:
        """Apply what had differed from the commit."""
        called(["git", "apply", "--whitespace=nowarn", str(diff)], self._folder)

    def require_lock(self, tags: Mapping[str, str]) -> None:
        """Refuse if the libraries are not known that the run had."""
        if lock_digest(self.project) != tags.get(LOCK):
            raise TrackingError(
                f"The libraries of the run are not known: its {LOCK_FILE} is not the one that git "
                f"has at the commit. Commit {LOCK_FILE}, and the next run can be reproduced."
            )

    def place_inputs(self, run: "Run") -> None:
        """Copy the inputs that git does not have; a TrackingError names all that have changed.

        They are copied, not linked: what the run writes must not reach the project's own data.
        """
        changed = []
        for each in run.inputs.dataset_inputs if run.inputs else ():
            data = each.dataset
            uri = str(json.loads(data.source).get("uri") or "")
            is_file = data.source_type == "local"
            if is_file and (problem := self._place(uri, data.digest)):
                changed.append(f"'{data.name}' ({problem})")
        if changed:
            raise TrackingError(
                f"The run has read other data than there are now: {', '.join(changed)}. Bring them "
                "back, and it can be reproduced."
            )

    def _place(self, uri: str, digest: str) -> str | None:
        """Put an input where the run reads it; return what is wrong with it."""
        path = Path(unquote(urlsplit(uri).path))
        inside = _inside(path, self._origin)
        if inside is None:
            if not path.exists():
                return f"{path} is gone"
            return None if digest_of(path) in (digest, None) else f"{path} has changed"
        target = self.project / inside
        if target.exists() and digest_of(target) == digest:
            return None
        own = self._origin / inside
        if not own.exists():
            return f"{inside.as_posix()} is gone"
        if digest_of(own) not in (digest, None):
            return f"{inside.as_posix()} has changed"
        _copy(own, target)
        return None

    def install(self, python: str) -> None:
        """Install the locked libraries, for the run's Python or another patch of it."""
        env = {key: value for key, value in os.environ.items() if key not in _UV}
        found = called(["uv", "python", "find", python], self.project, env, check=False)
        version = python if found.strip() else python.rpartition(".")[0]
        called(["uv", "sync", "--locked", "--python", version], self.project, env)

    def _git(self, *arguments: str, check: bool = True) -> str:
        return called(["git", *arguments], self._origin, check=check)


def called(
    command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None, check: bool = True
) -> str:
    """Run a program and return what it prints; a TrackingError says why it fails."""
    env = {key: value for key, value in (env or os.environ).items() if key not in _UV}
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise TrackingError(
            f"{command[0]} is not on the PATH: a run is repeated with it."
        ) from error
    if result.returncode and check:
        end = "\n".join((result.stdout + result.stderr).strip().splitlines()[-20:])
        shown = shortened(" ".join(command), 120)
        raise TrackingError(f"`{shown}` failed with {result.returncode}:\n{end}")
    return "" if result.returncode else result.stdout


def _inside(path: Path, project: Path) -> Path | None:
    """Return where in the project a file is; also one of another machine's copy of it."""
    with suppress(ValueError):
        return path.relative_to(project)
    if path.exists():
        return None
    parts = path.parts[1:]
    ends = (Path(*parts[start:]) for start in range(len(parts)))
    return next((end for end in ends if (project / end).exists()), None)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
