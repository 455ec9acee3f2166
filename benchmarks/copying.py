"""Copying: what the questions, the extensions and the Jinja in the files cost."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import yaml

from . import project
from .measure import Command, in_turns
from .project import Project
from .report import Table, ratio

MOST = 1.5


def measure(repetitions: int, rendered: Project) -> Table:
    """Compare `copier copy` of the default answers with that of a plain template."""
    template = project.template()
    copied = rendered.copy("copied").folder
    plain = plain_template(copied, project.BENCH / "plain")
    ours, theirs = in_turns(repetitions, _copy(template), _copy(plain))
    files = sum(path.is_file() for path in copied.rglob("*"))
    return Table(
        "Copying a project",
        "Theirs is a template that copier copies without a thought: the same files with the same "
        "bytes in them, the same questions with nothing but a default each, no extension and no "
        "Jinja.",
        [ratio(f"`copier copy`, {files} files", ours, theirs, MOST)],
    )


def plain_template(copied: Path, folder: Path) -> Path:
    """Make a template of what another one has rendered."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(copied, folder / "template")
    answers = yaml.safe_load((copied / ".copier-answers.yml").read_text(encoding="utf-8"))
    asked = {
        key: {"type": "yaml" if isinstance(answer, list) else "str", "default": answer}
        for key, answer in answers.items()
        if not key.startswith("_")
    }
    content = yaml.safe_dump({"_subdirectory": "template"} | asked, sort_keys=False)
    (folder / "copier.yml").write_text(content, encoding="utf-8")
    return folder


def _copy(template: Path) -> Command:
    """The command a user types, into a folder that is not there yet."""
    folder = template.with_name(f"copy-of-{template.name}")
    return Command(
        project.copy_command(template, folder),
        project.BENCH,
        before=partial(shutil.rmtree, folder, ignore_errors=True),
    )
