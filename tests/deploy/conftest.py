"""The trained project with other serving targets, on a machine where nothing is really deployed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support import answers
from tests.support.project import Project, Trained
from tests.support.stand_ins import Deployable, StandIns


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
