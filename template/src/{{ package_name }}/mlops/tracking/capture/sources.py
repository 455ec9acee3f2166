"""Sources: commit, what differs from it, locked libraries and Python: what reproduces a run."""

import os
import platform
import re
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from stat import S_IXUSR

from ...config import DiffOptions
from ...redaction import mask_text
from ..journal import Journal
from .nodes import FOLDER
from .values import MAX_TAG_LENGTH

COMMIT, DIRTY = "mlflow.source.git.commit", "mlflow.source.git.dirty"
PYTHON, PLATFORM, LOCK = "kedro.python", "kedro.platform", "kedro.lock"
# What has become of the diff, and the files that differ and are not in it.
DIFF, LEFT_OUT = "kedro.diff", "kedro.diff.left_out"
WHOLE, MASKED, CUT = "whole", "masked", "cut"
DIFF_FILE = f"{FOLDER}/uncommitted.diff"
LOCK_FILE = "uv.lock"

_SECONDS_FOR_GIT = 5
# Whatever the user's git is set to.
_AS_IT_IS = ["--no-color", "--no-ext-diff", "--no-textconv", "--no-renames"]
_PREFIXES = ["--src-prefix=a/", "--dst-prefix=b/"]
# Git would quote it.
_ODD_PATH = re.compile(r'["\\\x00-\x1f\x7f\ud800-\udfff]')


class Sources:
    """What a run of a project is made of, asked for when the run starts."""

    def __init__(self, project_path: Path, options: DiffOptions) -> None:
        self._project, self._options = project_path, options
        self._diff = b""

    def tags(self) -> dict[str, str]:
        """Describe them; what differs from the commit is read now, for it may change."""
        tags = {
            PYTHON: platform.python_version(),
            PLATFORM: f"{platform.system()} {platform.machine()}",
            LOCK: lock_digest(self._project) or "none",
        }
        commit, changed = commit_and_changes(self._project)
        if not commit:
            return tags
        tags |= {COMMIT: commit, DIRTY: str(bool(changed)).lower()}
        return tags | self._read_diff(changed) if changed and self._options.max_kilobytes else tags

    def keep(self, journal: Journal) -> None:
        """Let the diff go with the run, if there is one."""
        if self._diff:
            path = journal.files / DIFF_FILE
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._diff)
            journal.append("artifact", path=str(path), folder=FOLDER)

    def _read_diff(self, changed: list[str]) -> dict[str, str]:
        most = int(self._options.max_kilobytes * 1000)
        parts: dict[str, bytes] = {}
        size = 0
        try:
            for path, part in _parts(self._project, self._options.exclude, most):
                parts[path] = part
                if (size := size + len(part)) > most:
                    break
        except (OSError, subprocess.SubprocessError):  # It is not known to be whole.
            size = most + 1
        text = b"".join(parts.values())[:most].decode("utf-8", "surrogateescape")
        # Line by line: code has more quotes and braces than a message.
        masked = "".join(map(mask_text, text.splitlines(keepends=True)))
        self._diff = masked.encode("utf-8", "surrogateescape")
        state = MASKED if masked != text else WHOLE
        # A folder that git does not know is one entry.
        kept = {path[: end + 1] for path in parts for end in _slashes(path)} | parts.keys()
        left_out = [path for path in changed if path not in kept]
        named = {LEFT_OUT: ", ".join(left_out)[:MAX_TAG_LENGTH]} if left_out else {}
        return {DIFF: CUT if size > most else state, **named}


def lock_digest(project_path: Path) -> str | None:
    """Return the digest of the locked libraries; none if there is no lock file."""
    try:
        return sha256((project_path / LOCK_FILE).read_bytes()).hexdigest()[:32]
    except OSError:
        return None


def commit_and_changes(project_path: Path) -> tuple[str, list[str]]:
    """Ask git, in one call, for the commit and which files differ from it; empty without one.

    Files that git does not know count as changes: a pipeline may import them.
    """
    how = ["--porcelain=v2", "--branch", "-z", "--no-renames"]
    try:
        answer = _git(project_path, "status", *how, "--", ".")
    except (OSError, subprocess.SubprocessError):
        return "", []
    lines = [line.decode("utf-8", "surrogateescape") for line in answer.split(b"\0") if line]
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "")
    fields = {"1": 8, "2": 9, "u": 10, "?": 1}  # Before the path.
    changed = [line.split(" ", fields[line[0]])[-1] for line in lines if line[0] in fields]
    return ("", []) if commit in ("", "(initial)") else (commit, changed)


def _git(project_path: Path, *arguments: str) -> bytes:
    return subprocess.run(
        ["git", *arguments],
        cwd=project_path,
        # It must not take the index's lock from the user's own git.
        env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
        capture_output=True,
        timeout=_SECONDS_FOR_GIT,
        check=True,
    ).stdout


def _parts(project_path: Path, exclude: list[str], most: int) -> Iterator[tuple[str, bytes]]:
    """Yield the diff of each file, by its path in the repository; of texts up to so many bytes."""
    paths = [".", *(f":(exclude,glob){pattern}" for pattern in exclude)]
    # A larger file is taken for a binary one, without reading it.
    limit = ["-c", f"core.bigFileThreshold={most}", "-c", "core.quotePath=false"]
    command = [*limit, "diff", "HEAD", *_AS_IT_IS, *_PREFIXES, "--", *paths]
    for part in re.split(rb"^(?=diff --git )", _git(project_path, *command), flags=re.MULTILINE):
        first = part.partition(b"\n")[0].decode("utf-8", "surrogateescape")
        names = first.removeprefix("diff --git ")
        path = names[: len(names) // 2].removeprefix("a/")
        if path and not _ODD_PATH.search(path) and b"\nBinary files " not in part:
            yield path, part
    unknown = ["-z", "--others", "--exclude-standard"]
    if listed := _git(project_path, "ls-files", *unknown, "--", *paths):
        prefix = os.fsdecode(_git(project_path, "rev-parse", "--show-prefix").rstrip(b"\n"))
        for name in filter(None, listed.decode("utf-8", "surrogateescape").split("\0")):
            path = f"{prefix}{name}"
            if not _ODD_PATH.search(path) and (part := _as_new(project_path / name, path, most)):
                yield path, part


def _slashes(path: str) -> list[int]:
    return [place for place, character in enumerate(path) if character == "/"]


def _as_new(file: Path, path: str, most: int) -> bytes | None:
    """Write the diff of a file that git does not know; none of what is no text, or large."""
    status = file.lstat()
    if file.is_symlink() or not file.is_file() or status.st_size > most:
        return None
    content = file.read_bytes()
    if b"\0" in content:
        return None
    mode = "100755" if status.st_mode & S_IXUSR else "100644"
    head = f"diff --git a/{path} b/{path}\nnew file mode {mode}\n"
    if not content:
        return head.encode()
    lines = content.split(b"\n")
    end = b"" if lines[-1] == b"" else b"\n\\ No newline at end of file\n"
    lines = lines[:-1] if lines[-1] == b"" else lines
    head += f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{len(lines)} @@\n"
    return head.encode() + b"\n".join(b"+" + line for line in lines) + (end or b"\n")
