"""The image of deploy/docker: a version of the model is put into its build context, and built."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import TrackingError
from ..registry.digest import NOTE
from ..registry.versions import download
from .steps import Deployment, Step, program_step

FOLDER = Path("deploy") / "docker"


PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def fetch_model(deployment: Deployment) -> Step:
    """Plan to copy the version's files into the build context, and to remove another version's.

    Raises:
        TrackingError: the image could not be built from this project.
    """
    if not (deployment.project / "uv.lock").is_file():
        raise TrackingError("There is no uv.lock, which pins the image's libraries: run `uv lock`.")
    version, folder = deployment.version, FOLDER / "model"

    def run() -> None:
        source, target = download(version, deployment.config.server), deployment.project / folder
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        known = {"model_name": version.name, "model_version": str(version.version)}
        (target / NOTE).write_text(json.dumps(known), encoding="utf-8")

    return Step(
        f"Fetch version {version.version} of the model '{version.name}'.",
        f"copy models:/{version.name}/{version.version} to {folder.as_posix()}",
        run,
    )


def build_image(deployment: Deployment, engine: str, image: str) -> Step:
    """Plan the build of the image that holds the model."""
    # The default format of the others has no health check.
    form = [] if engine == "docker" else ["--format", "docker"]
    return program_step(
        "Build the image.",
        *(engine, "build", *form, "--file", (FOLDER / "Dockerfile").as_posix()),
        *("--target", "baked", "--build-arg", f"PYTHON={PYTHON}", "--tag", image, "."),
        folder=deployment.project,
    )


def first_available(*candidates: Sequence[str]) -> list[str]:
    """Choose the first command that is installed and prints its version.

    Raises:
        TrackingError: there is none.
    """
    for words in candidates:
        if shutil.which(words[0]):
            asked = subprocess.run([*words, "version"], capture_output=True, check=False)
            if asked.returncode == 0:
                return list(words)
    names = ", ".join(f"`{' '.join(words)}`" for words in candidates)
    raise TrackingError(f"None of {names} works here: install one of them.")
