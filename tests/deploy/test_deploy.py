"""`kedro mlflow deploy`: the plan that it prints is the plan that it carries out."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.support.stand_ins import Deployable, StandIns

IMAGE = "registry.example.com/team/study"


def steps(screen: str) -> list[str]:
    """The commands and calls of a printed plan."""
    return re.findall(r"^\d+\. .+\n   (.+)$", screen, re.MULTILINE)


def test_docker_fetches_a_version_and_starts_an_image_that_holds_it(
    deployable: Deployable, stand_ins: StandIns
) -> None:
    project = deployable("docker")
    model = project.folder / "deploy/docker/model"
    deploy = ("mlflow", "deploy", "--version", "2")
    dry = project.kedro(*deploy, "--dry-run", env=stand_ins.variables).stdout
    assert not model.exists()
    assert stand_ins.calls() == []

    # What another version has left there goes.
    (model / "code").mkdir(parents=True)
    (model / "code" / "old.py").touch()
    real = project.kedro(*deploy, env=stand_ins.variables).stdout
    assert real == dry
    fetch, start = steps(real)
    assert "models:/diabetes_progression/2" in fetch
    assert (model / "MLmodel").is_file()
    assert not (model / "code" / "old.py").exists()
    assert "IMAGE=diabetes-progression:2" in start
    assert start.endswith(stand_ins.calls()[0])
    assert "CANARY" not in real


def test_kubernetes_pushes_the_champion_and_gives_it_its_share(
    deployable: Deployable, stand_ins: StandIns
) -> None:
    project = deployable("kubernetes")
    project.edit("conf/base/mlflow.yml", "  image: null ", f"  image: {IMAGE} ")
    folder = project.folder / "conf/production"
    folder.mkdir()
    project.write(
        "conf/production/mlflow.yml", "deployment: {overlay: production, canary_percent: 10}\n"
    )
    deploy = ("mlflow", "deploy", "--env", "production")
    dry = project.kedro(*deploy, "--dry-run", env=stand_ins.variables).stdout
    assert stand_ins.calls() == []
    assert project.kedro(*deploy, env=stand_ins.variables).stdout == dry
    build, push, apply = stand_ins.calls()
    assert build.endswith(f"--tag {IMAGE}:1 .")
    assert push == f"docker push {IMAGE}:1"
    assert apply == "kubectl apply --kustomize deploy/kubernetes/release"
    assert [step for step in steps(dry) if step in stand_ins.calls()] == [build, push, apply]
    written = project.folder / "deploy/kubernetes/release/kustomization.yaml"
    release = yaml.safe_load(written.read_text(encoding="utf-8"))
    assert release["resources"] == ["../overlays/production"]
    assert yaml.safe_load(release["patches"][0]["patch"]) == [
        {"op": "add", "path": "/spec/predictor/canaryTrafficPercent", "value": 10},
        {
            "op": "add",
            "path": "/spec/predictor/containers/0/env/-",
            "value": {"name": "KEDRO_ENV", "value": "production"},
        },
    ]


@pytest.mark.parametrize(
    ("target", "edit", "variables", "words"),
    [
        ("docker", None, {"SERVING_TOKEN": ""}, ["SERVING_TOKEN is not set", ".env"]),
        ("docker", ("model: baked ", "model: champion "), {}, ["does not see", "baked"]),
        ("docker", ("target: docker", "target: kubernetes"), {}, ["-d serving_target=kubernetes"]),
        ("docker", ("  port: 8080", "  prot: 8080"), {}, ["'deployment.prot'", "'port'"]),
        ("kubernetes", None, {}, ["deployment.image", "registry.example.com"]),
        (
            "kubernetes",
            ("  image: null ", f"  image: {IMAGE}\n  overlay: moon #"),
            {},
            ["overlay", "moon", "production, staging"],
        ),
    ],
)
def test_what_cannot_be_deployed_is_refused_in_a_sentence_before_anything_is_done(
    target: str,
    edit: tuple[str, str] | None,
    variables: dict[str, str],
    words: list[str],
    deployable: Deployable,
    stand_ins: StandIns,
) -> None:
    project = deployable(target)
    if edit:
        project.edit("conf/base/mlflow.yml", *edit)
    if words[0] == "overlay":
        project.edit("conf/base/mlflow.yml", "  overlay: staging ", "  #")
    if words[-1].endswith("=kubernetes"):
        project.edit("conf/base/mlflow.yml", "  model: baked ", "  #")
        project.edit("conf/base/mlflow.yml", "  port: 8080 ", "  #")
    refused = project.kedro("mlflow", "deploy", code=1, env=stand_ins.variables | variables)
    text = " ".join((refused.stdout + refused.stderr).split())
    assert [word for word in words if word not in text] == []
    assert "Traceback" not in text
    assert stand_ins.calls() == []


def test_a_command_that_fails_ends_the_deployment_and_is_named(
    deployable: Deployable, stand_ins: StandIns
) -> None:
    project = deployable("docker")
    docker = stand_ins.folder / "docker"
    docker.write_text('#!/bin/sh\n[ "$2" = version ] && exit 0\nexit 17\n', encoding="utf-8")
    failed = project.kedro("mlflow", "deploy", code=1, env=stand_ins.variables)
    assert "`docker compose" in failed.stderr
    assert "exit code 17" in " ".join(failed.stderr.split())
