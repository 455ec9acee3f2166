"""The rules of promotion are their owner's: no update loses or changes one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from copier import run_recopy

from tests.support import answers, versions
from tests.support.profiles import weekly
from tests.support.rooms import room

pytestmark = pytest.mark.usefixtures("kept_templates", "nobodys_machine")

MLFLOW, RULES = "conf/base/mlflow.yml", "conf/base/promotion.yml"
# What an owner does to the rules: nothing, other limits and words, a rule more, none at all.
EDITS = {
    "untouched": ("", ""),
    "limits": ("r2: {min: 0.3}", "r2: {min: 0.9}"),
    "words": ("# against the champion, on the same rows", "# ours: see the handbook"),
    "more": ("r2: {min: 0.3}", "r2: {min: 0.3}\n    mae: {max: 50}"),
    "auto": ("auto: false", "auto: true"),
}
OLDER = ["v1.0.0", "v2.0.0"]
# For each commit; all of them weekly.
OFTEN = [("v1.0.0", "more"), ("v2.0.0", "limits")]


def promotion(project: Path) -> dict[str, object]:
    """The rules that count, as plain values."""
    content = yaml.safe_load((project / MLFLOW).read_text("utf-8").replace("${", "$ {"))
    path = project / RULES
    rules = yaml.safe_load(path.read_text("utf-8")) if path.is_file() else None
    section = {"promotion": content["promotion"]} if content.get("promotion") else {}
    found: dict[str, object] = room("config").parse_config(section, rules).promotion.model_dump()
    return found


def section(project: Path) -> str:
    return (project / MLFLOW).read_text("utf-8").partition("\npromotion:")[2].partition("\n\n")[0]


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        pytest.param(start, kind, marks=() if (start, kind) in OFTEN else weekly)
        for start in OLDER
        for kind in EDITS
    ],
)
def test_rules_in_mlflow_yml_stay_there_and_count(
    published: Path, tmp_path: Path, start: str, kind: str
) -> None:
    project = versions.start(published, tmp_path / "project", start)
    versions.edit(project / MLFLOW, *EDITS[kind])
    versions.commit(project)
    before, lines = promotion(project), section(project)
    assert lines
    for tag in (versions.WORKING_TREE, versions.NEXT):
        update = versions.update(project, tag)
        assert not update.conflicts, update.screen()
        assert "rules_file" not in (project / ".copier-answers.yml").read_text("utf-8")
        assert not (project / RULES).exists()
        assert promotion(project) == before
        # Word for word, since the second version at the latest.
        assert section(project) == lines or start == "v1.0.0"
        versions.commit(project)
        lines = section(project)


def test_rules_that_were_moved_stay_where_they_are(published: Path, tmp_path: Path) -> None:
    project = versions.start(published, tmp_path / "project", OLDER[-1])
    versions.update(project, versions.WORKING_TREE)
    text = (project / MLFLOW).read_text("utf-8")
    start, _, rest = text.partition("\npromotion:")
    moved, _, rest = rest.partition("\n\n")
    (project / MLFLOW).write_text(f"{start}\n{rest}", "utf-8")
    (project / RULES).write_text(f"promotion:{moved}\n".replace("min: 0.3", "min: 0.9"), "utf-8")
    versions.commit(project)
    before, written = promotion(project), (project / RULES).read_text("utf-8")
    assert not versions.update(project, versions.NEXT).conflicts
    assert promotion(project) == before
    assert (project / RULES).read_text("utf-8") == written
    assert "\npromotion:" not in (project / MLFLOW).read_text("utf-8")


@pytest.mark.parametrize("deleted", [False, True])
def test_rules_in_their_own_file_are_left_alone(
    published: Path, tmp_path: Path, deleted: bool
) -> None:
    project = versions.start(published, tmp_path / "project", versions.WORKING_TREE)
    assert "\npromotion:" not in (project / MLFLOW).read_text("utf-8")
    written = versions.edit(project / RULES, *EDITS["limits"])
    if deleted:
        (project / RULES).unlink()
    versions.commit(project)
    before = promotion(project)
    assert not versions.update(project, versions.NEXT).conflicts
    assert "\npromotion:" not in (project / MLFLOW).read_text("utf-8")
    assert promotion(project) == before
    if deleted:
        assert not (project / RULES).exists()
    else:
        assert (project / RULES).read_text("utf-8") == written


def test_both_places_have_the_same_rules(published: Path, tmp_path: Path) -> None:
    """A project that begins today is judged as one that began with the first version."""
    older = versions.start(published, tmp_path / "older", OLDER[-1])
    versions.update(older, versions.WORKING_TREE)
    newer = versions.start(published, tmp_path / "newer", versions.WORKING_TREE)
    # But the study's rows have the name of its catalog there, and of any catalog here.
    assert promotion(older) | {"holdout": "test_records"} == promotion(newer)


def test_a_project_that_is_copied_again_has_its_rules_once(published: Path, tmp_path: Path) -> None:
    project = versions.start(published, tmp_path / "project", OLDER[-1])
    with answers.quick_copier():
        run_recopy(
            project,
            vcs_ref=versions.WORKING_TREE,
            overwrite=True,
            **versions.UNATTENDED,
        )
    assert section(project)
    assert not (project / RULES).exists()
