"""The trained project with other serving targets, on a machine where nothing is really deployed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

from tests import answers
from tests.project.conftest import Project, Trained

Deployable: TypeAlias = Callable[[str], Project]


@dataclass(frozen=True)
class StandIns:
    """Programs that write down how they are called: no test starts a container or asks a cluster.

    Attributes:
        variables: an environment in which they are found first.
    """

    folder: Path
    variables: dict[str, str]

    def calls(self) -> list[str]:
        """How they were called, other than for their versions."""
        file = self.folder / "calls"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [line for line in lines if not line.endswith(" version")]


@pytest.fixture
def stand_ins(tmp_path: Path) -> StandIns:
    """Docker and kubectl, of which nothing is real but the name."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("docker", "kubectl"):
        program = folder / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> {folder}/calls\n', encoding="utf-8")
        program.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return StandIns(folder, {"PATH": path, "SERVING_TOKEN": "CANARY-token"})


@pytest.fixture
def deployable(trained: Trained, template: Path, tmp_path: Path) -> Deployable:
    """Render a project of a target, with the runs and the environment of the trained one."""

    def render(target: str) -> Project:
        project = answers.render(template, tmp_path / target, {"serving_target": target})
        for name in ("mlflow.db", "uv.lock"):
            shutil.copy(trained.project.folder / name, project)
        return Project(project, trained.project.environment)

    return render
