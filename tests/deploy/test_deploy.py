"""`kedro mlflow deploy`: the plan that it prints is the plan that it carries out."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

from tests.support.profiles import weekly
from tests.support.project import Project
from tests.support.stand_ins import DIGEST, Deployable, StandIns

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
    assert "LABEL_MLFLOW_MODEL_VERSION=2" in start
    assert "CANARY" not in real


def test_kubernetes_pushes_the_champion_and_gives_it_its_share(
    deployable: Deployable, stand_ins: StandIns
) -> None:
    project = deployable("kubernetes")
    project.edit("conf/base/mlflow.yml", "  image: null ", f"  image: {IMAGE} ")
    folder = project.folder / "conf/production"
    folder.mkdir(exist_ok=True)
    project.write(
        "conf/production/mlflow.yml", "deployment: {overlay: production, canary_percent: 10}\n"
    )
    deploy = ("mlflow", "deploy", "--env", "production")
    dry = project.kedro(*deploy, "--dry-run", env=stand_ins.variables).stdout
    assert stand_ins.calls() == []
    assert project.kedro(*deploy, env=stand_ins.variables).stdout == dry
    build, push, inspect, apply = stand_ins.calls()
    assert build.endswith(f"--tag {IMAGE}:1 .")
    assert "--build-arg=BASE=python:" in build
    assert "--label=org.mlflow.model.version=1 " in build
    assert push == f"docker push {IMAGE}:1"
    assert apply == "kubectl apply --kustomize deploy/kubernetes/release/production"
    assert [step for step in steps(dry) if step in stand_ins.calls()] == [build, push, apply]
    assert inspect.endswith(f"{IMAGE}:1")
    written = project.folder / "deploy/kubernetes/release/production/kustomization.yaml"
    release = yaml.safe_load(written.read_text(encoding="utf-8"))
    assert release["resources"] == ["../../overlays/production"]
    assert release["images"][0]["digest"] == DIGEST
    variable = [
        {"op": "add", "path": path, "value": {"name": "KEDRO_ENV", "value": "production"}}
        for path in (
            "/spec/predictor/containers/0/env/-",
            "/spec/template/spec/containers/0/env/-",
        )
    ]
    share = {"op": "add", "path": "/spec/predictor/canaryTrafficPercent", "value": 10}
    patches = [yaml.safe_load(patch["patch"]) for patch in release["patches"]]
    assert patches == [[share], [variable[0]], [variable[1]]]


def test_what_is_to_run_is_a_commit_of_its_own(deployable: Deployable, stand_ins: StandIns) -> None:
    project = deployable("kubernetes")
    project.edit("conf/base/mlflow.yml", "  image: null ", "  image: docker.io/team/model ")
    for words in (
        ["init", "--quiet"],
        ["config", "user.name", "ada"],
        ["config", "user.email", "ada@example.com"],
        ["add", "--all"],
        ["commit", "--quiet", "--message", "all"],
        ["remote", "add", "origin", "https://ada:CANARY@git.example.com/team/study.git"],
    ):
        git(project, *words)
    head = git(project, "rev-parse", "HEAD").strip()
    project.write("README.md", "changed, and not to be committed\n")
    git(project, "add", "README.md")
    deploy = ("mlflow", "deploy", "--commit")
    dry = project.kedro(*deploy, "--dry-run", env=stand_ins.variables).stdout
    assert project.kedro(*deploy, env=stand_ins.variables).stdout == dry
    assert "CANARY" not in dry
    assert not [call for call in stand_ins.calls() if call.startswith("kubectl")]
    labels = dict(re.findall(r"--label=(\S+?)=(\S+)", stand_ins.calls()[0]))
    assert labels["org.opencontainers.image.source"] == "https://git.example.com/team/study.git"
    assert labels["org.opencontainers.image.revision"] == f"{head}-dirty"
    assert git(project, "log", "-1", "--format=%s").strip() == (
        "deploy: diabetes_progression version 1 to staging"
    )
    release = "deploy/kubernetes/release/staging/kustomization.yaml"
    assert git(project, "show", "--name-only", "--format=").split() == [release]
    assert DIGEST in git(project, "show", f"HEAD:{release}")
    # The same again is no commit.
    project.kedro(*deploy, env=stand_ins.variables)
    assert git(project, "rev-list", "--count", "HEAD").strip() == "2"


def git(project: Project, *words: str) -> str:
    """Run git in a project."""
    result = subprocess.run(
        ["git", *words], cwd=project.folder, check=True, capture_output=True, text=True
    )
    return result.stdout


@pytest.mark.parametrize(
    ("target", "words"),
    [("kubernetes", ["--version", "7"]), pytest.param("docker", [], marks=weekly)],
)
def test_a_plan_needs_no_server(
    target: str, words: list[str], deployable: Deployable, stand_ins: StandIns
) -> None:
    project = deployable(target)
    project.edit("conf/base/mlflow.yml", "  image: ", f"  image: {IMAGE} # ")
    variables = stand_ins.variables | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    deploy = ("mlflow", "deploy", *words)
    # One that answers is believed.
    unknown = ("mlflow", "deploy", "--dry-run", "--version", "99")
    assert "has no version 99" in project.kedro(*unknown, env=stand_ins.variables, code=1).stderr
    (project.folder / "mlflow.db").unlink()
    plan = project.kedro(*deploy, "--dry-run", env=variables).stdout
    assert "could not be asked" in plan
    assert f"{IMAGE}:{(words or ['CHAMPION'])[-1]}" in plan
    project.kedro(*deploy, env=variables, code=1)
    assert stand_ins.calls() == []


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
            ("  image: null ", f"  image: {IMAGE}:latest #"),
            {},
            ["deployment.image", "the model's version is the tag"],
        ),
        (
            "kubernetes",
            ("  image: null ", f"  image: {IMAGE}\n  overlay: moon #"),
            {},
            ["overlay", "moon", "production, staging"],
        ),
        (
            "docker",
            ("  index_url: null", "  index_url: https://ada:CANARY@pypi.example.com/simple"),
            {},
            ["deployment.index_url", "image's history"],
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
    assert "CANARY" not in text
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
