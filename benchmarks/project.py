"""The projects that are measured: rendered from the default answers, and with less in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .measure import clean_environment

REPOSITORY = Path(__file__).resolve().parent.parent
# Everything that is made here; git ignores it.
BENCH = REPOSITORY / "build" / "bench"

# All of this repository that copier reads.
_TEMPLATE_PARTS = ("copier.yml", "extensions", "includes", "template")

# What the template adds to a Kedro project, in the project and in its package.
_OF_THE_TEMPLATE = ("conf/base/mlflow.yml",)
# What the pipelines import of mlops/ stays; nothing of the rest is imported any more.
_OF_THE_TEMPLATE_IN_PACKAGE = ("cli.py",)


@dataclass(frozen=True)
class Project:
    """A Kedro project in a folder, and the programs of the environment that runs it."""

    folder: Path
    programs: Path

    @property
    def package(self) -> Path:
        """The project's Python package."""
        return next((self.folder / "src").glob("*/settings.py")).parent

    def copy(self, name: str) -> Project:
        """A project of this content that shares the environment; nothing has run in it yet."""
        folder = BENCH / name
        shutil.rmtree(folder, ignore_errors=True)
        leave_out = shutil.ignore_patterns(".venv", "__pycache__", "uv.lock")
        shutil.copytree(self.folder, folder, ignore=leave_out)
        return Project(folder, self.programs)

    def bare(self, name: str) -> Project:
        """A copy without what the template adds to Kedro: the same pipelines, no more."""
        project = self.copy(name)
        added = [project.folder / path for path in _OF_THE_TEMPLATE]
        added += [project.package / path for path in _OF_THE_TEMPLATE_IN_PACKAGE]
        for path in added:
            path.unlink()
        (project.package / "settings.py").write_text("", encoding="utf-8")
        return project

    def without_hook(self, name: str) -> Project:
        """A copy that differs in one line: `HOOKS = ()`."""
        project = self.copy(name)
        settings = project.package / "settings.py"
        lines = settings.read_text(encoding="utf-8").splitlines()
        hooks = [number for number, line in enumerate(lines) if line.startswith("HOOKS = (")]
        lines[hooks.pop()] = "HOOKS = ()"
        settings.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return project

    def versions(self, *names: str) -> dict[str, str]:
        """The installed versions of these distributions."""
        code = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"
        command: list[str | Path] = [self.programs / "python", "-c", code, *names]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return dict(zip(names, answer.split(), strict=True))


def template(name: str = "template") -> Path:
    """The template as it stands in the working tree, in a folder without git."""
    folder = _new_folder(name)
    leave_out = shutil.ignore_patterns("__pycache__", ".*_cache")
    for part in _TEMPLATE_PARTS:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=leave_out)
        else:
            shutil.copy2(source, folder / part)
    return folder


def copy_command(source: Path, folder: Path) -> list[str | Path]:
    """The command that copies a project from a template with the default answers.

    It is a process of its own here too: had this one imported copier, each measured process would
    begin with the memory of that.
    """
    command: list[str | Path] = [Path(sys.executable).with_name("copier"), "copy"]
    options = ["--trust", "--defaults"]
    # The default answers ask for a newer Python than the oldest that works.
    if sys.version_info < (3, 11):
        options += ["--data", "python_version=3.10"]
    return [*command, *options, source, folder]


def rendered() -> Project:
    """The default project, as the template makes it now, with its environment installed."""
    fresh, folder = BENCH / "fresh", BENCH / "project"
    shutil.rmtree(fresh, ignore_errors=True)
    variables = clean_environment(os.environ)
    command = [*copy_command(template(), fresh), "--quiet"]
    subprocess.run(command, env=variables, check=True)
    # The environment of an earlier call stays.
    for kept in (".venv", "uv.lock"):
        if (folder / kept).exists():
            (folder / kept).rename(fresh / kept)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    variables |= {"UV_COMPILE_BYTECODE": "1", "UV_PYTHON": sys.executable}
    subprocess.run(["uv", "sync", "--quiet"], cwd=folder, env=variables, check=True)
    return Project(folder, folder / ".venv" / "bin")


def empty(rendered: Project, name: str) -> Project:
    """A Kedro project with one pipeline and no node in it, in the environment of another."""
    folder = _new_folder(name)
    package = folder / "src" / rendered.package.name
    package.mkdir(parents=True)
    for conf in ("base", "local"):
        (folder / "conf" / conf).mkdir(parents=True)
    # Without the latter, Kedro would ask over the network whether it may report on its use.
    for kept in ("pyproject.toml", ".telemetry"):
        shutil.copy2(rendered.folder / kept, folder / kept)
    for module in ("__init__.py", "settings.py"):
        (package / module).touch()
    (package / "pipeline_registry.py").write_text(
        "from kedro.pipeline import Pipeline\n\n\n"
        "def register_pipelines():\n"
        '    return {"__default__": Pipeline([])}\n',
        encoding="utf-8",
    )
    return Project(folder, rendered.programs)


def _new_folder(name: str) -> Path:
    folder = BENCH / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
