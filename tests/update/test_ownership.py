"""Whose a file is: copier.yml decides it, the two READMEs say it."""

from __future__ import annotations

from pathlib import Path

import pytest
from copier import run_copy, run_recopy
from copier._main import _operation
from copier._types import Operation

from tests.support import answers, versions

pytestmark = pytest.mark.usefixtures("kept_templates", "nobodys_machine")

# What docs/adopting.md has an owner add to their own.
SETTINGS = """# HOOKS = (ProjectHooks(),)

from .mlops import MlflowHook, environment_variable

HOOKS = (*globals().get("HOOKS", ()), MlflowHook())
CONFIG_LOADER_ARGS = {
    **globals().get("CONFIG_LOADER_ARGS", {}),
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**", "**/mlflow*"]},
    "merge_strategy": {"mlflow": "soft"},
    "custom_resolvers": {"oc.env": environment_variable},
}
"""
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


def test_a_project_that_has_adopted_the_template_meets_no_conflict(
    published: Path, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    package = project / "src/old_study"
    package.mkdir(parents=True)
    own = {"__init__.py": '__version__ = "0.1"\n', "__main__.py": "main = print\n"}
    for path, text in {**own, "settings.py": SETTINGS, "../../README.md": "# Ours\n"}.items():
        (package / path).write_text(text, "utf-8")
    run_copy(
        str(published),
        project,
        data={"adopting": True, "package_name": "old_study"},
        vcs_ref=versions.WORKING_TREE,
        skip_if_exists=["**"],
        **versions.UNATTENDED,
    )
    answers.git(project, "init", "--quiet")
    versions.commit(project)
    for _ in range(2):
        assert versions.update(project, versions.NEXT).conflicts == []
        versions.commit(project)
    assert {path: (package / path).read_text("utf-8") for path in own} == own
    assert "HOOKS = (*globals()" in (package / "settings.py").read_text("utf-8")
    assert (project / "README.md").read_text("utf-8") == "# Ours\n"
    assert "model: null" in (project / "conf/base/mlflow.yml").read_text("utf-8")
    assert versions.MARK in (package / "mlops/hook.py").read_text("utf-8")


def test_a_project_that_adopts_the_template_gets_no_words_about_the_examples(
    published: Path, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    run_copy(
        str(published),
        project,
        data={"adopting": True, "package_name": "old_study"},
        vcs_ref=versions.WORKING_TREE,
        **versions.UNATTENDED,
    )
    absent = ("README.md", "conf/staging", "data/01_raw")
    assert [path for path in absent if (project / path).exists()] == []
    text = (project / "AGENTS.md").read_text("utf-8")
    assert [word for word in ("tests/data", "`records`") if word in text] == []


def test_every_row_has_an_owner_that_copier_knows(published: Path, tmp_path: Path) -> None:
    project = versions.copy(published, tmp_path / "project", versions.WORKING_TREE)
    assert list(answers.ownership(project)) == ["yours", "shared", "the template's"]
