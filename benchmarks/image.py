"""The serving image: how large it is beside the one of MLflow's generated Dockerfile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import project
from .measure import clean_environment
from .project import Project
from .report import Row, Table

MOST = 0.7
MODEL = "models:/diabetes_progression@champion"
# Nothing of a container that is built needs to be kept apart from this machine.
BUILD = ("buildah", "build", "--quiet", "--isolation", "chroot", "--format", "docker")


def measure(repetitions: int, rendered: Project) -> Table:
    """Build both images, once: a size does not vary."""
    title = "The serving image"
    if not all(map(shutil.which, ("buildah", "debootstrap"))):
        return Table(title, "Not measured: buildah and debootstrap are not installed here.", [])
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    exact = f"{version}.{sys.version_info.micro}"
    bases = (f"python:{version}-slim-bookworm", f"python:{exact}-slim")
    _run(sys.executable, project.REPOSITORY / "scripts" / "base_image.py", *bases)
    trained = _trained(rendered)
    theirs = project.BENCH / "mlflow-image"
    _mlflow(trained, "models", "generate-dockerfile", "-m", MODEL, "-d", theirs)
    model = trained.folder / "deploy" / "docker" / "model"
    _mlflow(trained, "artifacts", "download", "-u", MODEL, "-d", model)
    _run(
        *(*BUILD, "--file", "deploy/docker/Dockerfile", "--target", "baked"),
        *("--build-arg", f"BASE=python:{version}-slim-bookworm", "--tag", "bench-ours", "."),
        folder=trained.folder,
    )
    _run(*BUILD, "--tag", "bench-theirs", ".", folder=theirs)
    ours, others, base = (_size(image) for image in ("bench-ours", "bench-theirs", bases[0]))
    return Table(
        title,
        "Theirs is built from the Dockerfile that `mlflow models generate-dockerfile` writes for "
        "the same version of the model. Both are on the same base, Debian by debootstrap with this "
        "machine's Python, in place of the official image; sizes are those of all files.",
        [
            _row("image", ours, others, MOST),
            _row("image, without what the base has", ours - base, others - base),
        ],
    )


def _trained(rendered: Project) -> Project:
    """A project for docker with a champion, in the environment of the default one."""
    folder = project.BENCH / "docker"
    shutil.rmtree(folder, ignore_errors=True)
    command = project.copy_command(project.template(), folder)
    _run(*command, "--quiet", "--data", "serving_target=docker")
    shutil.copy2(rendered.folder / "uv.lock", folder)
    _run(rendered.programs / "kedro", "run", folder=folder)
    return Project(folder, rendered.programs)


def _mlflow(trained: Project, *arguments: str | Path) -> None:
    """Call MLflow on the project's database."""
    uri = f"sqlite:///{trained.folder}/mlflow.db"
    _run(trained.programs / "mlflow", *arguments, MLFLOW_TRACKING_URI=uri)


def _run(*command: str | Path, folder: Path | None = None, **variables: str) -> str:
    environment = clean_environment(os.environ) | variables
    return subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()


def _size(image: str) -> float:
    """All files of an image, in megabytes."""
    with _mounted(image) as root:
        kilobytes = _run("du", "--summarize", "--apparent-size", "--block-size=1000", root)
    return int(kilobytes.split()[0]) / 1000


@contextmanager
def _mounted(image: str) -> Iterator[Path]:
    container = _run("buildah", "from", image)
    try:
        yield Path(_run("buildah", "mount", container))
    finally:
        _run("buildah", "rm", container)


def _row(what: str, ours: float, theirs: float, at_most: float | None = None) -> Row:
    share = ours / theirs
    return Row(
        what,
        f"{ours:,.0f} MB",
        f"{theirs:,.0f} MB",
        f"{share:.2f} x",
        f"at most {at_most:g} x" if at_most else "",
        share <= at_most if at_most else None,
    )
