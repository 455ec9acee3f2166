"""The update: copier merges, and what its owner wrote stays.

Copier removes a file that the new version or the new answers do without, edited or not. Here it
stays if its owner has edited it: a second copy of the version that the project had tells.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

from .git import UpdateError, git, paths
from .origin import ANSWERS, Origin, origin

# Takes the arguments of the command line `copier`.
Copier: TypeAlias = Callable[[Sequence[str]], None]


UNDO = "git checkout HEAD -- . && git clean -fd ."


_REQUIREMENTS = ["--from", "copier>=9.15,<10", "--with", "copier-template-extensions>=0.3,<1"]


@dataclass(frozen=True)
class Update:
    """What an update did: from which version to which, what it left open, and what was kept."""

    old: str
    new: str
    changed: bool
    conflicts: list[str]
    kept: list[str]


def uvx(arguments: Sequence[str]) -> None:
    """Run copier in an environment that uv makes for it.

    Raises:
        UpdateError: uv is missing, or copier refuses or fails.
    """
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise UpdateError("uv is not on the PATH: an update runs copier with it.")
    result = subprocess.run(
        [uv, "tool", "run", *_REQUIREMENTS, "copier", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise UpdateError(_last_words(result.stderr))


def update(
    project: Path,
    version: str | None = None,
    answers: Sequence[str] = (),
    *,
    ask: bool = False,
    copier: Copier = uvx,
) -> Update:
    """Bring a project to a version of its template, the newest if none is named.

    Args:
        project: the project's folder; all its files are committed.
        version: a tag of the template.
        answers: answers that change, each as ``key=value``.
        ask: ask the questions that are new, instead of taking their defaults.
        copier: what runs copier.

    Raises:
        UpdateError: the project has changes that are not committed, or copier refuses.
    """
    if git(project, "status", "--porcelain", "--", "."):
        raise UpdateError("Commit or stash your changes first: an update merges with them.")
    before = origin(project)
    command = ["update", "--trust", "--quiet", "--skip-answered"]
    command += [] if ask else ["--defaults"]
    command += ["--vcs-ref", version] if version else []
    for answer in answers:
        command += ["--data", answer]
    copier([*command, str(project)])
    kept = _bring_back_what_was_edited(project, before, copier)
    return Update(
        old=before.version,
        new=origin(project).version,
        changed=git(project, "status", "--porcelain", "--", ".") != "",
        conflicts=paths(project, "diff", "--name-only", "--relative", "--diff-filter=U"),
        kept=kept,
    )


def _bring_back_what_was_edited(project: Path, before: Origin, copier: Copier) -> list[str]:
    """Of the files that are gone, restore those that the old version had rendered otherwise."""
    gone = paths(project, "diff", "--name-only", "--relative", "--diff-filter=D", "HEAD")
    if not gone:
        return []
    git(project, "checkout", "HEAD", "--", *gone)
    with TemporaryDirectory() as folder:
        rendered = Path(folder, "rendered")
        _render(project, before, rendered, copier)
        unedited = [path for path in gone if _same(project / path, rendered / path)]
    for path in unedited:
        _remove(project, project / path)
    return sorted(set(gone) - set(unedited))


def _render(project: Path, before: Origin, folder: Path, copier: Copier) -> None:
    """Copy the project anew, as it was before the update, from the answers that it had then."""
    answers = folder.with_name(ANSWERS)
    answers.write_text(git(project, "show", f"HEAD:./{ANSWERS}"), encoding="utf-8")
    command = ["copy", "--trust", "--quiet", "--defaults", "--vcs-ref", before.version]
    copier([*command, "--data-file", str(answers), before.address, str(folder)])


def _same(mine: Path, rendered: Path) -> bool:
    return rendered.is_file() and mine.is_file() and mine.read_bytes() == rendered.read_bytes()


def _remove(project: Path, path: Path) -> None:
    """Delete a file, and the folders that it leaves empty."""
    path.unlink()
    for folder in path.parents:
        if folder == project or any(folder.iterdir()):
            return
        folder.rmdir()


def _last_words(screen: str) -> str:
    """The sentence in what copier wrote; a validator's ends a traceback, behind class and key."""
    last_line = (screen.strip().splitlines() or ["copier failed and said nothing."])[-1]
    sentence = re.sub(r"^\w+Error: |Validation error for question '\w+': ", "", last_line)
    # It has no default, and nobody is there to be asked.
    return re.sub(r'^Question "(\w+)" is required$', r"Answer \1 as well: -d \1=VALUE.", sentence)
