"""Tags: how a run was started and from which commit, so that it can be found and repeated."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from getpass import getuser
from pathlib import Path
from typing import Any

from ...project import PACKAGE
from ...redaction import Patterns, mask
from .command import replay_command, runner_path
from .values import MAX_TAG_LENGTH

_SECONDS_FOR_GIT = 5


def run_tags(
    run_params: Mapping[str, Any], pipelines: Sequence[str], patterns: Patterns = ()
) -> dict[str, str]:
    """Describe a Kedro run by tags.

    They hold Kedro's run id, version, environment and runner, the template's version, the git
    commit, the pipelines, and a command that runs the same again, secrets masked.
    """
    project_path = Path(run_params["project_path"])
    tags = {
        "kedro.run_id": str(run_params["run_id"]),
        "kedro.version": str(run_params["kedro_version"]),
        "kedro.env": str(run_params["env"] or ""),
        "kedro.pipelines": ", ".join(pipelines),
        "kedro.runner": runner_path(str(run_params["runner"])).rpartition(".")[2],
        "kedro.command": replay_command(run_params, patterns),
        "template.version": template_version(project_path),
        "mlflow.source.name": PACKAGE,
        "mlflow.source.type": "PROJECT",
        "mlflow.user": user_name(),
        **git_tags(project_path),
    }
    return {
        name: mask(name, value, patterns)[:MAX_TAG_LENGTH] for name, value in tags.items() if value
    }


def template_version(project_path: Path) -> str:
    """Read from which version of the template the project was rendered, or updated to, last."""
    try:
        answers = (project_path / ".copier-answers.yml").read_text(encoding="utf-8")
    except OSError:
        return ""
    found = re.search(r"^_commit: *['\"]?([^'\"\s]+)", answers, re.MULTILINE)
    return found[1] if found else ""


def user_name() -> str:
    """Return the user of this process, as far as the machine knows."""
    try:
        return getuser()
    except (KeyError, OSError):  # A container may run under a user id that has no name.
        return "unknown"


def git_tags(project_path: Path) -> dict[str, str]:
    """Ask git, in one call, for the commit and whether files differ from it; empty without one.

    Files that git does not know count as changes: a pipeline may import them.
    """
    try:
        answer = subprocess.run(
            ["git", "status", "--porcelain=v2", "--branch", "--", "."],
            cwd=project_path,
            # It must not take the index's lock from the user's own git.
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            text=True,
            timeout=_SECONDS_FOR_GIT,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    lines = answer.stdout.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "")
    if not commit or commit == "(initial)":
        return {}
    dirty = any(not line.startswith("#") for line in lines)
    return {"mlflow.source.git.commit": commit, "mlflow.source.git.dirty": str(dirty).lower()}
