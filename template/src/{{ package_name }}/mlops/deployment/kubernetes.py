"""Target `kubernetes`: push the image to a registry, and apply an overlay of deploy/kubernetes."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from ..errors import TrackingError
from .image import build_image, fetch_model, first_available
from .steps import Deployment, Step, program_step

FOLDER = Path("deploy") / "kubernetes"


# Not in git: what differs from one deployment to the next.
RELEASE = FOLDER / "release"


def plan(deployment: Deployment) -> list[Step]:
    """Plan to build the image, push it, and apply the overlay with it.

    Raises:
        TrackingError: the image has no name, there is no such overlay, or a program is missing.
    """
    options = deployment.options
    if not options.image:
        raise TrackingError(
            "mlflow.yml: deployment.image is null: set it to the name by which the cluster pulls "
            "the image, such as registry.example.com/team/model."
        )
    overlays = sorted(path.name for path in (deployment.project / FOLDER / "overlays").glob("*"))
    if options.overlay not in overlays:
        raise TrackingError(
            f"mlflow.yml: deployment.overlay is {options.overlay}, and "
            f"{FOLDER.as_posix()}/overlays has no such folder (it has: {', '.join(overlays)})."
        )
    if not shutil.which("kubectl"):
        raise TrackingError("`kubectl` is not installed: install it to reach the cluster.")
    (engine,) = first_available(("docker",), ("podman",), ("buildah",))
    image = f"{options.image}:{deployment.version.version}"
    return [
        fetch_model(deployment),
        build_image(deployment, engine, image),
        program_step("Push the image.", engine, "push", image, folder=deployment.project),
        _write(deployment),
        program_step(
            f"Apply the overlay {options.overlay}.",
            *("kubectl", "apply", "--kustomize", RELEASE.as_posix()),
            folder=deployment.project,
        ),
    ]


def _write(deployment: Deployment) -> Step:
    """Plan to write what differs from one deployment to the next."""
    file = RELEASE / "kustomization.yaml"
    text = yaml.safe_dump(kustomization(deployment), sort_keys=False)
    return Step(
        "Name the image that the overlay runs, and its share of the requests.",
        f"write {file.as_posix()}:\n      {text.rstrip()}".replace("\n", "\n      "),
        partial(_write_text, deployment.project / file, text),
    )


def _write_text(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")


def kustomization(deployment: Deployment) -> dict[str, Any]:
    """Make what is added to the overlay: image, version, Kedro environment, share of a canary."""
    options, version = deployment.options, str(deployment.version.version)
    patches: list[dict[str, Any]] = []
    if options.canary_percent is not None:
        patches.append(_add("canaryTrafficPercent", options.canary_percent))
    if deployment.env:
        patches.append(_add("containers/0/env/-", {"name": "KEDRO_ENV", "value": deployment.env}))
    content: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"../overlays/{options.overlay}"],
        "images": [{"name": "model", "newName": options.image, "newTag": version}],
        "labels": [{"pairs": {"app.kubernetes.io/version": version}}],
    }
    if patches:
        patch = yaml.safe_dump(patches, sort_keys=False)
        content["patches"] = [{"target": {"kind": "InferenceService"}, "patch": patch}]
    return content


def _add(path: str, value: object) -> dict[str, Any]:
    return {"op": "add", "path": f"/spec/predictor/{path}", "value": value}
