"""Target `docker`: a container on this machine, from the compose file in deploy/docker."""

import os
import re

from ..errors import TrackingError
from ..registry.versions import CHAMPION
from .image import FOLDER, arguments_of, fetch_model, first_available, labels_of
from .steps import Deployment, Step, program_step


def plan(deployment: Deployment) -> list[Step]:
    """Plan to build the image and to start it instead of the running container.

    Raises:
        TrackingError: there is no token or no Compose, or the container cannot reach the registry.
    """
    if not os.environ.get("SERVING_TOKEN"):
        raise TrackingError(
            "SERVING_TOKEN is not set: set it to a long random text in the environment or in .env, "
            "such as `openssl rand -hex 32` prints."
        )
    options = deployment.options
    baked = options.model == "baked"
    if not baked:
        _require_reachable_champion(deployment)
    tag = deployment.version.version if baked else CHAMPION
    compose = first_available(
        ("docker", "compose"), ("podman", "compose"), ("docker-compose",), ("podman-compose",)
    )
    files: list[str] = []
    for name in ["compose.yaml"] if baked else ["compose.yaml", "champion.yaml"]:
        files += ["--file", (FOLDER / name).as_posix()]
    if (deployment.project / FOLDER / "compose.override.yaml").is_file():
        files += ["--file", (FOLDER / "compose.override.yaml").as_posix()]
    start = program_step(
        f"Build the image, start it at http://127.0.0.1:{options.port}, and wait until it answers.",
        *(*compose, *files, "up", "--detach", "--build", "--wait"),
        folder=deployment.project,
        variables={
            "IMAGE": f"{options.image}:{tag}",
            **arguments_of(deployment),
            **_labels(deployment, baked),
            "SERVING_PORT": str(options.port),
            **({"KEDRO_ENV": deployment.env} if deployment.env else {}),
        },
    )
    return [fetch_model(deployment), start] if baked else [start]


def _labels(deployment: Deployment, baked: bool) -> dict[str, str]:
    """Return the labels of the image, as compose.yaml takes them; of the model if it holds one."""
    labels = labels_of(deployment)
    names = {name.removeprefix("org.opencontainers.").removeprefix("org."): name for name in labels}
    return {
        "LABEL_" + re.sub(r"\W", "_", short).upper(): labels[name]
        for short, name in names.items()
        if baked or short in ("image.source", "image.revision")
    }


def _require_reachable_champion(deployment: Deployment) -> None:
    """Require a champion that the container can fetch by itself."""
    version = deployment.version
    if deployment.config.server.registry_uri.startswith("sqlite"):
        raise TrackingError(
            "mlflow.yml: deployment.model is champion, and the registry is a file of this machine, "
            "which a container does not see: set it to baked."
        )
    if CHAMPION not in version.aliases:
        raise TrackingError(
            f"mlflow.yml: deployment.model is champion, and version {version.version} is "
            "not: promote it first, or set deployment.model to baked."
        )
