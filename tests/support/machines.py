"""Machines of an orchestrator: each command gets a disk of its own, which goes with it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient

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


def differing(client: MlflowClient, run: str, expected: str) -> list[str]:
    """Where a run differs from another, whatever the order of nodes that do not need each other.

    What a node had read before another one made a model depends on it.
    """
    found, other = (contents(client, each) for each in (run, expected))
    for each in (found, other):
        each["models"] = [model[:2] for model in each["models"]]
    return differences(found, other)


@contextmanager
def networks(count: int) -> Iterator[tuple[str, Sequence[str]]]:
    """Networks of their own, as machines have them; only root can make them.

    Yields:
        The address of this machine, and the file of each network.
    """
    number = os.getpid() % 200
    bridge, host = f"kb{number}", f"10.211.{number}.1"

    def ip(line: str) -> None:
        subprocess.run(["ip", *line.split()], check=True, capture_output=True)

    with ExitStack() as stack:
        ip(f"link add {bridge} type bridge")
        stack.callback(ip, f"link del {bridge}")
        ip(f"addr add {host}/24 dev {bridge}")
        ip(f"link set {bridge} up")
        names = [f"kn{number}-{each}" for each in range(count)]
        for each, name in enumerate(names):
            ip(f"netns add {name}")
            stack.callback(ip, f"netns del {name}")
            ip(f"link add kv{number}-{each} type veth peer name eth0 netns {name}")
            ip(f"link set kv{number}-{each} master {bridge} up")
            ip(f"-n {name} addr add 10.211.{number}.{each + 2}/24 dev eth0")
            ip(f"-n {name} link set eth0 up")
            ip(f"-n {name} link set lo up")
        yield host, [f"/run/netns/{name}" for name in names]
