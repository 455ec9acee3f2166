"""Projects that are a version behind their template, with an environment to update them from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import answers, versions
from tests.project.conftest import Project

# Neither this machine's settings nor what Python leaves behind shall matter.
ALONE = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "XDG_CONFIG_HOME": "/nonexistent",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@pytest.fixture(scope="package")
def versions_of_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as a git repository in which every version is tagged."""
    return versions.publish_all(tmp_path_factory.mktemp("versions") / "copier-kedro-mlflow")


@pytest.fixture
def older(versions_of_template: Path, rendered: Project, tmp_path: Path) -> Project:
    """A committed project of the version before the newest."""
    folder = versions.start(versions_of_template, tmp_path / "project", versions.WORKING_TREE)
    return Project(folder, rendered.environment)


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
