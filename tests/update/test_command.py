"""`kedro mlflow update` as its user types it: a real repository, real merges.

With copier through uv: test_hostile.py.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support import answers, versions
from tests.support.profiles import weekly
from tests.support.project import Project
from tests.support.updates import ALONE, conflict, out_of_reach, status


def update(project: Project, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    return project.kedro("mlflow", "update", *arguments, code=code, env=ALONE)


def test_a_conflict_is_named_and_taken_back_by_what_the_screen_says(older: Project) -> None:
    conflict(older.folder)
    (older.folder / ".env").write_text("MINE=1\n")
    before = answers.files(older.folder)
    screen = update(older, code=3).stdout
    assert "    conf/base/mlflow.yml\n" in screen
    markers = (older.folder / "conf/base/mlflow.yml").read_text("utf-8")
    assert "<<<<<<< before updating\n# mine\n=======\n" in markers
    assert "UU conf/base/mlflow.yml" in status(older)

    take_back = screen.rpartition("Or take it back: ")[2].strip()
    subprocess.run(take_back, shell=True, cwd=older.folder, check=True, capture_output=True)
    assert answers.files(older.folder) == before
    assert status(older) == ""


def test_changes_that_are_not_committed_are_refused(older: Project) -> None:
    older.write("notes.md", "mine\n")
    result = update(older, code=1)
    assert "Commit or stash your changes first" in result.stderr
    assert status(older) == "?? notes.md\n"


def test_a_refused_answer_is_one_sentence(older: Project) -> None:
    result = update(older, "-d", "package_name=another", code=1)
    assert result.stderr.startswith("Error: Leave package_name=diabetes_progression: ")
    assert len(result.stderr.splitlines()) == 1
    assert status(older) == ""


@weekly
def test_an_answer_that_is_needed_as_well_is_named_where_nobody_can_be_asked(
    older: Project,
) -> None:
    result = update(older, "-d", "tracking_preset=sagemaker", code=1)
    assert result.stderr == "Error: Answer tracking_uri as well: -d tracking_uri=VALUE.\n"
    assert status(older) == ""


@weekly
def test_a_file_that_its_owner_has_made_a_folder_is_named(older: Project) -> None:
    (older.folder / "README.md").unlink()
    (older.folder / "README.md").mkdir()
    older.write("README.md/mine.md", "mine\n")
    versions.commit(older.folder)
    said = update(older, code=1).stderr
    assert said.startswith("Error: README.md is a folder here and a file in the template: rename")
    assert len(said.splitlines()) == 1
    assert status(older) == ""


@weekly
def test_the_newest_version_says_that_it_is(older: Project) -> None:
    screen = update(older).stdout
    assert f"Update from {versions.WORKING_TREE} to {versions.NEXT}" in screen
    assert versions.MARK in (older.folder / "pyproject.toml").read_text("utf-8")
    versions.commit(older.folder)
    screen = update(older).stdout
    assert (
        screen == f"This project is from {versions.NEXT} of its template. There is no newer one.\n"
    )


@weekly
def test_an_answer_changes_without_a_newer_version(
    published: Path, rendered: Project, tmp_path: Path
) -> None:
    folder = versions.start(published, tmp_path / "newest", versions.NEXT)
    update(Project(folder, rendered.environment), "-d", "ci=gitlab")
    assert (folder / ".gitlab-ci.yml").exists()
    assert not (folder / ".github").exists()


def test_checking_changes_nothing(older: Project) -> None:
    assert f"There is a newer one: {versions.NEXT}." in update(older, "--check").stdout
    assert status(older) == ""


def test_the_doctor_tells_of_a_newer_version_if_it_can_find_out(older: Project) -> None:
    def findings() -> dict[str, str]:
        screen = older.kedro("mlflow", "doctor", "--json", env=ALONE).stdout
        return {check["name"]: check["message"] for check in json.loads(screen)["checks"]}

    assert findings()["template"] == f"{versions.NEXT} is there"
    out_of_reach(older.folder)
    assert "template" not in findings()


# --- another address, and another template in its place ---


@pytest.mark.parametrize(
    ("more", "done"),
    [
        (("--check",), f"There is a newer one: {versions.NEXT}."),
        pytest.param((), f"{versions.WORKING_TREE} to {versions.NEXT}", marks=weekly),
    ],
)
def test_a_template_that_has_moved_is_an_error_that_names_the_way_there(
    older: Project, published: Path, tmp_path: Path, more: tuple[str, ...], done: str
) -> None:
    out_of_reach(older.folder)
    for request in ((), ("--request", str(tmp_path / "request.md"))):
        said = update(older, *request, code=1).stderr
        assert "cannot be asked for its versions: git ls-remote failed: fatal: unable" in said
        assert "`uv run kedro mlflow update --from ADDRESS`" in said
    assert not (tmp_path / "request.md").exists()
    assert status(older) == ""

    said = update(older, "--from", str(tmp_path / "nowhere"), code=1).stderr
    assert "git clone failed: fatal: repository" in said
    other = tmp_path / "other"
    answers.git(tmp_path, "init", "--quiet", str(other))
    answers.git(other, "commit", "--quiet", "--allow-empty", "--message", "Another")
    said = update(older, "--from", str(other), code=1).stderr
    assert f"{other} has no version {versions.WORKING_TREE}, which this project is from" in said
    assert status(older) == ""
    answers.git(tmp_path, "clone", "--quiet", str(published), "moved")
    screen = update(older, "--from", "../moved", *more).stdout
    assert done in screen
    assert "Take the template from " in answers.git(older.folder, "log", "-1", "--format=%s")
    assert f"_src_path: {tmp_path / 'moved'}\n" in older.read(".copier-answers.yml")


def test_another_template_is_refused_unless_its_name_is_given(
    older: Project, published: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    answers.git(published, "clone", "--quiet", str(published), str(other))
    file = older.folder / ".copier-answers.yml"
    file.write_text(file.read_text("utf-8").replace(str(published), str(other)), "utf-8")
    versions.commit(older.folder)
    none: tuple[str, ...] = ()
    request = ("--request", str(tmp_path / "request.md"), "--template", str(published))
    for arguments in (none, request):
        said = update(older, *arguments, code=1).stderr
        assert f"names {other} as the template, and not {published}" in said
        assert status(older) == ""
    # One with commands is rendered by no name.
    (other / "copier.yml").write_text("_tasks: [touch /tmp/x]\n" + versions.MARK, "utf-8")
    versions.publish(other, "v1000.0.0")
    said = update(older, "--template", str(other), code=1).stderr
    assert "has _tasks in its copier.yml" in said
