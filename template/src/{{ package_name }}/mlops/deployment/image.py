"""The image of deploy/docker: a version of the model is put into its build context, and built."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ..backend.pages import public
from ..errors import TrackingError
from ..registry.digest import NOTE
from ..registry.versions import download
from ..tracking.capture.sources import commit_and_changes
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
    arguments = [f"--build-arg={name}={value}" for name, value in arguments_of(deployment).items()]
    labels = [f"--label={name}={value}" for name, value in labels_of(deployment).items()]
    return program_step(
        "Build the image.",
        *(engine, "build", *form, "--file", (FOLDER / "Dockerfile").as_posix()),
        *("--target", "baked", *arguments, *labels, "--tag", image, "."),
        folder=deployment.project,
    )


def arguments_of(deployment: Deployment) -> dict[str, str]:
    """Return the build's arguments: the image to build on, and the index of the libraries."""
    options = deployment.options
    base = options.base_image or f"python:{PYTHON}-slim-bookworm"
    return {"BASE": base} | ({"INDEX_URL": options.index_url} if options.index_url else {})


def labels_of(deployment: Deployment) -> dict[str, str]:
    """Return the image's labels: its code, and its version of the model.

    Source: the annotations of the OCI's image specification.
    """
    version, (commit, changed) = deployment.version, commit_and_changes(deployment.project)
    known = {
        "org.opencontainers.image.source": public(_origin(deployment.project)) if commit else "",
        "org.opencontainers.image.revision": commit + ("-dirty" if changed else ""),
        "org.opencontainers.image.version": str(version.version),
        "org.mlflow.model.name": version.name,
        "org.mlflow.model.version": str(version.version),
        "org.mlflow.run.id": str(version.run_id or ""),
    }
    return {name: value for name, value in known.items() if value}


def _origin(folder: Path) -> str:
    """Ask git for the address of a repository's `origin`; empty without one."""
    words = ["git", "remote", "get-url", "origin"]
    asked = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def push_image(deployment: Deployment, engine: str, image: str) -> list[Step]:
    """Plan to push the image; the registry's digest of it is in a file afterwards."""
    file, folder = FOLDER / "digest", deployment.project
    if engine != "docker":
        push = (engine, "push", "--digestfile", file.as_posix(), image)
        return [program_step("Push the image.", *push, folder=folder)]

    words = ("docker", "image", "inspect", "--format", '{{join .RepoDigests " "}}', image)

    def note() -> None:
        asked = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        known = [each.partition("@")[::2] for each in asked.stdout.split()]
        name = _familiar(image.rpartition(":")[0])
        digests = [digest for each, digest in known if _familiar(each) == name]
        (folder / file).write_text("".join(digests[-1:]), encoding="utf-8")

    return [
        program_step("Push the image.", "docker", "push", image, folder=folder),
        Step("Ask for the digest by which the registry knows it.", shlex.join(words), note),
    ]


def _familiar(name: str) -> str:
    """Return the name that Docker gives an image of Docker Hub, whose address it leaves out."""
    return re.sub(r"^((index\.)?docker\.io/)?(library/)?", "", name)


def digest_of_push(project: Path) -> str:
    """Read the digest of the image that was pushed last.

    Raises:
        TrackingError: the push has left none.
    """
    file = project / FOLDER / "digest"
    digest = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise TrackingError("The push has left no digest of the image: push it once more.")
    return digest


def first_available(*candidates: Sequence[str]) -> list[str]:
    """Choose the first command that works: `docker version` fails without its daemon.

    Raises:
        TrackingError: there is none.
    """
    for words in candidates:
        if shutil.which(words[0]):
            asked = subprocess.run([*words, "version"], capture_output=True, check=False)
            if asked.returncode == 0:
                return list(words)
    names = ", ".join(f"`{' '.join(words)}`" for words in candidates)
    raise TrackingError(f"None of {names} works here: install or start one.")
