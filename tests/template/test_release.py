"""`make release`: what is released is kept, and every release says what it means for a project."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import answers

NOTHING = "- Nothing.\n"
FIRST = {"Added": "- The template.\n", "To do": NOTHING}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository as a release sees it, of a small template; it has something to release."""
    folder = tmp_path / "repository"
    for name in ("scripts", "template"):
        (folder / name).mkdir(parents=True)
    (folder / "copier.yml").write_text("_subdirectory: template\n")
    (folder / "template/README.md").write_text("# A project\n")
    shutil.copy(answers.REPOSITORY / "scripts/release.py", folder / "scripts")
    shutil.copy(answers.REPOSITORY / ".gitignore", folder)
    answers.git(folder, "init", "--quiet", "--initial-branch", "main")
    for key in ("name", "email"):
        answers.git(folder, "config", f"user.{key}", "test@example.com")
    write_notes(folder, FIRST)
    return folder


def write_notes(repository: Path, notes: dict[str, str]) -> None:
    """Put entries under Unreleased, by their kind, and commit them."""
    file = repository / "CHANGELOG.md"
    unreleased = "".join(f"### {kind}\n\n{entries}\n" for kind, entries in notes.items())
    text = file.read_text("utf-8") if file.exists() else ""
    released = re.search(r"^## \[\d.*", text, re.DOTALL | re.MULTILINE)
    older = released[0] if released else ""
    file.write_text(f"# Changelog\n\n## [Unreleased]\n\n{unreleased}{older}", "utf-8")
    answers.git(repository, "add", "--all")
    answers.git(repository, "commit", "--quiet", "--allow-empty", "--message", "Notes")


def release(repository: Path, version: str, code: int = 0) -> str:
    result = subprocess.run(
        [sys.executable, "scripts/release.py", version],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout + result.stderr


def test_a_release_is_a_commit_a_tag_and_an_archive(repository: Path) -> None:
    assert "git push --atomic origin HEAD v1.0.0" in release(repository, "1.0.0")
    assert answers.git(repository, "status", "--porcelain") == ""
    assert answers.git(repository, "describe", "--exact-match").strip() == "v1.0.0"
    changed = answers.git(repository, "show", "--name-only", "--format=%s", "HEAD").split("\n")
    assert changed[:1] + changed[2:4] == [
        "Release 1.0.0",
        "CHANGELOG.md",
        "tests/update/releases/1.0.0.tar.xz",
    ]
    text = (repository / "CHANGELOG.md").read_text("utf-8")
    heading = (
        r"## \[Unreleased\]\n\n## \[1\.0\.0\] - \d{4}-\d\d-\d\d\n\n### Added\n\n- The template"
    )
    assert re.search(heading, text)


def test_the_archive_renders_what_the_template_renders(repository: Path, tmp_path: Path) -> None:
    # Its own copy: other tests have rendered from theirs, and Python left its caches there.
    template = answers.copy_template(tmp_path / "template")
    shutil.rmtree(repository / "template")
    answers.copy_template(repository)
    write_notes(repository, FIRST)
    # What lies around and is not committed is none of it.
    (repository / "template" / "__pycache__").mkdir()
    (repository / "template" / "__pycache__" / "x.pyc").write_bytes(b"")
    release(repository, "1.0.0")
    shutil.unpack_archive(repository / "tests/update/releases/1.0.0.tar.xz", tmp_path / "kept")
    assert answers.files(tmp_path / "kept") == answers.files(template)
    kept = answers.files(answers.render(tmp_path / "kept", tmp_path / "a"))
    rendered = answers.files(answers.render(template, tmp_path / "b"))
    assert kept.keys() == rendered.keys()
    assert [path for path in kept if kept[path] != rendered[path]] == [".copier-answers.yml"]


def test_the_same_template_gives_the_same_archive(repository: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    answers.git(repository, "clone", "--quiet", str(repository), str(copy))
    for key in ("name", "email"):
        answers.git(copy, "config", f"user.{key}", "another@example.com")
    (copy / "copier.yml").touch()
    release(repository, "1.0.0")
    release(copy, "1.0.0")
    archives = [folder / "tests/update/releases/1.0.0.tar.xz" for folder in (repository, copy)]
    assert archives[0].read_bytes() == archives[1].read_bytes()


def test_the_number_that_goes_up_is_the_one_that_the_changelog_tells(repository: Path) -> None:
    release(repository, "1.0.0")
    fixed, manual = {"Fixed": "- It works.\n", "To do": NOTHING}, {"To do": "- Rename a key.\n"}
    for notes, due, others in (
        (fixed, "1.0.1", ["1.1.0", "2.0.0"]),
        ({"Added": "- More.\n"} | fixed, "1.1.0", ["1.0.2", "2.0.0"]),
        ({"Changed": "- Other.\n"} | manual, "2.0.0", ["1.1.1", "1.2.0", "3.0.0"]),
    ):
        write_notes(repository, notes)
        for other in others:
            assert f"that makes it {due}." in release(repository, other, code=1)
        release(repository, due)


@pytest.mark.parametrize(
    ("notes", "remedy"),
    [
        ({}, "says of no change"),
        ({"To do": NOTHING}, "says of no change"),
        ({"Added": "\n", "To do": NOTHING}, "says of no change"),
        ({"Added": "- The template.\n"}, "does not say what an owner must do"),
    ],
)
def test_a_changelog_that_does_not_say_it_is_refused(
    notes: dict[str, str], remedy: str, repository: Path
) -> None:
    write_notes(repository, notes)
    assert remedy in release(repository, "1.0.0", code=1)


@pytest.mark.parametrize("version", ["", "1.0", "v1.0.0", "1.0.0rc1"])
def test_a_version_is_three_numbers(version: str, repository: Path) -> None:
    assert "three numbers" in release(repository, version, code=1)


def test_a_version_comes_after_the_newest(repository: Path) -> None:
    release(repository, "1.0.0")
    write_notes(repository, FIRST)
    assert "a version after 1.0.0" in release(repository, "1.0.0", code=1)


def test_what_is_not_committed_is_not_released(repository: Path) -> None:
    (repository / "copier.yml").write_text("")
    assert "Commit or stash" in release(repository, "1.0.0", code=1)
    assert answers.git(repository, "tag") == ""


def test_a_tag_that_is_there_is_left_alone(repository: Path) -> None:
    answers.git(repository, "tag", "v1.0.0")
    before = answers.git(repository, "rev-parse", "HEAD")
    assert "v1.0.0 is there already" in release(repository, "1.0.0", code=1)
    assert answers.git(repository, "rev-parse", "HEAD") == before
    assert answers.git(repository, "status", "--porcelain") == ""
