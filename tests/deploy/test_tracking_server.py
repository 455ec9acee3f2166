"""deploy/tracking-server/kubernetes: the team's server, held to the schemas of Kubernetes."""

from __future__ import annotations

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
    """The pods of the server, and of what happens every day."""
    nightly = manifests["CronJob mlflow-nightly"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return {
        "server": manifests["Deployment mlflow-server"]["spec"]["template"]["spec"],
        "nightly": nightly,
    }


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
        assert ("mlflow-backups" in claims) is (name == "nightly")


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
    command = pods(manifests)["nightly"]["containers"][0]["command"]
    assert Path(command[1]).name in dockerfile
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "create secret generic mlflow-server --namespace mlflow --from-env-file .env" in text
