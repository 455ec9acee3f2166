"""A project that deploys."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from compileall import compile_dir
from dataclasses import dataclass
from pathlib import Path

from tests.support import answers
from tests.support.project import Project

SECRET = "CANARYCANARY"


@dataclass(frozen=True)
class Deploying:
    """A project, and the variables that its commands find."""

    project: Project
    variables: Mapping[str, str]

    def deploy(self, *arguments: str, code: int = 0, env: Mapping[str, str] | None = None) -> str:
        """What `kedro mlflow deploy` says, on one line; no secret is in it."""
        command = ("mlflow", "deploy", *arguments)
        environment = {**self.variables, **(env or {})}
        result = self.project.kedro(*command, code=code, env=environment)
        screen = result.stdout + result.stderr
        assert SECRET not in screen
        return " ".join(screen.split())

    def option(self, old: str, new: str) -> None:
        """Change an option in mlflow.yml."""
        self.project.edit("conf/base/mlflow.yml", old, new)

    def copied(self, where: Path, variables: Mapping[str, str]) -> Deploying:
        """A copy for a test to change, with variables of its own."""
        folder = shutil.copytree(self.project.folder, where / "project")
        return Deploying(Project(folder, self.project.environment), variables)


def deploying(template: Path, folder: Path, given: Mapping[str, str], by: Project) -> Deploying:
    """Render a project, for its commands to run by the environment of another."""
    compile_dir(answers.render(template, folder, given) / "src", quiet=1)
    return Deploying(Project(folder, by.environment), {})
