"""Tags tell how a run came about."""

from __future__ import annotations

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


def test_tags_tell_the_template_of_the_sources(mlops: Rooms, tmp_path: Path) -> None:
    def tags() -> dict[str, str]:
        given = NOTHING | {"project_path": str(tmp_path)}
        found: dict[str, str] = mlops("tracking.capture.tags").run_tags(given, ["training"])
        return found

    assert "template.version" not in tags()
    (tmp_path / ".copier-answers.yml").write_text("# made\n_commit: v1.2.0-3-gabc\n_src_path: x\n")
    assert tags()["template.version"] == "v1.2.0-3-gabc"
