"""deploy/kubernetes: what kustomize makes of it, held to the schemas of Kubernetes and KServe."""

from __future__ import annotations

import re
import shutil
import subprocess
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
DIGEST = f"sha256:{'0' * 64}"
# What an owner writes into an overlay to run it another way.
WAYS = {
    "knative": {},
    "standard": {"components: []": "components: [../../standard]"},
    "plain": {
        "[../../base]": "[../../plain]",
        "components: []": "components: [../../pod-monitor]",
    },
}
# What of a predictor is KServe's own; the rest is a pod of Kubernetes.
OF_KSERVE = {
    *("annotations", "labels", "minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"),
    *("containerConcurrency", "timeout", "canaryTrafficPercent"),
}


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Schema:
    """KServe's."""
    return Schema.fetch(tmp_path_factory.mktemp("kserve"))


@pytest.fixture(scope="module")
def folders(template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """deploy/kubernetes for each way to run it, with what `kedro mlflow deploy` writes."""
    project = tmp_path_factory.mktemp("kubernetes") / "knative"
    given = {"serving_target": "kubernetes", "project_name": "Churn"}
    answers.render(template, project, given, exclude=["/src", "/tests", "/data", "/conf"])
    folders = {}
    for way, changes in WAYS.items():
        if way != project.name:
            shutil.copytree(project, project.with_name(way))
        folder = folders[way] = project.with_name(way) / "deploy/kubernetes"
        for file in folder.glob("overlays/*/kustomization.yaml"):
            text = file.read_text(encoding="utf-8")
            for old, new in changes.items():
                assert text.count(old) == 1
                text = text.replace(old, new)
            file.write_text(text, encoding="utf-8")
        options = SimpleNamespace(
            overlay="production",
            image="registry.example.com/team/churn",
            canary_percent=10 if way == "knative" else None,
        )
        version = SimpleNamespace(version=3)
        deployment = SimpleNamespace(options=options, version=version, env="production")
        content = room("deployment.kubernetes").kustomization(deployment, DIGEST)
        release = folder / "release/production/kustomization.yaml"
        release.parent.mkdir(parents=True, exist_ok=True)
        release.write_text(yaml.safe_dump(content), encoding="utf-8")
    return folders


@pytest.fixture(scope="module")
def folder(folders: dict[str, Path]) -> Path:
    """deploy/kubernetes as it is rendered."""
    return folders["knative"]


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
def by_way(
    kubectl: str, folders: dict[str, Path]
) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Every overlay, and the one that is deployed, for each way to run it."""
    return {
        way: {name: rendered(kubectl, folder / "overlays" / name) for name in OVERLAYS}
        | {"release": rendered(kubectl, folder / "release/production")}
        for way, folder in folders.items()
    }


@pytest.fixture(scope="module")
def manifests(
    by_way: dict[str, dict[str, dict[str, dict[str, Any]]]],
) -> dict[str, dict[str, dict[str, Any]]]:
    """Those of Knative, as they are rendered."""
    return by_way["knative"]


def problems(schema: Schema, manifest: Mapping[str, Any]) -> list[str]:
    """What is wrong with a manifest, strictly: no schema knows it, or wants it otherwise."""
    try:
        if manifest["kind"] == "PodMonitor":
            return []  # Its schema is the operator's, which no package here has.
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


KINDS = {
    "knative": {"InferenceService"},
    "standard": {"InferenceService"},
    "plain": {"Deployment", "Service", "HorizontalPodAutoscaler", "PodMonitor"},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [*OVERLAYS, "release"])
def test_every_manifest_is_what_kubernetes_and_kserve_know(
    way: str, name: str, by_way: dict[str, dict[str, dict[str, dict[str, Any]]]], schema: Schema
) -> None:
    kinds = by_way[way][name]
    assert kinds.keys() == KINDS[way] | {"NetworkPolicy", "PodDisruptionBudget"}
    assert {kind: problems(schema, manifest) for kind, manifest in kinds.items()} == {
        kind: [] for kind in kinds
    }


def pod_of(kinds: Mapping[str, Any]) -> dict[str, Any]:
    """The pod of a model, whoever makes it."""
    if "Deployment" in kinds:
        pod: dict[str, Any] = kinds["Deployment"]["spec"]["template"]["spec"]
        return pod
    predictor: dict[str, Any] = kinds["InferenceService"]["spec"]["predictor"]
    return predictor


@pytest.mark.parametrize("name", [*OVERLAYS, "release"])
def test_a_model_runs_the_same_with_kserve_and_without(
    name: str, by_way: dict[str, dict[str, dict[str, dict[str, Any]]]]
) -> None:
    knative, standard, plain = (by_way[way][name] for way in WAYS)
    (with_kserve,), (without,) = pod_of(knative)["containers"], pod_of(plain)["containers"]
    assert pod_of(standard)["containers"] == [with_kserve]
    for part in ("image", "resources", "securityContext", "volumeMounts"):
        assert with_kserve[part] == without[part], part
    # /v2 is KServe's own: there the image is told of it.
    env = [each for each in with_kserve["env"] if each["name"] != "PROTOCOL"]
    assert env == without["env"]
    assert pod_of(plain)["volumes"] == pod_of(knative)["volumes"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert with_kserve[probe]["httpGet"]["path"] == without[probe]["httpGet"]["path"]
    scale = plain["HorizontalPodAutoscaler"]["spec"]
    assert scale["maxReplicas"] == pod_of(knative)["maxReplicas"]
    assert scale["minReplicas"] == max(1, pod_of(knative)["minReplicas"])


@pytest.mark.parametrize("name", OVERLAYS)
def test_without_kserve_every_part_finds_the_pods(
    name: str, by_way: dict[str, dict[str, dict[str, dict[str, Any]]]]
) -> None:
    kinds = by_way["plain"][name]
    deployment = kinds["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    selectors = {
        "Deployment": deployment["spec"]["selector"]["matchLabels"],
        "Service": kinds["Service"]["spec"]["selector"],
        "PodMonitor": kinds["PodMonitor"]["spec"]["selector"]["matchLabels"],
        "NetworkPolicy": kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        "PodDisruptionBudget": kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    }
    assert {kind for kind, wanted in selectors.items() if not wanted.items() <= labels} == set()
    scaled = kinds["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) == ("Deployment", deployment["metadata"]["name"])
    # The autoscaler alone decides how many there are.
    assert "replicas" not in deployment["spec"]
    (container,) = pod_of(kinds)["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": 8080, "metrics": 8082}
    assert kinds["Service"]["spec"]["ports"][0]["targetPort"] == "http"
    (endpoint,) = kinds["PodMonitor"]["spec"]["podMetricsEndpoints"]
    assert endpoint["portNumber"] == ports["metrics"]
    allowed = {
        port["port"] for rule in kinds["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]
    }
    assert allowed == {*ports.values()}


def test_standard_mode_asks_for_nothing_that_only_knative_can(
    by_way: dict[str, dict[str, dict[str, dict[str, Any]]]],
) -> None:
    for kinds in by_way["standard"].values():
        service = kinds["InferenceService"]
        assert service["metadata"]["annotations"] == {
            "serving.kserve.io/deploymentMode": "RawDeployment"
        }
        predictor = service["spec"]["predictor"]
        assert predictor["scaleMetric"] == "cpu"
        assert not {"containerConcurrency", "canaryTrafficPercent"} & predictor.keys()
        (requests, _) = kinds["NetworkPolicy"]["spec"]["ingress"]
        assert requests["ports"] == [{"port": 8080}]


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
    assert predictor["containers"][0]["image"] == f"registry.example.com/team/churn:3@{DIGEST}"
    assert predictor["canaryTrafficPercent"] == 10
    assert {"name": "KEDRO_ENV", "value": "production"} in predictor["containers"][0]["env"]
    assert service["metadata"]["labels"]["app.kubernetes.io/version"] == "3"


@pytest.mark.parametrize(("package", "is_long"), [("a" * 22, False), ("a" * 23, True)])
def test_a_name_that_is_too_long_for_standard_mode_is_said(
    template: Path, tmp_path: Path, package: str, is_long: bool
) -> None:
    given = {"serving_target": "kubernetes", "package_name": package}
    exclude = ["/src", "/tests", "/data", "/conf"]
    project = answers.render(template, tmp_path / "project", given, exclude=exclude)
    readme = (project / "deploy/kubernetes/README.md").read_text(encoding="utf-8")
    assert ("Give each overlay a shorter `namespace`" in readme) is is_long


@pytest.mark.parametrize(
    ("resources", "components", "refused"),
    [
        ("[../../base]", "[]", ""),
        ("[../../base/]", "", ""),
        ("[../../plain]", "[]", "plain"),
        ("[../../base]", "[../../standard/]", "standard"),
    ],
)
def test_a_share_of_the_requests_needs_knative(
    tmp_path: Path, resources: str, components: str, refused: str
) -> None:
    text = f"resources: {resources}\ncomponents: {components}\n"
    (tmp_path / "kustomization.yaml").write_text(text, "utf-8")
    require_knative = room("deployment.kubernetes")._require_knative
    if not refused:
        require_knative(tmp_path)
        return
    with pytest.raises(room("errors").TrackingError, match=f"{refused}, which splits no requests"):
        require_knative(tmp_path)


def test_a_secret_is_referred_to_and_never_there(folder: Path) -> None:
    texts = {path: path.read_text("utf-8") for path in folder.rglob("*") if path.is_file()}
    assert not any(re.search(r"^kind: Secret|stringData", text, re.M) for text in texts.values())
    service = yaml.safe_load(texts[folder / "base/inference-service.yaml"])
    environment = service["spec"]["predictor"]["containers"][0]["env"]
    token = next(each for each in environment if each["name"] == "SERVING_TOKEN")
    assert token["valueFrom"]["secretKeyRef"] == {"name": "churn-serving", "key": "token"}
    # README makes it by this name.
    assert "secret generic churn-serving " in texts[folder / "README.md"]
