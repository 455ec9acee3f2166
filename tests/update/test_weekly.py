"""The rendered CI looks for a newer version every week, and opens a request with it.

Its steps run here as they are rendered, in a shallow clone of a real repository. `gh` and GitLab's
API are stand-ins that write down what they are asked; `uv sync` is one too, for the environment is
there.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs

import pytest
import yaml

from tests.support import answers, versions
from tests.support.answering import answering
from tests.support.ci import shell
from tests.support.profiles import weekly
from tests.support.project import Project
from tests.support.updates import ALONE, conflict, out_of_reach

BRANCH = f"template-{versions.NEXT}"
TITLE = f"Update from {versions.WORKING_TREE} to {versions.NEXT} of the template"

# It leaves a lock behind that is not committed, as the real one does in a project without. What the
# real one runs finds the quick one.
UV = """#!/bin/sh
case $1 in
    sync) touch uv.lock ;;
    run) shift 2; exec {uv} run --no-sync env UV="$UV" "$@" ;;
    *) exec {uv} "$@" ;;
esac
"""
GH = """#!/usr/bin/env python3
import json, sys
if sys.argv[1:3] == ["issue", "list"]:
    calls = open({calls!r}).readlines()
    print(sum('"issue", "create"' in call for call in calls))
else:
    *_, option, file = sys.argv
    text = "" if option != "--body-file" else (sys.stdin if file == "-" else open(file)).read()
    open({calls!r}, "a").write(json.dumps([*sys.argv[1:], text]) + "\\n")
"""


@dataclass
class Service:
    """A project's repository, and what its service was asked for."""

    remote: Path
    environment: Path
    folder: Path
    api: str = ""
    requests: list[dict[str, str]] = field(default_factory=list)

    def branches(self) -> list[str]:
        listed = answers.git(self.remote, "for-each-ref", "--format=%(refname:short)", "refs/heads")
        return listed.split()

    def file(self, branch: str, path: str) -> str:
        return answers.git(self.remote, "show", f"{branch}:{path}")

    def run(self, *scripts: str, env: Mapping[str, str], cwd: str = "") -> str:
        """Run scripts as a runner does: in a shallow clone, each in a shell; what they print."""
        shutil.rmtree(self.folder, ignore_errors=True)
        clone = ["clone", "--quiet", "--depth", "1", self.remote.as_uri(), str(self.folder)]
        answers.git(self.remote, *clone)
        project = Project(self.folder, self.environment)
        path = f"{self.remote.with_name('tools')}{os.pathsep}{os.environ['PATH']}"
        screen = ""
        for script in scripts:
            code, shown = shell(project, script, {**ALONE, **env, "PATH": path}, cwd)
            screen += shown
            assert code == 0, screen
        return screen


def program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(0o755)


def hosted(ci: str, template: Path, rendered: Project, folder: Path) -> Service:
    """A project in a bare repository, with an edit that the next version meets."""
    project = versions.start(template, folder / "project", versions.WORKING_TREE, {"ci": ci})
    # The jobs name a template that everybody can reach: here it is in a folder.
    for path in (".github/workflows/template-update.yml", ".gitlab-ci.yml"):
        if (project / path).exists():
            versions.edit(project / path, 'TEMPLATE: ""', f'TEMPLATE: "{template}"')
    conflict(project)
    answers.git(project, "branch", "--move", "main")
    remote = folder / "remote.git"
    answers.git(project, "clone", "--quiet", "--bare", str(project), str(remote))
    program(folder / "tools" / "uv", UV.format(uv=shutil.which("uv")))
    return Service(remote, rendered.environment, folder / "clone")


# --- GitHub ---


class GitHub(Service):
    """The workflow on GitHub, and what `gh` was called with.

    Attributes:
        prefix: of the names of a project's workflows that are copies in the repository's root.
    """

    prefix = ""

    def week(self, *names: str) -> str:
        """Run both jobs, or those of these names, each as a runner of its own.

        The second has what the first one has handed over, now or the last time.
        """
        name = f"{self.prefix}template-update.yml"
        workflow = yaml.safe_load(self.file("main", f".github/workflows/{name}"))
        jobs = workflow["jobs"]
        cwd = workflow["defaults"]["run"].get("working-directory", "")
        runner = self.remote.with_name("runner")
        screen = ""
        for name in names or ("merge", "push"):
            temporary = runner / name
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            found = runner / "merge/output"
            if name == "push":
                if not found.exists():
                    break
                shutil.copytree(runner / "merge/update", temporary / "update")
            steps = [step for step in jobs[name]["steps"] if "run" in step]
            env = {"RUNNER_TEMP": str(temporary), "GITHUB_OUTPUT": str(temporary / "output")}
            for step in steps:
                given = step.get("env", {}).items()
                env |= {key: value for key, value in given if "${{" not in value}
            screen += self.run(*[step["run"] for step in steps], env=env, cwd=cwd)
        return screen

    def calls(self, *command: str) -> list[list[str]]:
        lines = self.remote.with_name("calls").read_text("utf-8").splitlines()
        return [call for call in map(json.loads, lines) if call[:2] == list(command)]


@pytest.fixture
def github(published: Path, rendered: Project, tmp_path: Path) -> GitHub:
    """A project on GitHub; `gh` writes down what it is asked."""
    folder = tmp_path / "github"
    service = hosted("github", published, rendered, folder)
    calls = folder / "calls"
    calls.touch()
    program(folder / "tools" / "gh", GH.format(calls=str(calls)))
    return GitHub(service.remote, service.environment, service.folder)


def test_a_newer_version_becomes_one_pull_request_with_its_conflicts_and_changelog(
    github: GitHub,
) -> None:
    main = github.file("main", "conf/base/mlflow.yml")
    github.week()
    assert github.branches() == ["main", BRANCH]
    (call,) = github.calls("pr", "create")
    assert call[2:6] == ["--head", BRANCH, "--title", TITLE]
    assert "- `conf/base/mlflow.yml`" in call[-1]
    assert f"- What {versions.NEXT} changes." in call[-1]
    assert f"- What {versions.WORKING_TREE} changes." not in call[-1]
    assert "<<<<<<< before updating" in github.file(BRANCH, "conf/base/mlflow.yml")
    assert versions.MARK in github.file(BRANCH, "pyproject.toml")
    assert github.file("main", "conf/base/mlflow.yml") == main
    # Nothing that the runner made is in it.
    changed = answers.git(github.remote, "diff", "--name-only", "main", BRANCH)
    assert "uv.lock" not in changed
    # It is requested once, and what was settled there stays.
    answers.git(github.folder, "commit", "--quiet", "--allow-empty", "--message", "Settled")
    answers.git(github.folder, "push", "--quiet", "origin", BRANCH)
    settled = answers.git(github.remote, "rev-parse", BRANCH)
    github.week("push")  # The other job finds the same.
    assert answers.git(github.remote, "rev-parse", BRANCH) == settled
    assert len(github.calls("pr", "create")) == 1
    assert github.calls("issue", "create") == []


@weekly
def test_what_may_not_be_pushed_becomes_one_issue(github: GitHub) -> None:
    # As GitHub does with a change of a workflow, if the token may not change any.
    program(github.remote / "hooks" / "pre-receive", "#!/bin/sh\nexit 1\n")
    github.week()
    github.week("push")
    assert github.branches() == ["main"]
    assert github.calls("pr", "create") == []
    (call,) = github.calls("issue", "create")
    assert call[2:4] == ["--title", TITLE]
    assert "Run `uv run kedro mlflow update`\nyourself" in call[-1]
    assert f"- What {versions.NEXT} changes." in call[-1]


def test_without_a_newer_version_nothing_happens(github: GitHub) -> None:
    work = github.folder.with_name("project")
    versions.edit(work / ".copier-answers.yml", versions.WORKING_TREE, versions.NEXT)
    versions.commit(work)
    answers.git(work, "push", "--quiet", str(github.remote), "main")
    github.week()
    assert github.branches() == ["main"]
    assert github.calls("pr", "create") == []


@weekly
def test_a_template_out_of_reach_is_said(github: GitHub) -> None:
    work = github.folder.with_name("project")
    out_of_reach(work)
    answers.git(work, "push", "--quiet", str(github.remote), "main")
    with pytest.raises(AssertionError, match="cannot be asked for its versions"):
        github.week()
    assert github.branches() == ["main"]
    assert github.remote.with_name("calls").read_text("utf-8") == ""


@weekly
def test_another_template_is_not_merged(published: Path, github: GitHub, tmp_path: Path) -> None:
    answers.git(tmp_path, "clone", "--quiet", str(published), "other")
    work = github.folder.with_name("project")
    versions.edit(work / ".copier-answers.yml", str(published), str(tmp_path / "other"))
    versions.commit(work)
    answers.git(work, "push", "--quiet", str(github.remote), "main")
    with pytest.raises(AssertionError, match=r"names \S+/other as the template, and not"):
        github.week()
    assert github.branches() == ["main"]


# --- GitLab ---


@pytest.fixture
def gitlab(published: Path, rendered: Project, tmp_path: Path) -> Iterator[Service]:
    """A project on GitLab; its API writes down what it is asked."""
    service = hosted("gitlab", published, rendered, tmp_path / "gitlab")

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            service.requests.append(
                {name: values[0] for name, values in parse_qs(form).items()}
                | {"path": self.path, "token": self.headers["PRIVATE-TOKEN"]}
            )
            self.send_response(201)
            self.end_headers()

    with answering(Api) as url:
        service.api = f"{url}/api/v4"
        yield service


def week(service: Service, folder: str = "", **given: str) -> str:
    """Run both jobs; the artifacts of one are in the other's clone, the token in one alone."""
    inside = f"{folder}/" if folder else ""
    pipeline = yaml.safe_load(service.file("main", f"{inside}.gitlab-ci.yml"))
    merge, push = pipeline["template-merge"], pipeline["template-update"]
    places = {"CI_PROJECT_DIR": str(service.folder), "PROJECT_FOLDER": folder or "."}
    kept = service.remote.with_name("artifacts")
    shutil.rmtree(kept, ignore_errors=True)
    # The image's own Python would be told to install uv.
    lines = [line for line in merge["before_script"] + merge["script"] if "pip install" not in line]
    screen = service.run("\n".join(lines), env=merge["variables"] | places | given)
    if (service.folder / "template-update").is_dir():
        shutil.move(service.folder / "template-update", kept)
    variables = {
        "CI_PROJECT_URL": service.remote.with_suffix("").as_uri(),
        "CI_DEFAULT_BRANCH": "main",
        "CI_SERVER_HOST": "gitlab.example.com",
        "CI_API_V4_URL": service.api,
        "CI_PROJECT_ID": "42",
        "TEMPLATE_UPDATE_TOKEN": "CANARY",
        "KEPT": str(kept),
        **places,
    }
    artifacts = 'if [ -d "$KEPT" ]; then cp -r "$KEPT" template-update; fi'
    return screen + service.run("\n".join([artifacts, *push["script"]]), env=variables)


@weekly
def test_a_newer_version_becomes_a_merge_request_on_gitlab_once(gitlab: Service) -> None:
    screen = week(gitlab) + week(gitlab)
    assert gitlab.branches() == ["main", BRANCH]
    (request,) = gitlab.requests
    assert (
        request.items()
        >= {
            "path": "/api/v4/projects/42/merge_requests",
            "token": "CANARY",
            "source_branch": BRANCH,
            "target_branch": "main",
            "title": TITLE,
        }.items()
    )
    assert "- `conf/base/mlflow.yml`" in request["description"]
    assert f"- What {versions.NEXT} changes." in request["description"]
    assert "<<<<<<< before updating" in gitlab.file(BRANCH, "conf/base/mlflow.yml")
    assert "CANARY" not in screen


def test_a_token_that_every_job_can_see_is_refused_on_gitlab(gitlab: Service) -> None:
    with pytest.raises(AssertionError, match="environment scope template-update"):
        week(gitlab, TEMPLATE_UPDATE_TOKEN="CANARY")
    assert gitlab.branches() == ["main"]


# --- a project that is a folder of its repository ---

INSIDE = "apps/study"


def move_inside(service: Service) -> None:
    """Move the project into a folder, and do by hand what `kedro mlflow doctor` says for GitHub."""
    work = service.folder.with_name("project")
    (work / INSIDE).mkdir(parents=True)
    for path in [*work.iterdir()]:
        if path.name not in (".git", "apps"):
            shutil.move(path, work / INSIDE)
    (work / ".github/workflows").mkdir(parents=True)
    for path in (work / INSIDE).glob(".github/workflows/*"):
        text = path.read_text("utf-8")
        line = "    shell: bash\n"
        assert text.count(line) == 1
        copy = text.replace(line, f"{line}    working-directory: {INSIDE}\n")
        (work / f".github/workflows/study-{path.name}").write_text(copy, "utf-8")
    versions.commit(work)
    answers.git(work, "push", "--quiet", str(service.remote), "main")


@weekly
def test_the_update_of_a_project_in_a_subfolder_is_requested_too(
    github: GitHub, gitlab: Service
) -> None:
    for service in (github, gitlab):
        move_inside(service)
    github.prefix = "study-"
    github.week()
    week(gitlab, INSIDE)
    branch = f"template-apps-study-{versions.NEXT}"
    for service in (github, gitlab):
        assert service.branches() == ["main", branch]
        merged = service.file(branch, f"{INSIDE}/conf/base/mlflow.yml")
        assert "<<<<<<< before updating" in merged
    assert github.calls("pr", "create")[0][3] == gitlab.requests[0]["source_branch"] == branch
