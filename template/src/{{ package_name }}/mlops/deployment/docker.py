"""Target `docker`: a container on this machine, by the compose file of deploy/docker."""

import os

from ..errors import TrackingError
from ..registry.versions import CHAMPION
from .image import FOLDER, PYTHON, fetch, first_that_works
from .plan import Deployment, Step, command


def plan(deployment: Deployment) -> list[Step]:
    """Plan to build the image and to start it in place of what runs.

    Raises:
        TrackingError: there is no token, no Compose, or no way from the container to the registry.
    """
    if not os.environ.get("SERVING_TOKEN"):
        raise TrackingError(
            "SERVING_TOKEN is not set: give it a long random text in the environment or in .env, "
            "as `openssl rand -hex 32` prints."
        )
    options = deployment.options
    baked = options.model == "baked"
    if not baked:
        _require_reachable_champion(deployment)
    tag = deployment.version.version if baked else CHAMPION
    compose = first_that_works(
        ("docker", "compose"), ("podman", "compose"), ("docker-compose",), ("podman-compose",)
    )
    files: list[str] = []
    for name in ["compose.yaml"] if baked else ["compose.yaml", "champion.yaml"]:
        files += ["--file", (FOLDER / name).as_posix()]
    if (deployment.project / FOLDER / "compose.override.yaml").is_file():
        files += ["--file", (FOLDER / "compose.override.yaml").as_posix()]
    start = command(
        f"Build the image, start it at http://127.0.0.1:{options.port}, and wait until it answers.",
        *(*compose, *files, "up", "--detach", "--build", "--wait"),
        folder=deployment.project,
        variables={
            "IMAGE": f"{options.image}:{tag}",
            "PYTHON": PYTHON,
            "SERVING_PORT": str(options.port),
            **({"KEDRO_ENV": deployment.env} if deployment.env else {}),
        },
    )
    return [fetch(deployment), start] if baked else [start]


def _require_reachable_champion(deployment: Deployment) -> None:
    """Refuse what a container that fetches the champion by itself cannot do."""
    version = deployment.version
    if deployment.config.server.registry_uri.startswith("sqlite:"):
        raise TrackingError(
            "mlflow.yml: deployment.model is champion, and the registry is a file of this machine, "
            "which a container does not see: make it baked."
        )
    if CHAMPION not in version.aliases:
        raise TrackingError(
            f"mlflow.yml: deployment.model is champion, and version {version.version} is not it: "
            "promote it first, or make deployment.model baked."
        )
