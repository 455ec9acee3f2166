"""Git: which commit a run's sources are, and whether they were changed since."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 5


@dataclass(frozen=True)
class GitState:
    """The commit that is checked out, and whether the project's files differ from it."""

    commit: str
    dirty: bool


def git_state(project_path: Path) -> GitState | None:
    """Ask git, in one call, for the state of a folder; none without git, repository or commit.

    Files that git does not know count as changes: a pipeline may import them.
    """
    command = ["git", "status", "--porcelain=v2", "--branch", "--", "."]
    try:
        answer = subprocess.run(
            command,
            cwd=project_path,
            # Looking must not take the index's lock from the user's own git.
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = answer.stdout.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "")
    if not commit or commit == "(initial)":
        return None
    return GitState(commit, dirty=any(not line.startswith("#") for line in lines))
