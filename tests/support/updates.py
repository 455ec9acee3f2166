"""What tests of an update do to a project."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.support import answers, versions
from tests.support.project import Project

# Neither this machine's settings nor what Python leaves behind shall matter.
ALONE = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "XDG_CONFIG_HOME": "/nonexistent",
    "PYTHONDONTWRITEBYTECODE": "1",
}


# Examples of environments, which are their owner's from the beginning: only new projects get them.
EXAMPLES = ("conf/production/", "conf/staging/")


def is_in(path: str, folders: Iterable[str]) -> bool:
    """Whether a path is one of these files, or in one of these folders."""
    return any(Path(path).is_relative_to(each) for each in folders)


def status(project: Project) -> str:
    """What git says of the project's files."""
    return answers.git(project.folder, "status", "--porcelain")


def conflict(folder: Path) -> None:
    """Edit the line of mlflow.yml that the next version adds another one behind."""
    file = folder / "conf/base/mlflow.yml"
    file.write_text(file.read_text("utf-8") + "# mine\n", "utf-8")
    versions.commit(folder)


def out_of_reach(folder: Path) -> None:
    """Let the project's template be where nobody answers."""
    file = folder / ".copier-answers.yml"
    text = file.read_text("utf-8")
    address = next(line for line in text.splitlines() if line.startswith("_src_path: "))
    file.write_text(text.replace(address, "_src_path: http://127.0.0.1:9/template.git"), "utf-8")
    versions.commit(folder)
