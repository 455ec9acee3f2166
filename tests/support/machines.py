"""Machines of an orchestrator: each command gets a disk of its own, which goes with it."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support import answers
from tests.support.contents import contents, differences
from tests.support.project import Project, copy_of

# What the template has of each orchestrator, by the answer.
FOLDERS = {
    "airflow": "airflow",
    "prefect": "prefect",
    "argo": "argo",
    "databricks": "databricks-job",
}


@dataclass(frozen=True)
class Machines:
    """A project whose tasks share nothing but MLflow and the folder TASKS_DATA.

    Attributes:
        disk: The project of every machine, at the same path: that of an input is part of a run.
    """

    project: Project
    disk: Path

    @property
    def variables(self) -> dict[str, str]:
        """What every machine finds in its environment."""
        path = f"{self.project.environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {
            "PATH": path,
            "TASKS_DATA": str(self.disk.parents[1] / "tasks"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.project.folder.as_posix()}/mlflow.db",
            # `uv run`, in the environment that the tests have made.
            "UV_PROJECT_ENVIRONMENT": str(self.project.environment),
            "UV_NO_SYNC": "1",
        }

    def run(self, *command: str, env: Mapping[str, str] | None = None) -> str:
        """Run a program on a machine; what it prints."""
        machine = copy_of(self.project, self.disk.parent)
        try:
            process = machine.fork(*command, env={**self.variables, **(env or {})})
            out, err = process.communicate()
            assert process.poll() == 0, f"{command}\n{out}\n{err}"
            return out.strip()
        finally:
            shutil.rmtree(self.disk.parent)

    def run_line(self, line: str) -> str:
        """Run a line of a shell as `sh -c` does it."""
        program, *words = shlex.split(line)
        if program != "env":
            return self.run(program, *words)
        name, _, value = words[0].partition("=")
        return self.run(*words[1:], env={name: value})


def with_orchestrator(project: Project, name: str) -> Path:
    """Give a project what an answer renders; the folder of it."""
    folder = FOLDERS[name]
    source = answers.REPOSITORY / "template" / "deploy" / folder
    return shutil.copytree(source, project.folder / "deploy" / folder)


def differing(project: Project, run: str, expected: str) -> list[str]:
    """Where a run differs from another, whatever the order of nodes that do not need each other.

    What a node had read before another one made a model depends on it.
    """
    found, other = (contents(project.client, each) for each in (run, expected))
    for each in (found, other):
        each["models"] = [model[:2] for model in each["models"]]
    return differences(found, other)
