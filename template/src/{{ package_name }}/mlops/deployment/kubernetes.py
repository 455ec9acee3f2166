"""Target `kubernetes`: push the image to a registry, and apply an overlay of deploy/kubernetes."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from ..errors import TrackingError
from .image import build_image, digest_of_push, fetch_model, first_available, push_image
from .steps import Deployment, Step, program_step

FOLDER = Path("deploy") / "kubernetes"
# What differs from one deployment to the next, by the overlay: its owner commits it.
RELEASE = FOLDER / "release"


def plan(deployment: Deployment) -> list[Step]:
    """Plan to build the image, push it, and apply the overlay with it, or commit that.

    Raises:
        TrackingError: the image has no name, there is no such overlay, or a program is missing.
    """
    options, project = deployment.options, deployment.project
    if not options.image:
        raise TrackingError(
            "mlflow.yml: deployment.image is null: set it to the name by which the cluster pulls "
            "the image, such as registry.example.com/team/model."
        )
    overlays = sorted(path.name for path in (project / FOLDER / "overlays").glob("*"))
    if options.overlay not in overlays:
        raise TrackingError(
            f"mlflow.yml: deployment.overlay is {options.overlay}, and "
            f"{FOLDER.as_posix()}/overlays has no such folder (it has: {', '.join(overlays)})."
        )
    if options.canary_percent is not None:
        _require_knative(project / FOLDER / "overlays" / options.overlay)
    if not deployment.commit and not shutil.which("kubectl"):
        raise TrackingError("`kubectl` is not installed: install it to reach the cluster.")
    (engine,) = first_available(("docker",), ("podman",), ("buildah",))
    image = f"{options.image}:{deployment.version.version}"
    folder = RELEASE / options.overlay
    return [
        fetch_model(deployment),
        build_image(deployment, engine, image),
        *push_image(deployment, engine, image),
        _write(deployment, folder / "kustomization.yaml"),
        *(_commit(deployment, folder) if deployment.commit else [_apply(deployment, folder)]),
    ]


def _require_knative(overlay: Path) -> None:
    """Require that an overlay runs on Knative, which alone splits the requests."""
    with (overlay / "kustomization.yaml").open(encoding="utf-8") as file:
        content = yaml.safe_load(file)
    paths = (content.get("resources") or []) + (content.get("components") or [])
    used = {Path(str(path)).name for path in paths}
    for name in used & {"plain", "standard"}:
        raise TrackingError(
            f"mlflow.yml: deployment.canary_percent is set, and the overlay {overlay.name} takes "
            f"{FOLDER.as_posix()}/{name}, which splits no requests: set it to null."
        )


def _apply(deployment: Deployment, folder: Path) -> Step:
    return program_step(
        f"Apply the overlay {deployment.options.overlay}; commit {folder.as_posix()}, which says "
        "what runs.",
        *("kubectl", "apply", "--kustomize", folder.as_posix()),
        folder=deployment.project,
    )


def _commit(deployment: Deployment, folder: Path) -> list[Step]:
    """Plan to commit what is to run if that has changed, and no other change."""
    project, version, path = deployment.project, deployment.version, folder.as_posix()
    add = program_step("Add it to git.", "git", "add", "--", path, folder=project)
    message = f"deploy: {version.name} version {version.version} to {deployment.options.overlay}"
    commit = program_step(
        "Commit it: what brings your repository into the cluster does the rest, once you push.",
        *("git", "commit", "--quiet", "--message", message, "--", path),
        folder=project,
    )

    def run() -> None:
        same = ["git", "diff", "--cached", "--quiet", "--", path]
        if subprocess.run(same, cwd=project, check=False).returncode:
            commit.run()

    return [add, replace(commit, run=run)]


def _write(deployment: Deployment, file: Path) -> Step:
    """Plan to write what differs from one deployment to the next."""
    text = yaml.safe_dump(kustomization(deployment, "the digest of the push"), sort_keys=False)

    def run() -> None:
        content = kustomization(deployment, digest_of_push(deployment.project))
        target = deployment.project / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    return Step(
        "Name the image that the overlay runs, and its share of the requests.",
        f"write {file.as_posix()}:\n      {text.rstrip()}".replace("\n", "\n      "),
        run,
    )


def kustomization(deployment: Deployment, digest: str) -> dict[str, Any]:
    """Make what is added to the overlay: image, version, Kedro environment, share of a canary."""
    options, version = deployment.options, str(deployment.version.version)
    patches: list[dict[str, Any]] = []
    if options.canary_percent is not None:
        share = options.canary_percent
        patches.append(_add("InferenceService", "predictor/canaryTrafficPercent", share))
    if deployment.env:
        variable = {"name": "KEDRO_ENV", "value": deployment.env}
        # The overlay has one of them.
        patches.append(_add("InferenceService", "predictor/containers/0/env/-", variable))
        patches.append(_add("Deployment", "template/spec/containers/0/env/-", variable))
    image = {"name": "model", "newName": options.image, "newTag": version, "digest": digest}
    content: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"../../overlays/{options.overlay}"],
        "images": [image],
        "labels": [{"pairs": {"app.kubernetes.io/version": version}}],
    }
    return content | ({"patches": patches} if patches else {})


def _add(kind: str, path: str, value: object) -> dict[str, Any]:
    patch = yaml.safe_dump([{"op": "add", "path": f"/spec/{path}", "value": value}])
    return {"target": {"kind": kind}, "patch": patch}
