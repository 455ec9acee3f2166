"""Tags tell how a run came about."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from kedro.runner import ThreadRunner

from tests.support.rooms import Rooms
from tests.support.run_params import NOTHING


@pytest.mark.parametrize(
    ("told", "name"),
    [("None", "SequentialRunner"), (str(ThreadRunner()), "ThreadRunner")],
    ids=["by default", "thread"],
)
def test_the_runner_is_told_by_its_class(mlops: Rooms, told: str, name: str) -> None:
    tags = mlops("tracking.capture.tags").run_tags(NOTHING | {"runner": told}, ["training"])
    assert tags["kedro.runner"] == name


def test_the_owners_patterns_mask_the_command(mlops: Rooms) -> None:
    patterns = mlops("config").RedactionOptions(patterns=["^customer"]).patterns
    given = NOTHING | {"runtime_params": {"customer_id": "CANARY", "x": 1}}
    tags = mlops("tracking.capture.tags").run_tags(given, ["training"], patterns)
    assert tags["kedro.command"].startswith("kedro run --params 'customer_id=********,x=1'")


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def test_tags_tell_commit_changes_and_template_of_the_sources(mlops: Rooms, tmp_path: Path) -> None:
    def tags() -> dict[str, str]:
        given = NOTHING | {"project_path": str(tmp_path)}
        found: dict[str, str] = mlops("tracking.capture.tags").run_tags(given, ["training"])
        return found

    assert "template.version" not in tags()
    (tmp_path / ".copier-answers.yml").write_text("# made\n_commit: v1.2.0-3-gabc\n_src_path: x\n")
    git(tmp_path, "init")
    assert tags()["template.version"] == "v1.2.0-3-gabc"
    assert "mlflow.source.git.commit" not in tags()
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    assert len(tags()["mlflow.source.git.commit"]) == 40
    assert tags()["mlflow.source.git.dirty"] == "false"
    (tmp_path / "new.py").touch()
    assert tags()["mlflow.source.git.dirty"] == "true"


def test_no_git_is_no_error(mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mlops("tracking.capture.tags").git_tags(tmp_path / "missing") == {}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert mlops("tracking.capture.tags").git_tags(tmp_path) == {}
