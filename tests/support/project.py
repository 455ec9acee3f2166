"""A rendered project: how it is installed, copied, run and looked at."""

from __future__ import annotations

import filecmp
import os
import shutil
import struct
import subprocess
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from subprocess import PIPE
from tempfile import TemporaryFile
from typing import IO

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.support import answers
from tests.support.forked_kedro import Forked, forks_of
from tests.support.machine import free_port
from tests.support.processes import wait_until
from tests.support.started import STARTED, Started

PACKAGE = "diabetes_progression"

# What a run, an environment and git leave behind: a copy of the project starts without. What Python
# has compiled goes along, or each copy's first command would compile it all again.
LEFT_BEHIND = shutil.ignore_patterns(
    ".git", ".venv", ".kedro_mlflow", "mlartifacts", "mlflow.db", ".*_cache"
)


@dataclass(frozen=True)
class Project:
    """A rendered project in a folder, and the environment that runs it."""

    folder: Path
    environment: Path

    def variables(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """This process's environment without what would point a run elsewhere."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name == "PYTEST_DEBUG_TEMPROOT"
            or not name.startswith(("MLFLOW_", "KEDRO_", "PYTHON", "PYTEST", "VIRTUAL_ENV", "CI"))
        }
        return kept | {"COLUMNS": "200"} | dict(extra or {})

    def start(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        screen: int | IO[str] = PIPE,
        cwd: str = "",
    ) -> subprocess.Popen[str]:
        """Start a program of the project's environment, in a process group of its own."""
        return subprocess.Popen(
            [self.environment / "bin" / command[0], *command[1:]],
            cwd=self._place(env, cwd),
            env=self.variables(env),
            stdin=subprocess.DEVNULL,  # Nobody is there to be asked.
            stdout=screen,
            stderr=screen,
            text=True,
            start_new_session=True,
        )

    def run(
        self, *command: str, code: int = 0, env: Mapping[str, str] | None = None, cwd: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the project's environment to its end; its exit code must be `code`."""
        process = self.start(*command, env=env, cwd=cwd)
        out, err = process.communicate(timeout=300)
        assert process.returncode == code, f"{command}: {process.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def _place(self, env: Mapping[str, str] | None, cwd: str) -> Path:
        """The working directory, below the project or anywhere; what is started is remembered."""
        place = self.folder / cwd
        place.mkdir(exist_ok=True)
        STARTED.append(Started(self.folder, place, dict(env or {})))
        return place

    def fork(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        screen: Path | None = None,
        cwd: str = "",
    ) -> Forked:
        """Start `kedro`, `mlflow`, `pytest` or `python` in a fork that has the imports done.

        `python` takes a script or `-m`; the server of `mlflow` is this one process.
        """
        place = self._place(env, cwd)
        return forks_of(self.environment).start(command, place, self.variables(env), screen)

    def forked(
        self, *command: str, code: int = 0, env: Mapping[str, str] | None = None, cwd: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run one of these programs to its end, in a fork; its exit code must be `code`."""
        process = self.fork(*command, env=env, cwd=cwd)
        out, err = process.communicate()
        assert process.returncode == code, f"{command}: {process.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(command, code, out, err)

    def kedro(
        self, *arguments: str, code: int = 0, env: Mapping[str, str] | None = None, cwd: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of Kedro's to its end, in a fork; its exit code must be `code`."""
        return self.forked("kedro", *arguments, code=code, env=env, cwd=cwd)

    def script(self, source: str, env: Mapping[str, str] | None = None) -> list[str]:
        """Run a Python program in the project's folder, in a fork; the lines that it prints."""
        self.write("script.py", source)
        return self.forked("python", "script.py", env=env).stdout.splitlines()

    def write(self, path: str, content: str) -> None:
        """Write a file of the project."""
        (self.folder / path).write_text(content, encoding="utf-8")

    def read(self, path: str) -> str:
        """The text of a file of the project."""
        return (self.folder / path).read_text(encoding="utf-8")

    def edit(self, path: str, old: str, new: str, times: int = 1) -> None:
        """Replace a text that stands once in a file of the project, or as many times as is said."""
        content = self.read(path)
        assert content.count(old) == times, f"{path} holds {content.count(old)} times: {old}"
        self.write(path, content.replace(old, new))

    @property
    def client(self) -> MlflowClient:
        """MLflow's client of the database in the project."""
        return MlflowClient(f"sqlite:///{self.folder.as_posix()}/mlflow.db")

    def runs(self, client: MlflowClient | None = None) -> Sequence[Run]:
        """All tracked runs, the newest first."""
        client = client or self.client
        return client.search_runs([found.experiment_id for found in client.search_experiments()])


def install(template: Path, where: Path, **given: str) -> Project:
    """A project fresh from the template, with its environment installed."""
    folder = answers.render(template, where / "project", given)
    variables = dict(os.environ)
    variables.pop("VIRTUAL_ENV", None)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["uv", "sync", "--quiet"], cwd=folder, env=variables, check=True)
    subprocess.run([".venv/bin/python", "-m", "compileall", "-q", "src"], cwd=folder, check=True)
    share_compiled(folder / ".venv")
    return Project(folder, folder / ".venv")


def share_compiled(environment: Path) -> None:
    """Give an environment what Python has compiled in this one, of the files that are the same.

    What is compiled names its file's time. Two wheels bring most files of MLflow: whichever uv
    unpacks last gives them its own.
    """
    here = Path(sysconfig.get_path("purelib"))
    (there,) = environment.glob("lib/python*/site-packages")

    def stamp(source: Path) -> bytes:
        found = source.stat()
        return struct.pack("<II", int(found.st_mtime), found.st_size)

    for made in here.rglob("__pycache__/*.pyc"):
        source = made.parent.with_name(f"{made.name.partition('.')[0]}.py")
        other, target = (there / each.relative_to(here) for each in (source, made))
        if target.exists() or not (source.is_file() and other.is_file()):
            continue
        content = made.read_bytes()
        is_same = source.samefile(other) or filecmp.cmp(source, other, shallow=False)
        if is_same and content[8:16] == stamp(source):
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(content[:8] + stamp(other) + content[16:])


@dataclass(frozen=True)
class Trained:
    """A project in which training ran twice and a batch was scored, and what the screen showed.

    Attributes:
        model_files: what the champion's folder held before anything loaded it.
    """

    project: Project
    first: str
    second: str
    scoring: str
    model_files: frozenset[str]


def copy_of(project: Project, where: Path) -> Project:
    """A copy with no run in it, which shares the environment."""
    folder = where / "project"
    shutil.copytree(project.folder, folder, ignore=LEFT_BEHIND)
    return Project(folder, project.environment)


def call_it(project: Project, name: str) -> None:
    """Give a project's experiment and registered model a name that no other test uses."""
    for indent in ("  ", "    "):
        old = f"\n{indent}name: {PACKAGE}\n"
        project.edit("conf/base/mlflow.yml", old, f"\n{indent}name: {name}\n")


def files_of(project: Project, alias: str) -> Path:
    """The folder of the version of the model that carries an alias."""
    version = project.client.get_model_version_by_alias(PACKAGE, alias).version
    uri = project.client.get_model_version_download_uri(PACKAGE, str(version))
    return Path(uri.removeprefix("file://"))


@contextmanager
def listening(
    project: Project,
    *command: str,
    url: str,
    env: Mapping[str, str] | None = None,
    cwd: str = "",
    forked: bool = False,
    log: Path | None = None,
) -> Iterator[Forked | subprocess.Popen[str]]:
    """Start a server, wait until its address answers, and stop all of its processes at the end.

    One of Kedro's always starts in a fork, which may print into a `log`.
    """
    # Not a pipe: a server that nobody reads from stops when it is full.
    with TemporaryFile("w+") as screen:
        process: Forked | subprocess.Popen[str]
        if forked or command[0] == "kedro":
            process = project.fork(*command, env=env, screen=log, cwd=cwd)
        else:
            process = project.start(*command, env=env, screen=screen, cwd=cwd)
        try:
            wait_until(lambda: answers_at(url) or process.poll() is not None)
            if process.poll() is not None:
                screen.seek(0)
                pytest.fail(f"{command}: {screen.read()}{process.communicate()}")
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, SIGTERM)
            process.communicate(timeout=30)


@contextmanager
def tracking_server(
    project: Project, folder: Path, database: str = "", root: str = ""
) -> Iterator[str]:
    """A real tracking server with artifacts in a folder of its own, and so its database.

    With a `root`, clients store artifacts there themselves.
    """
    port = free_port()
    files = ("--artifacts-destination", str(folder / "artifacts"))
    url = f"http://127.0.0.1:{port}"
    with listening(
        project,
        *("mlflow", "server", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", database or f"sqlite:///{folder}/server.db"),
        *(("--no-serve-artifacts", "--default-artifact-root", root) if root else files),
        url=f"{url}/health",
        env={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        forked=True,
    ):
        yield url


def answers_at(url: str) -> bool:
    """Whether an address answers with success."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
