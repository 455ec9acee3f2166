"""`copier update`, made safe: copier merges, and what the owner wrote stays.

Copier removes a file that the new version or the new answers do without, edited or not. Here it
stays if the owner has edited it, which a second copy of the project's old version shows.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from filecmp import cmpfiles
from pathlib import Path
from tempfile import TemporaryDirectory

from ..disk import FileLock
from ..redaction import mask
from .origin import (
    ANSWERS,
    PLAIN,
    Origin,
    UpdateError,
    environment,
    git,
    meaning_of,
    origin,
    paths_of,
    require_no_changes,
)
from .workspace import workspace

_REQUIREMENTS = ["--from", "copier>=9.15,<10", "--with", "copier-template-extensions>=0.3,<1"]
# Extensions run, which are the template's functions; its tasks do not.
_TRUSTED = ["--trust", "--skip-tasks", "--quiet"]

_NEXT = """

Next:
    git diff                  # {see}
    uv sync                   # install what has changed
    uv run pytest
    git add . && git commit -m "Update from the template"

Or take it back: git checkout HEAD -- . && git clean -fd ."""


@dataclass(frozen=True)
class Update:
    """What an update did: from which version to which, its conflicts, and the files it kept."""

    old: str
    new: str
    address: str
    changed: bool
    conflicts: list[str]
    kept: list[str]

    @property
    def title(self) -> str:
        """The update in a line, without a full stop."""
        if self.old == self.new:
            return f"Render {self.new} of the template with other answers"
        return f"Update from {self.old} to {self.new} of the template"

    def screen(self) -> str:
        """Write for the terminal what has changed, what to look at, and what to type next."""
        if not self.changed:
            return f"Nothing changes: the project is as {self.new} of its template renders it."
        see = "settle what is between the markers" if self.conflicts else "what has changed"
        return self._summary("    {}") + _NEXT.format(see=see)

    def request(self, changelog: str) -> str:
        """Write the text of a merge request in Markdown: title, empty line, and the rest."""
        last = (
            "Your own files (pipelines, catalog, parameters, data) are as they were. Before you "
            "merge, settle conflicts on this branch; after that, run `uv sync`.\n"
        )
        source = f"The template is {self.address}."
        return "\n\n".join(filter(None, (self._summary("- `{}`"), source, changelog, last)))

    def _summary(self, item: str) -> str:
        lists = {
            "Your edits conflict with the template's, between `<<<<<<<` and `>>>>>>>`, in:": (
                self.conflicts
            ),
            "No longer in the template, but kept because you edited them:": self.kept,
        }
        paragraphs = [self.title]
        for heading, paths in lists.items():
            paragraphs += [heading, "\n".join(map(item.format, paths))] if paths else []
        return "\n\n".join(paragraphs)


def run_copier(arguments: Sequence[str]) -> None:
    """Run copier in an environment that uv makes for it; an UpdateError says why it fails."""
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise UpdateError("uv is not on the PATH: an update runs copier with it.")
    command = [uv, "tool", "run", *_REQUIREMENTS, "copier", *arguments]
    result = subprocess.run(command, env=environment(PLAIN), stderr=subprocess.PIPE, check=False)
    if result.returncode != 0:
        # The project's copy is in a folder that goes.
        screen = result.stderr.decode("utf-8", "replace").replace(f"{arguments[-1]}{os.sep}", "")
        is_about_an_answer = re.search(r"for question|is required$", screen.strip())
        raise UpdateError(_sentence_of(screen), "" if is_about_an_answer else screen)


def update(
    project: Path, version: str | None = None, answers: Sequence[str] = (), *, ask: bool = False
) -> Update:
    """Bring a project to a version of its template, the newest if none is named.

    The answers are ``key=value``. With `ask`, questions that are new are asked instead of answered
    by their defaults. An UpdateError says that the project has changes that are not committed, or
    why copier refuses, or that another one is under way.
    """
    lock = git(project, "rev-parse", "--git-path", "kedro-mlflow-update").strip()
    with FileLock(project / lock) as is_alone:
        if not is_alone:
            raise UpdateError("Another update is under way here: nothing was changed.")
        return _update(project, version, answers, ask)


def _update(project: Path, version: str | None, answers: Sequence[str], ask: bool) -> Update:
    require_no_changes(project)
    before = origin(project)
    command = ["update", *_TRUSTED, "--skip-answered"]
    command += [] if ask else ["--defaults"]
    command += ["--vcs-ref", version] if version else []
    command += [f"--data={answer}" for answer in answers]
    with workspace(project) as copy:
        run_copier([*command, str(copy)])
        return Update(
            old=before.version,
            new=origin(copy).version,
            address=mask("", before.address),
            kept=_restore_edited(copy, before),
            changed=git(copy, "status", "--porcelain") != "",
            conflicts=sorted(paths_of(copy, "diff", "--name-only", "--diff-filter=U", "-z")),
        )


def _restore_edited(project: Path, before: Origin) -> list[str]:
    """Of the files that are gone, restore those that the old version had rendered otherwise."""
    gone = paths_of(project, "diff", "--name-only", "--diff-filter=D", "-z", "HEAD")
    if not gone:
        return []
    git(project, "checkout", "HEAD", "--", *gone)
    with TemporaryDirectory() as folder:
        answers, rendered = Path(folder, ANSWERS), Path(folder, "rendered")
        answers.write_text(git(project, "show", f"HEAD:./{ANSWERS}"), encoding="utf-8")
        command = ["copy", *_TRUSTED, "--defaults", "--vcs-ref", before.version]
        run_copier([*command, "--data-file", str(answers), before.address, str(rendered)])
        unedited, *_ = cmpfiles(project, rendered, gone, shallow=False)
    for path in unedited:
        (project / path).unlink()
        with suppress(OSError):  # It ends at the first folder that holds something else.
            os.removedirs((project / path).parent)
    return sorted(set(gone) - set(unedited))


def _sentence_of(screen: str) -> str:
    """Return the sentence in what copier wrote; a validator's ends a traceback, behind its key."""
    if other := re.search(r"(IsADirectory|FileExists)Error: .*: '(.+)'", screen):
        ours, theirs = ("folder", "file") if other[1] == "IsADirectory" else ("file", "folder")
        return (
            f"{other[2]} is a {ours} here and a {theirs} in the template: rename yours, commit, "
            "and update again."
        )
    if conflict := re.search(r"malformed index info 0 .*\t(.+)", screen):
        return (
            f"Your edit of {conflict[1]} conflicts, which copier cannot keep where git names "
            "objects by SHA-256: take it back, commit, update, and make it again."
        )
    line = meaning_of(screen.strip() or "copier failed without a message.")
    sentence = re.sub(r"^\w+Error: |Validation error for question '\w+': ", "", line)
    # The question has no default.
    return re.sub(r'^Question "(\w+)" is required$', r"Answer \1 as well: -d \1=VALUE.", sentence)
