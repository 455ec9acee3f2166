"""deploy/tracking-server/kubernetes: the team's server, held to the schemas of Kubernetes."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.support import answers

# A database and a store; whether a volume holds something that cannot be lost.
STORES = {"postgresql-s3": False, "sqlite-local": True, "mysql-azure": True}
STEPS = ("server --replicas 0", "admin --replicas 1", "admin.py restore", "server --replicas 1")


@pytest.fixture(scope="module", params=STORES)
def server(
    request: pytest.FixtureRequest,
    kubectl: str,
    template: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Path, dict[str, Any]]:
    """Which it is, its folder, and its manifests by kind and name."""
    database, store = request.param.split("-")
    given = {"backend_store": database, "artifact_store": store}
    project = answers.render(
        template,
        tmp_path_factory.mktemp("server") / "project",
        {"tracking_preset": "server", "tracking_uri": "https://mlflow.example.com", **given},
        exclude=["/src", "/tests", "/data", "/conf"],
    )
    folder = project / "deploy/tracking-server"
    result = subprocess.run(
        [kubectl, "kustomize", folder / "kubernetes"], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    found = {
        # kustomize adds a digest to a ConfigMap's name.
        each["kind"] + ("" if each["kind"] == "ConfigMap" else f" {each['metadata']['name']}"): each
        for each in yaml.safe_load_all(result.stdout)
    }
    return request.param, folder, found


def pods(manifests: Mapping[str, Any]) -> dict[str, Any]:
    """The pods: of the server, of what happens every day, of the administrator."""
    job = manifests["CronJob mlflow-nightly"]["spec"]["jobTemplate"]
    found = {"nightly": job["spec"]["template"]["spec"]}
    for name in ("server", "admin"):
        found[name] = manifests[f"Deployment mlflow-{name}"]["spec"]["template"]["spec"]
    return found


def test_every_manifest_is_what_kubernetes_knows(
    server: tuple[str, Path, dict[str, Any]],
) -> None:
    _, _, manifests = server
    for manifest in manifests.values():
        kubernetes_validate.validate(manifest, "1.37", strict=True)
        assert manifest["metadata"]["namespace"] == "mlflow"
    assert {name.partition(" ")[0] for name in manifests} == {
        *("ConfigMap", "Service", "PersistentVolumeClaim", "Deployment", "CronJob")
    }


def test_its_pods_have_no_rights_bounds_on_all_they_use_and_data_that_outlive_them(
    server: tuple[str, Path, dict[str, Any]],
) -> None:
    stores, _, manifests = server
    for name, pod in pods(manifests).items():
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"]
        (container,) = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"].keys() == {"cpu", "memory"}
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert ("persistentVolumeClaim" in volumes["data"]) is STORES[stores], name
        # A volume of one machine is read there.
        assert ("affinity" in pod) is (name == "nightly" and STORES[stores])
        claims = [
            volume["persistentVolumeClaim"]["claimName"]
            for volume in pod["volumes"]
            if "persistentVolumeClaim" in volume
        ]
        assert {f"PersistentVolumeClaim {claim}" for claim in claims} <= manifests.keys()
        assert ("mlflow-backups" in claims) is (name != "server")
    assert manifests["Deployment mlflow-admin"]["spec"]["replicas"] == 0


def test_what_the_readme_calls_is_there_and_has_the_backups_that_it_names(
    server: tuple[str, Path, dict[str, Any]],
) -> None:
    _, folder, manifests = server
    text = (folder / "README.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("kubectl ")]
    called = {match for line in lines for match in re.findall(r"(deployment|cronjob)/(\S+)", line)}
    there = {tuple(name.lower().split(" ")) for name in manifests if " mlflow-" in name}
    assert called <= there
    assert {name for _, name in called} == {"mlflow-server", "mlflow-nightly", "mlflow-admin"}
    for line in lines:
        if "/backups" in line:
            assert " exec deployment/mlflow-admin " in line
    mounted = pods(manifests)["admin"]["containers"][0]["volumeMounts"]
    assert "/backups" in {volume["mountPath"] for volume in mounted}
    # A backup is restored while there is no server.
    at = [lines.index(next(line for line in lines if part in line)) for part in STEPS]
    assert at == sorted(at)


def test_no_secret_is_in_a_manifest_and_every_program_in_the_image(
    server: tuple[str, Path, dict[str, Any]],
) -> None:
    _, folder, manifests = server
    given = manifests["ConfigMap"]["data"]
    secret = {"MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_BACKEND_STORE_URI", "DATABASE_PASSWORD"}
    assert not secret & given.keys()
    assert given["MLFLOW_SERVER_ALLOWED_HOSTS"] == "mlflow.example.com"
    dockerfile = (folder / "Dockerfile").read_text(encoding="utf-8")
    for pod in pods(manifests).values():
        (container,) = pod["containers"]
        config, passwords = container["envFrom"]
        assert config["configMapRef"]["name"] == manifests["ConfigMap"]["metadata"]["name"]
        assert passwords == {"secretRef": {"name": "mlflow-server"}}
        requirements = (folder / "requirements.txt").read_text(encoding="utf-8")
        version = container["image"].rpartition(":")[2]
        assert f"mlflow[auth]=={version}\n" in requirements
    # .env may have an address for another place: the pod's own is stronger than the secret.
    (serving,) = pods(manifests)["server"]["containers"]
    own = {each["name"]: each["value"] for each in serving["env"]}
    assert own == {"MLFLOW_HOST": "0.0.0.0", "MLFLOW_PORT": "5000"}
    assert str(serving["ports"][0]["containerPort"]) == own["MLFLOW_PORT"]
    command = pods(manifests)["nightly"]["containers"][0]["command"]
    assert Path(command[1]).name in dockerfile
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "create secret generic mlflow-server --namespace mlflow --from-env-file .env" in text
