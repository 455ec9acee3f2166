"""Tags tell how a run came about."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kedro.framework.cli.project import run as kedro_run
from kedro.runner import ThreadRunner

from tests.tracking.conftest import Tracking

NOTHING: dict[str, Any] = {
    "run_id": "2026-01-01T00.00.00.000Z",
    "project_path": "/nowhere",
    "runner": "None",
    "kedro_version": "1.7.0",
    "env": None,
    "pipeline_names": None,
    "tags": None,
    "node_names": None,
    "from_nodes": None,
    "to_nodes": None,
    "from_inputs": None,
    "to_outputs": None,
    "namespaces": None,
    "runtime_params": {},
}


@pytest.mark.parametrize(
    ("given", "command"),
    [
        ({}, "kedro run"),
        ({"pipeline_names": ["a", "b"], "env": "prod"}, "kedro run --pipelines a,b --env prod"),
        ({"node_names": ("split", "fit")}, "kedro run --nodes split,fit"),
        ({"runtime_params": {"a": 1, "b": "x y"}}, "kedro run --params 'a=1,b=x y'"),
        (
            {"runtime_params": {"model": {"alpha": 1}, "token": "CANARY"}},
            "kedro run --params 'model.alpha=1,token=********'",
        ),
    ],
)
def test_the_command_starts_the_same_run(
    tracking: Tracking, given: dict[str, Any], command: str
) -> None:
    assert tracking("tracking.capture.tags").replay_command(NOTHING | given) == command


def test_every_option_of_the_command_is_one_of_kedros(tracking: Tracking) -> None:
    screen = CliRunner().invoke(kedro_run, ["--help"]).output
    for option, _ in tracking("tracking.capture.tags")._OPTIONS.values():
        assert option in screen


def test_tags_are_cut_to_what_mlflow_takes(tracking: Tracking) -> None:
    names = [f"node_{number}" for number in range(2000)]
    tags = tracking("tracking.capture.tags").run_tags(
        NOTHING | {"node_names": names}, ["training"], "p"
    )
    assert len(tags["kedro.command"]) == 8000
    assert tags["kedro.pipelines"] == "training"


@pytest.mark.parametrize(
    ("told", "name"),
    [("None", "SequentialRunner"), (str(ThreadRunner()), "ThreadRunner")],
    ids=["by default", "thread"],
)
def test_the_runner_is_told_by_its_class(tracking: Tracking, told: str, name: str) -> None:
    tags = tracking("tracking.capture.tags").run_tags(NOTHING | {"runner": told}, ["training"], "p")
    assert tags["kedro.runner"] == name


def test_the_owners_patterns_mask_the_command(tracking: Tracking) -> None:
    patterns = tracking("config").RedactionOptions(patterns=["^customer"]).patterns
    given = NOTHING | {"runtime_params": {"customer_id": "CANARY", "x": 1}}
    tags = tracking("tracking.capture.tags").run_tags(given, ["training"], "p", patterns)
    assert tags["kedro.command"] == "kedro run --params 'customer_id=********,x=1'"


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def test_tags_tell_commit_changes_and_template_of_the_sources(
    tracking: Tracking, tmp_path: Path
) -> None:
    def tags() -> dict[str, str]:
        given = NOTHING | {"project_path": str(tmp_path)}
        found: dict[str, str] = tracking("tracking.capture.tags").run_tags(given, ["training"], "p")
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


def test_no_git_is_no_error(
    tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tracking("tracking.capture.tags").git_state(tmp_path / "missing") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tracking("tracking.capture.tags").git_state(tmp_path) is None
