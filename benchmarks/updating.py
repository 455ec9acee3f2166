"""Updating: what three renderings and a merge of this template cost, beside copier's own time."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

from . import project
from .copying import plain_template
from .measure import Command, clean_environment, in_turns
from .project import Project
from .report import Table, ratio

MOST = 1.5

# Copier compares versions, and both templates get the same two.
_TAGS = ("v1.0.0", "v1.1.0")
_NEW_LINE = "# a line of the next version\n"


def measure(repetitions: int, rendered: Project) -> Table:
    """Compare `copier update` of the default project with that of a project as large."""
    copied = rendered.copy("updated-from").folder
    plain = plain_template(copied, project.BENCH / "plain-versions")
    # An update starts from the version that is recorded.
    (plain / "template" / ".copier-answers.yml").unlink()
    recorded = plain / "template" / "{{ _copier_conf.answers_file }}.jinja"
    recorded.write_text("{{ _copier_answers | to_nice_yaml }}", encoding="utf-8")
    ours, theirs = in_turns(repetitions, _update(project.template("versions")), _update(plain))
    files = sum(path.is_file() for path in copied.rglob("*"))
    return Table(
        "Updating a project",
        "From one version to the next, which adds a line to every file; nothing was edited. Theirs "
        "is a template without a thought again, of the same files.",
        [ratio(f"`copier update`, {files} files", ours, theirs, MOST)],
    )


def _update(template: Path) -> Command:
    """The command a user types, in a project of the first version that is committed."""
    _publish(template)
    start, folder = (template.with_name(f"{kind}-of-{template.name}") for kind in ("first", "next"))
    shutil.rmtree(start, ignore_errors=True)
    copy = [*project.copy_command(template, start), "--quiet", "--vcs-ref", _TAGS[0]]
    subprocess.run(copy, env=clean_environment(os.environ), check=True)
    _commit(start)
    copier = project.copy_command(template, start)[0]
    return Command(
        [copier, "update", "--trust", "--defaults", "--quiet"],
        folder,
        before=partial(_anew, start, folder),
    )


def _publish(template: Path) -> None:
    """Make the template a repository of two versions; the second adds a line to every file."""
    _commit(template)
    _git(template, "tag", _TAGS[0])
    for path in (template / "template").rglob("*"):
        if path.is_file():
            with path.open("a", encoding="utf-8") as file:
                file.write(_NEW_LINE)
    _commit(template)
    _git(template, "tag", _TAGS[1])


def _anew(start: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(start, folder)


def _commit(folder: Path) -> None:
    _git(folder, "init", "--quiet")
    _git(folder, "add", "--all")
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    _git(folder, *identity, "commit", "--quiet", "--message", "all of it")


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True)
