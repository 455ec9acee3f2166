"""The workflows, the repository's own and the rendered ones, do what they say and no more."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, FileSystemLoader

from tests.support import answers
from tests.support.answers import Render
from tests.support.profiles import IS_WEEKLY, weekly

OWN_WORKFLOWS = sorted((answers.REPOSITORY / ".github" / "workflows").glob("*.yml"))
PYTHON_VERSIONS = answers.choices(answers.questions()["python_version"])
NEWEST_PYTHON = "3.13"
PUBLISHING = ["actions/deploy-pages"]


@pytest.fixture(
    scope="module",
    params=[
        version if version in ("3.11", NEWEST_PYTHON) else pytest.param(version, marks=weekly)
        for version in PYTHON_VERSIONS
    ],
)
def python_version(request: pytest.FixtureRequest) -> str:
    """Each lowest Python version that there is to choose."""
    return str(request.param)


@pytest.fixture(scope="module")
def github(python_version: str, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tmp_path_factory.mktemp("github") / "project"
    answers.render(template, project, {"ci": "github", "python_version": python_version})
    return project / ".github/workflows/ci.yml"


# Presets whose service gets runs from CI, each with a serving target.
TRAINING = [
    ("server", "kubernetes"),
    ("server", "none"),
    ("databricks", "databricks"),
    ("sagemaker", "sagemaker"),
    ("azureml", "docker"),
]


@pytest.fixture(scope="module", params=["github", "gitlab"])
def training(
    request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A service's file for each of these."""
    files = {}
    for preset, target in TRAINING if IS_WEEKLY else TRAINING[:2]:
        project = tmp_path_factory.mktemp(request.param) / "project"
        given = {"ci": request.param, "tracking_preset": preset, "serving_target": target}
        if preset in answers.TRACKING_URIS:
            given["tracking_uri"] = answers.TRACKING_URIS[preset]
        answers.render(template, project, given)
        name = ".github/workflows/ci.yml" if request.param == "github" else ".gitlab-ci.yml"
        files[target] = project / name
    return files


@pytest.fixture(scope="module")
def gitlab(python_version: str, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tmp_path_factory.mktemp("gitlab") / "project"
    answers.render(template, project, {"ci": "gitlab", "python_version": python_version})
    return project / ".gitlab-ci.yml"


def check(*command: str | Path) -> None:
    """Run one of the development environment's tools; its findings are the failure."""
    program = Path(sys.executable).parent / command[0]
    result = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def load(file: Path) -> dict[Any, Any]:
    content: dict[Any, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content


def steps(workflow: Path) -> list[dict[str, Any]]:
    return [step for job in load(workflow)["jobs"].values() for step in job["steps"]]


def assert_github_workflow_is_sound(workflow: Path) -> None:
    check("actionlint", "-no-color", workflow)
    check("zizmor", "--offline", "--no-progress", "--no-config", workflow)
    check("check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow)


def assert_needs_no_rights_and_ends(workflow: Path) -> None:
    content = load(workflow)
    assert content["permissions"] == {}
    assert content["concurrency"]["group"]
    for name, job in content["jobs"].items():
        # What publishes the pages runs no code of the repository.
        publishes = [step.get("uses", "").split("@")[0] for step in job["steps"]] == PUBLISHING
        rights = {"pages": "write", "id-token": "write"} if publishes else {"contents": "read"}
        assert job["permissions"] == rights, name
        assert job["timeout-minutes"] <= 90, name
    for step in steps(workflow):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def pins(workflow: Path) -> dict[str, str]:
    """Each action that a workflow uses, with its commit and the version in the comment."""
    used = re.findall(r"uses: (\S+)@(.*)", workflow.read_text(encoding="utf-8"))
    assert len(used) == sum("uses" in step for step in steps(workflow))
    return dict(used)


@pytest.mark.parametrize("workflow", OWN_WORKFLOWS, ids=lambda file: file.name)
def test_own_workflows_are_sound(workflow: Path) -> None:
    assert_github_workflow_is_sound(workflow)
    assert_needs_no_rights_and_ends(workflow)


# Windows has no make: what the Makefile would do.
WITHOUT_MAKE = [
    'python -m pip install "uv>=0.8"',
    "python scripts/demo.py",
    "uv venv .venv",
    "uv pip sync --require-hashes requirements-dev.txt",
    "uv run --no-project python -m pytest tests/unit tests/template",
]


def test_own_workflows_run_what_every_other_machine_runs() -> None:
    commands = {
        workflow.name: [step["run"] for step in steps(workflow) if "run" in step]
        for workflow in OWN_WORKFLOWS
    }
    assert commands == {
        "ci.yml": ["bash .ci/run", "make demo", *WITHOUT_MAKE],
        "compat.yml": ['make compat ARGS="--pythons $PYTHON"', "make lock", "make test"],
        "pages.yml": ["make docs"],
    }


def test_rendered_github_workflow_is_sound(github: Path) -> None:
    assert_github_workflow_is_sound(github)
    assert_needs_no_rights_and_ends(github)


def test_rendered_weekly_workflow_is_sound_and_keeps_its_token_from_what_runs_code(
    github: Path, gitlab: Path
) -> None:
    weekly = github.with_name("template-update.yml")
    assert_github_workflow_is_sound(weekly)
    assert load(weekly)["permissions"] == {}
    merge, push = load(weekly)["jobs"].values()
    assert merge["permissions"] == {"contents": "read"}
    for job in (merge, push):
        assert job["timeout-minutes"] <= 30
        assert job["steps"][0]["with"]["persist-credentials"] is False
    assert "secrets." not in str(merge)
    assert "token" not in str(merge)
    on_gitlab = load(gitlab)["template-merge"], load(gitlab)["template-update"]
    # The token's scope is this environment.
    assert [job.get("environment", {}).get("name") for job in on_gitlab] == [
        None,
        "template-update",
    ]
    assert [" uv " in str(job) for job in (merge, push, *on_gitlab)] == [True, False] * 2


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("gh:acme/template", "gh:acme/template"),
        ("git@host:acme/template.git", "git@host:acme/template.git"),
        ('https://host/a"b.git', 'https://host/a"b.git'),
        ("/home/eve/template", ""),
        ("C:\\Users\\eve\\template", ""),
    ],
)
def test_the_weekly_jobs_name_the_template_that_they_merge(address: str, named: str) -> None:
    given = {"_copier_answers": {"_src_path": address}, "python_version": "3.11"}
    environment = Environment(loader=FileSystemLoader(answers.REPOSITORY))
    texts = {
        path.name: environment.from_string(path.read_text("utf-8")).render(given)
        for pattern in ("*/workflows/template-update.yml.jinja", "*gitlab-ci*")
        for path in (answers.REPOSITORY / "template").glob(pattern)
    }
    github, gitlab = map(yaml.safe_load, texts.values())
    merge = github["jobs"]["merge"]
    (step,) = [step for step in merge["steps"] if "env" in step]
    assert step["env"]["TEMPLATE"] == gitlab["template-merge"]["variables"]["TEMPLATE"] == named
    for job in (merge, gitlab["template-merge"]):
        assert '--template "$TEMPLATE"' in str(job)


def test_all_actions_are_pinned_to_one_commit_with_its_version(github: Path) -> None:
    own: dict[str, str] = {}
    for workflow in OWN_WORKFLOWS:
        own |= pins(workflow)
    rendered = pins(github) | pins(github.with_name("template-update.yml"))
    for pin in [*own.values(), *rendered.values()]:
        assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", pin)
    assert "actions/checkout" in own.keys() & rendered.keys()
    for action in own.keys() & rendered.keys():
        assert own[action] == rendered[action], action


def test_jobs_that_train_and_deploy_are_sound_and_have_what_they_need_alone(
    training: dict[str, Path],
) -> None:
    for target, path in training.items():
        content = load(path)
        jobs = content.get("jobs", content)
        deploying = {"production"} if target == "none" else {"staging", "production"}
        assert jobs.keys() & {"staging", "production"} == deploying
        assert list(jobs).index("candidate") < list(jobs).index("production")
        comment = str(jobs["comment"])
        # What has the token runs nothing of the project's.
        assert " uv " not in comment
        assert "actions/checkout" not in comment
        if "jobs" not in content:
            check("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", path)
            manual = {name for name in deploying if "when" in jobs[name]["rules"][0]}
            assert manual == {"production"}
            continue
        assert_github_workflow_is_sound(path)
        assert content["permissions"] == {}
        reads = {"contents": "read"}
        deploys = {"contents": "write"} if target == "kubernetes" else reads
        assert {name: job["permissions"] for name, job in jobs.items()} == {
            "test": reads,
            **({"serving-image": reads} if "serving-image" in jobs else {}),
            "candidate": reads,
            "comment": {"pull-requests": "write"},
            "not-trained": {},
            "champion": reads,
            **({"staging": deploys} if "staging" in deploying else {}),
            "production": deploys | {"actions": "read"},
        }
        assert {name for name, job in jobs.items() if "environment" in job} == deploying
        # Another branch than the default one may be called master, or main.
        assert jobs["champion"]["if"].endswith("== github.event.repository.default_branch")
        # Secrets are in the step that uses them: neither in actions nor in what builds libraries.
        for name in ("candidate", "champion", *deploying):
            given = [step for step in jobs[name]["steps"] if "secrets." in str(step)]
            # Whether there is a login to the cluster; then the login itself.
            cluster = [False, False] if target == "kubernetes" and name in deploying else []
            assert [" kedro " in step["run"] for step in given] == [True, *cluster]
            # What may push, and what reaches the cluster, runs nothing of the project's.
            for step in jobs[name]["steps"]:
                if step.get("env", {}).keys() & {"GH_TOKEN", "KUBE_CONFIG"}:
                    assert "uv run" not in step["run"]
        assert "secrets." not in str(jobs["test"]) + comment


def test_a_job_that_is_run_again_hands_over_what_it_has_then(
    training: dict[str, Path], github: Path
) -> None:
    """GitHub refuses a second upload by one name, and the job after it would have the first."""
    files = [*training.values(), github.with_name("template-update.yml")]
    uploads = [
        step
        for file in files
        if "jobs" in load(file)
        for step in steps(file)
        if step.get("uses", "").startswith("actions/upload-artifact@")
    ]
    assert uploads
    assert all(step["with"].get("overwrite") for step in uploads)


def test_a_secret_that_is_not_there_is_no_empty_login(render: Render) -> None:
    uri = answers.TRACKING_URIS["azureml"]
    workflow = render(tracking_preset="azureml", tracking_uri=uri) / ".github/workflows/ci.yml"
    for job in ("candidate", "champion", "production"):
        (step,) = [step for step in load(workflow)["jobs"][job]["steps"] if "secrets." in str(step)]
        names = {name for name, text in step["env"].items() if "secrets.AZURE" in text}
        assert len(names) == 3
        given = dict.fromkeys(names, "") | {"AZURE_CLIENT_ID": "ada", "PATH": os.environ["PATH"]}
        (unset,) = re.findall("^for name in .*$", step["run"], re.MULTILINE)
        shown = subprocess.run(
            ["bash", "-ec", f"{unset}\nenv"], env=given, capture_output=True, text=True, check=True
        )
        left = {line.partition("=")[0] for line in shown.stdout.splitlines()}
        assert left & names == {"AZURE_CLIENT_ID"}


def test_what_gitlabs_jobs_hand_over_is_no_change_of_the_code(render: Render) -> None:
    given = {"ci": "gitlab", "tracking_preset": "server", "tracking_uri": "http://mlflow:5000"}
    project = render(**given)
    (folder,) = load(project / ".gitlab-ci.yml")["champion"]["artifacts"]["paths"]
    ignored = (project / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert f"/{folder}/" in ignored


def test_without_a_server_nothing_is_trained(github: Path, gitlab: Path) -> None:
    assert list(load(github)["jobs"]) == ["test"]
    assert "candidate" not in load(gitlab)


def test_rendered_gitlab_pipeline_fits_the_schema(gitlab: Path) -> None:
    check("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", gitlab)


def test_both_services_test_the_lowest_python_and_the_newest(
    github: Path, gitlab: Path, python_version: str
) -> None:
    expected = sorted({python_version, NEWEST_PYTHON})
    assert load(github)["jobs"]["test"]["strategy"]["matrix"]["python"] == expected
    assert load(gitlab)["test"]["parallel"]["matrix"] == [{"PYTHON": expected}]


def test_both_services_run_the_same_checks(github: Path, gitlab: Path) -> None:
    job = load(gitlab)["test"]
    by_gitlab = [line for line in job["before_script"] + job["script"] if "uv" in line.split()]
    by_github = [step["run"] for step in steps(github) if "run" in step]
    assert by_gitlab[-len(by_github) :] == by_github


@pytest.mark.parametrize(
    ("ci", "files"),
    [("github", {".github"}), ("gitlab", {".gitlab-ci.yml"}), ("none", set())],
)
def test_only_the_chosen_service_gets_files(render: Render, ci: str, files: set[str]) -> None:
    services = {".github", ".gitlab-ci.yml"}
    assert {path.name for path in render(ci=ci).iterdir()} & services == files
