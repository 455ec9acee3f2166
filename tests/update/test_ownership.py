"""Whose a file is: copier.yml decides it, the two READMEs say it."""

from __future__ import annotations

from pathlib import Path

import pytest
from copier import run_recopy
from copier._main import _operation
from copier._types import Operation

from tests.support import answers, versions

pytestmark = pytest.mark.usefixtures("kept_templates", "nobodys_machine")

SHEETS = versions.sheets(versions.WORKING_TREE)


def rendered_by(operation: Operation, published: Path, folder: Path, sheet: dict[str, str]) -> Path:
    """What copying renders, or an update: copier lets the outer of two operations count."""
    token = _operation.set(operation)
    try:
        return versions.copy(published, folder, versions.WORKING_TREE, sheet)
    finally:
        _operation.reset(token)


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet["tracking_preset"])
def test_yours_in_readme_is_what_an_update_does_not_render(
    sheet: dict[str, str], published: Path, tmp_path: Path
) -> None:
    project = rendered_by("copy", published, tmp_path / "copy", sheet)
    update = rendered_by("update", published, tmp_path / "update", sheet)
    left_alone = answers.files(project).keys() - answers.files(update).keys()
    yours = answers.ownership(project)["yours"]
    assert left_alone
    assert left_alone == {
        path for path in answers.files(project) if any(Path(path).is_relative_to(y) for y in yours)
    }


def test_a_project_that_is_copied_again_keeps_what_is_its_owners(
    published: Path, tmp_path: Path
) -> None:
    project = versions.start(published, tmp_path / "project", versions.WORKING_TREE)
    yours = answers.ownership(project)["yours"]
    mine = [
        path for path in answers.files(project) if any(Path(path).is_relative_to(y) for y in yours)
    ]
    for path in mine:
        (project / path).write_text("mine\n", "utf-8")
    (project / mine.pop()).unlink()
    before = answers.files(project)
    with answers.quick_copier():
        run_recopy(project, vcs_ref=versions.NEXT, overwrite=True, **versions.UNATTENDED)
    after = answers.files(project)
    assert {path: after[path] for path in mine} == {path: before[path] for path in mine}
    assert not [path for path in after.keys() - before.keys() if not path.endswith("next.py")]
    assert versions.MARK in (project / "pyproject.toml").read_text("utf-8")
    # Another project with these answers is a new one, and gets its own.
    noted = {"package_folder": "diabetes_progression", "rules_file": "conf/base/promotion.yml"}
    given = answers.recorded(project)
    other = versions.copy(published, tmp_path / "other", versions.NEXT, given, noted)
    assert set(mine) < answers.files(other).keys()


def test_every_row_has_an_owner_that_copier_knows(published: Path, tmp_path: Path) -> None:
    project = versions.copy(published, tmp_path / "project", versions.WORKING_TREE)
    assert list(answers.ownership(project)) == ["yours", "shared", "the template's"]
