"""Git, as updating a project needs it."""

import os
import subprocess
from pathlib import Path

from click import ClickException

# Neither a password nor the passphrase of a key is ever asked for.
_ASK_NOTHING = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes"}


class UpdateError(ClickException):
    """An update that cannot be; the message says why, and what to do."""


def git(folder: Path, *arguments: str, seconds: float | None = None) -> str:
    """Run git in a folder and return what it prints.

    Raises:
        UpdateError: git is missing, fails, or takes longer than ``seconds``.
    """
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=_ASK_NOTHING | os.environ,
            capture_output=True,
            # A name or a line that is not in UTF-8 comes back as it was.
            encoding="utf-8",
            errors="surrogateescape",
            timeout=seconds,
            check=True,
        ).stdout
    except FileNotFoundError as error:
        raise UpdateError("git is not on the PATH: an update merges with it.") from error
    except subprocess.TimeoutExpired as error:
        raise UpdateError(f"git {arguments[0]} got no answer within {seconds} s.") from error
    except subprocess.CalledProcessError as error:
        lines = str(error.stderr).strip().splitlines() or [f"exit code {error.returncode}"]
        raise UpdateError(f"git {arguments[0]} failed: {lines[-1]}") from error


def paths(folder: Path, *arguments: str) -> list[str]:
    """The paths that a git command prints, separated by NUL, from this folder on."""
    return [path for path in git(folder, *arguments, "-z").split("\0") if path]
