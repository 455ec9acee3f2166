"""deploy/docker: the image and its compose file, as far as they can be seen without a build."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from tests.support import answers
from tests.support.answers import Render
from tests.support.rooms import room

# One sheet for each set of variables that a container may have to be told.
SHEETS = {
    **{
        preset: answers.coherent({"tracking_preset": preset})
        for preset in answers.choices(answers.questions()["tracking_preset"])
    },
    "local-postgresql-s3": {"backend_store": "postgresql", "artifact_store": "s3"},
    "local-mysql-azure": {"backend_store": "mysql", "artifact_store": "azure"},
}


@pytest.fixture(scope="module")
def projects(template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A project for each sheet, without its code."""
    where = tmp_path_factory.mktemp("images")
    return {
        name: answers.render(
            template,
            where / name,
            {**sheet, "serving_target": "docker"},
            exclude=["/src", "/tests", "/data"],
        )
        for name, sheet in SHEETS.items()
    }


def read(project: Path, name: str) -> str:
    """A file of deploy/docker."""
    return (project / "deploy/docker" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("model", True),
        ("team/model", True),
        ("localhost:5000/model", True),
        ("Registry.example.com:5000/team/my__model.v-2", True),
        ("1234.dkr.ecr.eu-west-1.amazonaws.com/team/model", True),
        ("", False),
        ("registry.example.com/team/model:latest", False),
        ("registry.example.com:5000/model:3", False),
        (f"team/model@sha256:{'0' * 64}", False),
        ("https://registry.example.com/model", False),
        ("registry.example.com/Team/model", False),
        ("team/model/", False),
        ("team/-model", False),
        ("my model", False),
    ],
)
@pytest.mark.parametrize("target", ["docker", "kubernetes"])
def test_an_image_has_a_name_to_which_the_version_is_added_as_its_tag(
    target: str, name: str, is_one: bool
) -> None:
    config, content = room("config"), {"target": target, "image": name}
    if is_one:
        assert config.parse_config({"deployment": content}).deployment.image == name
        return
    with pytest.raises(room("errors").TrackingError, match=r"deployment\.image: '.*no tag and no "):
        config.parse_config({"deployment": content})


def test_every_compose_file_is_valid(projects: dict[str, Path]) -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    files = [
        project / "deploy/docker" / name
        for project in projects.values()
        for name in ("compose.yaml", "champion.yaml")
    ]
    command: list[str | Path] = [checker, "--builtin-schema", "vendor.compose-spec", *files]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_hadolint_has_nothing_to_say(projects: dict[str, Path]) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    files = [project / "deploy/docker/Dockerfile" for project in projects.values()]
    result = subprocess.run([hadolint, *files], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")


def test_sagemakers_image_is_started_as_serve(render: Render) -> None:
    project = render(serving_target="sagemaker")
    hadolint = Path(sys.executable).with_name("hadolint")
    file = project / "deploy/docker/Dockerfile"
    assert subprocess.run([hadolint, file], check=False).returncode == 0
    stage = read(project, "Dockerfile").partition("FROM champion AS sagemaker\n")[2]
    copied = "deploy/sagemaker/serve"
    assert stage.splitlines() == [
        f"COPY --chmod=755 {copied} /opt/venv/bin/serve",
        'CMD ["serve"]',
    ]
    assert os.access(project / copied, os.X_OK)
    assert f"!{copied}" in (project / ".dockerignore").read_text("utf-8").splitlines()
    assert {path.name for path in file.parent.iterdir()} == {"Dockerfile", "sbom.py"}


def test_a_container_may_nothing_and_asks_for_a_token(projects: dict[str, Path]) -> None:
    for project in projects.values():
        (service,) = yaml.safe_load(read(project, "compose.yaml"))["services"].values()
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
        assert service["ports"] == ["127.0.0.1:${SERVING_PORT:-8080}:8080"]
        assert ":?" in service["environment"]["SERVING_TOKEN"]
        assert re.search(r"^USER 10001$", read(project, "Dockerfile"), re.MULTILINE)
        # .telemetry, which says so in the project, stays out of the image.
        assert "DO_NOT_TRACK=1" in read(project, "Dockerfile")


def test_only_one_that_fetches_its_model_is_told_of_the_registry(
    projects: dict[str, Path],
) -> None:
    for name, project in projects.items():
        (baked,) = yaml.safe_load(read(project, "compose.yaml"))["services"].values()
        assert baked["environment"].keys() == {"SERVING_TOKEN", "KEDRO_ENV"}
        (fetching,) = yaml.safe_load(read(project, "champion.yaml"))["services"].values()
        told = fetching["environment"]
        # Passed on from the environment: no value stands in the file.
        assert set(told.values()) == {None}
        offered = (project / ".env.example").read_text(encoding="utf-8")
        assert told.keys() <= set(re.findall(r"^# (\w+)=$", offered, re.MULTILINE)), name
        config = (project / "conf/base/mlflow.yml").read_text(encoding="utf-8")
        for environment in ("staging", "production"):
            config += (project / f"conf/{environment}/mlflow.yml").read_text(encoding="utf-8")
        needed = set(re.findall(r"\$\{oc\.env:([A-Z_]+)\}", config)) - {"NAME"}
        assert needed <= told.keys(), name


def test_what_opens_a_database_stays_where_the_registry_is_one(projects: dict[str, Path]) -> None:
    for name, project in projects.items():
        is_pruned = "sqlalchemy" in read(project, "Dockerfile")
        assert is_pruned is (name not in {"local-postgresql-s3", "local-mysql-azure"}), name


def test_nothing_but_code_configuration_and_model_can_get_into_the_image(
    projects: dict[str, Path],
) -> None:
    project = projects["local"]
    ignored = (project / ".dockerignore").read_text(encoding="utf-8").splitlines()[1:]
    assert ignored[0] == "*"
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = set()
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", read(project, "Dockerfile"), re.M):
        copied |= {word for word in line.split() if not word.startswith("--")}
    assert copied == let_in - {"conf/local/.gitkeep"}
    # What stands later counts: these stay out of what is let in.
    for secret in ("conf/local/*", "**/credentials*", "**/.env*"):
        assert ignored.index(secret) > ignored.index("!conf")


def test_the_readme_shows_the_dockerfiles_list_without_one(projects: dict[str, Path]) -> None:
    for project in projects.values():
        (whole,) = re.findall(r'^ARG WITHOUT="(.*)"$', read(project, "Dockerfile"), re.M)
        (shown,) = re.findall(r"^ +WITHOUT: (.*)$", read(project, "README.md"), re.M)
        assert shown == whole.replace(" pyarrow", "")


def test_the_bill_of_materials_lists_every_library_as_cyclonedx_wants_it() -> None:
    program = answers.REPOSITORY / "template/deploy/docker/sbom.py"
    printed = subprocess.run([sys.executable, program], check=True, capture_output=True).stdout
    bill = json.loads(printed)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    names = {each["name"]: each for each in bill["components"]}
    installed = {each.name: each.version for each in distributions()}
    assert {name: each["version"] for name, each in names.items()} == installed
    assert names["scikit-learn"]["purl"] == (f"pkg:pypi/scikit-learn@{installed['scikit-learn']}")
    references = [each["bom-ref"] for each in bill["components"]]
    assert len(references) == len({*references})
    known = {"type", "bom-ref", "name", "version", "purl", "licenses"}
    assert all(each.keys() <= known for each in bill["components"])
    # As the library says it: an expression, a word, or by its classifiers.
    assert {name: names[name]["licenses"] for name in ("click", "PyYAML", "scipy", "sniffio")} == {
        "click": [{"expression": "BSD-3-Clause"}],
        "PyYAML": [{"license": {"name": "MIT"}}],
        "scipy": [{"license": {"name": "BSD License"}}],
        "sniffio": [{"license": {"name": "MIT OR Apache-2.0"}}],
    }


def test_compose_takes_each_label_that_deploy_gives(
    projects: dict[str, Path], tmp_path: Path
) -> None:
    for words in (["init"], ["commit", "--allow-empty", "--message", "all"]):
        answers.git(tmp_path, *words, "--quiet")
    answers.git(tmp_path, "remote", "add", "origin", "https://git.example.com/team/study.git")
    version = SimpleNamespace(version="7", name="study", run_id="0123")
    deployment = SimpleNamespace(project=tmp_path, version=version)
    given = room("deployment.docker")._labels(deployment, baked=True)
    (service,) = yaml.safe_load(read(projects["local"], "compose.yaml"))["services"].values()
    labels = service["build"]["labels"]
    taken = {name: given.get(text[2:].removesuffix(":-}")) for name, text in labels.items()}
    assert taken == room("deployment.image").labels_of(deployment)
    assert len(taken) == len(given)


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_the_rendered_ci_builds_the_image_and_asks_it(
    ci: str, template: Path, tmp_path: Path
) -> None:
    given = {"serving_target": "docker", "ci": ci}
    project = answers.render(template, tmp_path / "project", given)
    file = ".github/workflows/ci.yml" if ci == "github" else ".gitlab-ci.yml"
    program = Path(sys.executable).with_name("check-jsonschema")
    schema = "vendor.github-workflows" if ci == "github" else "vendor.gitlab-ci"
    checks: list[list[str | Path]] = [[program, "--builtin-schema", schema, project / file]]
    if ci == "github":
        checks += [
            [program.with_name("actionlint"), "-no-color", project / file],
            [program.with_name("zizmor"), "--offline", "--no-progress", project / file],
        ]
    for command in checks:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
    text = (project / file).read_text(encoding="utf-8")
    job: Any = yaml.safe_load(text)
    job = job["jobs"]["serving-image"] if ci == "github" else job["serving-image"]
    steps = job["steps"] if ci == "github" else job["script"]
    said = "\n".join(step.get("run", "") if isinstance(step, dict) else step for step in steps)
    for part in ("kedro run", "kedro mlflow deploy", "instances.csv"):
        assert part in said
    # A token of the job's own; nothing that the owner would have to keep as a secret.
    assert "openssl rand" in said
    assert "secrets." not in text
