"""What a CI service does with the rendered jobs: their shell lines run here as they are.

The services' own API is a stand-in that keeps comments: nothing is sent to GitHub or GitLab.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.support import answers
from tests.support.answering import answering
from tests.support.project import Project

LONGEST = 65_536  # Characters that GitHub takes.
PAGE = 100  # Comments on a page of both services, as the jobs ask for.


@dataclass
class StandInOfComments:
    """Comments as GitHub and GitLab keep them, by address, and who approves: no more than that.

    Attributes:
        reviewers: the rules that protect GitHub's environment production.
        of_others: addresses of other authors' comments, which this token may not change.
        url: where it answers.
        token: what it takes as a login.
        comments: address of each, and its text.
    """

    url: str = ""
    token: str = "CANARY-comment-token"
    comments: dict[str, str] = field(default_factory=dict)
    reviewers: list[str] = field(default_factory=list)
    of_others: set[str] = field(default_factory=set)


@contextmanager
def stand_in_of_comments() -> Iterator[StandInOfComments]:
    """Run it for the block."""
    kept = StandInOfComments()

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            if address.path.endswith("/environments/production"):
                rules = [{"type": kind} for kind in kept.reviewers]
                self._answer(200, {"protection_rules": rules})
                return
            page = int(parse_qs(address.query)["page"][0])
            found = [
                {
                    "id": int(path.rpartition("/")[2]),
                    "url": kept.url + path,
                    "body": text,
                    "user": {"login": "ada" if path in kept.of_others else "github-actions[bot]"},
                }
                for path, text in kept.comments.items()
            ]
            if self.headers["PRIVATE-TOKEN"]:  # GitLab has the newest first.
                found.reverse()
            self._answer(200, found[(page - 1) * PAGE : page * PAGE])

        def do_POST(self) -> None:
            self._write(f"{self.path}/{len(kept.comments) + 1}", 201)

        def do_PATCH(self) -> None:
            self._write(self.path, 200)

        do_PUT = do_PATCH  # noqa: N815

        def _write(self, path: str, status: int) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            is_json = self.headers["PRIVATE-TOKEN"] is None
            body = json.loads(text)["body"] if is_json else parse_qs(text)["body"][0]
            if path in kept.of_others:
                self._answer(403, {"message": "403 Forbidden"})
            elif is_json and len(body) > LONGEST:
                self._answer(422, {"message": "body is too long"})
            else:
                kept.comments[path] = body
                self._answer(status, {})

        def _answer(self, status: int, content: Any) -> None:
            if kept.token not in (
                self.headers["PRIVATE-TOKEN"],
                str(self.headers["Authorization"]).removeprefix("Bearer "),
            ):
                status, content = 401, {"message": "Bad credentials"}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

    with answering(Api) as kept.url:
        yield kept


@dataclass(frozen=True)
class Ran:
    """What came of a script.

    Attributes:
        outputs: what it wrote to GITHUB_OUTPUT.
    """

    code: int
    screen: str
    outputs: dict[str, str]


@dataclass(frozen=True)
class Repository:
    """A repository at its service, bare and real, which jobs push to."""

    folder: Path

    def given(self) -> dict[str, str]:
        """What a job for the newest commit on main is told of it; both services' names."""
        commit = answers.git(self.folder, "rev-parse", "main").strip()
        return {
            "GITHUB_SHA": commit,
            "CI_COMMIT_SHA": commit,
            "CI_JOB_TOKEN": "CANARY-job-token",
            "CI_PROJECT_URL": self.folder.as_uri().removesuffix(".git"),
            "CI_SERVER_HOST": "gitlab.example.com",
        }


def repository_of(work: Path, folder: Path) -> Repository:
    """Commit what is in a folder to main, and bring it to its service, as `origin`."""
    remote = folder / "service.git"
    for command in ("init --quiet --initial-branch main", "add --all", "commit --quiet -m Start"):
        answers.git(work, *command.split())
    answers.git(work, "clone", "--quiet", "--bare", str(work), str(remote))
    answers.git(work, "remote", "add", "origin", remote.as_uri())
    answers.git(remote, "config", "receive.advertisePushOptions", "true")  # As GitLab does.
    return Repository(remote)


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return content


def filled_in(text: str, context: Mapping[str, str]) -> str:
    """Replace GitHub's expressions by what they are here; others are a KeyError.

    A secret or variable that nobody has given is empty, as it is there.
    """

    def value(match: re.Match[str]) -> str:
        is_given = match[1].startswith(("secrets.", "vars."))
        return context.get(match[1], "") if is_given else context[match[1]]

    return re.sub(r"\$\{\{ (.+?) \}\}", value, text)


def run_github(
    project: Project,
    job: Mapping[str, Any],
    folder: Path,
    context: Mapping[str, str],
    variables: Mapping[str, str],
) -> Ran:
    """Run the named steps of a job, each with its own variables and the runner's alone.

    Args:
        folder: the runner's folder for what is passed on.
        context: what expressions stand for.
        variables: what the service sets for all steps.
    """
    runner = {"RUNNER_TEMP": str(folder), **variables}
    runner |= {name: str(folder / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    code, screen, written = 0, "", folder / "GITHUB_OUTPUT"
    outputs: dict[str, str] = {}
    context = dict(context)
    for step in job["steps"]:
        if "name" in step and not code:
            given = {name: filled_in(text, context) for name, text in step["env"].items()}
            cwd = filled_in(step.get("working-directory", ""), {"runner.temp": str(folder)})
            code, shown = shell(project, step["run"], runner | given, cwd)
            screen += shown
            lines = written.read_text("utf-8").splitlines() if written.exists() else []
            outputs = dict(line.split("=", 1) for line in lines)
            context |= {f"steps.{step.get('id')}.outputs.{key}": outputs[key] for key in outputs}
    return Ran(code, screen, outputs)


def run_gitlab(project: Project, job: Mapping[str, Any], variables: Mapping[str, str]) -> Ran:
    """Run a job's script in one shell, with its variables."""
    given = dict(variables)
    for name, text in job.get("variables", {}).items():
        given[name] = re.sub(r"\$(\w+)", lambda match: variables[match[1]], text)
    return Ran(*shell(project, "\n".join(job["script"]), given), {})


def version_of(service: str, ran: Ran, project: Project) -> str:
    """The version that a job hands to the next."""
    if service == "github":
        return ran.outputs["version"]
    return project.read("verdict/version.env").strip().removeprefix("VERSION=")


def shell(
    project: Project, script: str, variables: Mapping[str, str], cwd: str = ""
) -> tuple[int, str]:
    """Run a script as both services' runners do; its exit code, and what it printed.

    `uv run` takes the environment that is there.
    """
    given = {"CI": "true", "UV_PROJECT_ENVIRONMENT": str(project.environment)}
    result = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=project.folder / cwd,
        env=project.variables(given | dict(variables)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return result.returncode, result.stdout + result.stderr
