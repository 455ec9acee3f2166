"""What git and CI let into a project, and what not: secrets, private files, conflicts left open."""

from __future__ import annotations

import random
import re
import shlex
import string
import subprocess
from collections.abc import Mapping

import pytest
import yaml

from tests.support import answers
from tests.support.project import Project

# A secret of some kind in some file, and what it is made of: nobody has written one down here.
LEAKS = {
    "a key of AWS": (
        "conf/base/credentials.yml",
        "aws_access_key_id: AKIA{secret}\n",
        (string.ascii_uppercase + "234567", 16),
    ),
    "a password in an address": (
        "conf/base/mlflow_team.yml",
        "uri: postgresql+psycopg://mlflow:{secret}@db/mlflow\n",
        (string.ascii_lowercase, 12),
    ),
    "a token of Databricks": (
        "notes.txt",
        "token: dapi{secret}\n",
        ("0123456789abcdef", 32),
    ),
}


@pytest.fixture
def repository(project: Project) -> Project:
    """The default project under git, its first commit made and its commits checked from then on."""
    answers.git(project.folder, "init", "--quiet")
    answers.git(project.folder, "add", "--all")
    answers.git(project.folder, "commit", "--quiet", "--message", "Start")
    check(project, "uv run --no-sync prek install")
    return project


def check(
    project: Project, command: str, fails: bool = False, env: dict[str, str] | None = None
) -> str:
    """Run a command as a person or CI does, in the project's environment; what it prints."""
    variables = project.variables({"UV_PROJECT_ENVIRONMENT": str(project.environment)})
    result = subprocess.run(
        shlex.split(command),
        cwd=project.folder,
        env=variables | (env or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    said = result.stdout + result.stderr
    assert (result.returncode != 0) == fails, said
    return said


def commit_all(project: Project, files: Mapping[str, str], fails: bool = False) -> str:
    """Commit files, git's hooks included."""
    for path, content in files.items():
        (project.folder / path).parent.mkdir(parents=True, exist_ok=True)
        project.write(path, content)
    answers.git(project.folder, "add", "--force", *files)
    person = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com"}
    committer = {name.replace("AUTHOR", "COMMITTER"): value for name, value in person.items()}
    return check(project, "git commit -m files", fails, person | committer)


def commands_of_ci(project: Project, program: str) -> list[str]:
    """The steps of the project's workflow that run a program."""
    workflow = yaml.safe_load((project.folder / ".github/workflows/ci.yml").read_text("utf-8"))
    runs = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    return [run for run in runs if program in run.split()]


def test_a_clean_project_passes_what_ci_runs(repository: Project) -> None:
    commands = [run for name in ("prek", "gitleaks") for run in commands_of_ci(repository, name)]
    assert len(commands) == 2
    check(repository, commands[0])
    assert "no leaks found" in check(repository, commands[1])


def test_a_clean_change_is_committed(repository: Project) -> None:
    address = "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE\n"
    commit_all(repository, {"notes.md": f"# Notes\n\n{address}", "conf/base/a.txt": "mine\n"})
    assert answers.git(repository.folder, "status", "--porcelain") == ""


def test_a_secret_is_refused_by_git_and_by_ci_and_not_repeated(repository: Project) -> None:
    secrets = {
        path: "".join(random.choices(characters, k=length))
        for path, _, (characters, length) in LEAKS.values()
    }
    files = {path: content.format(secret=secrets[path]) for path, content, _ in LEAKS.values()}
    said = commit_all(repository, files, fails=True)
    for path, secret in secrets.items():
        assert path in said
        assert secret not in said

    # Somebody commits it all the same, and removes it later: it is in the history.
    for message in ("with it", "without it"):
        answers.git(repository.folder, "add", "--force", "--all")
        answers.git(repository.folder, "commit", "--quiet", "--no-verify", "--message", message)
        for path in files:
            (repository.folder / path).unlink(missing_ok=True)
    (command,) = commands_of_ci(repository, "gitleaks")
    said = check(repository, command, fails=True)
    for path, secret in secrets.items():
        assert path in said
        assert secret not in said


def test_what_does_not_belong_there_is_refused_by_name_even_when_git_is_forced(
    repository: Project,
) -> None:
    private = (".env", "deploy/.env", "conf/local/credentials.yml")
    refused = {
        **dict.fromkeys(private, "MLFLOW_TRACKING_USERNAME=ada\n"),
        # What an update has left open, and what it could not make.
        "conf/base/a.txt": "<<<<<<< before updating\nmine\n=======\n>>>>>>> after updating\n",
        "README.md.rej": "-old\n+new\n",
    }
    mine = "src/diabetes_progression/pipelines/mine.py"
    said = commit_all(repository, {**refused, mine: '"""Mine."""\n\nimport os\n'}, fails=True)
    words = {*re.findall(r"[\w./]+", said)}
    assert {*refused, "F401"} - words == set()
    assert "git rm --cached" in said
    assert (repository.folder / mine).exists()
