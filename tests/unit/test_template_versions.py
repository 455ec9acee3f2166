"""Which version of the template is newer than a project's, and what is new in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import answers
from tests.support.rooms import Rooms

TAGS = ["v1.2.0", "v1.3.0-rc1", "v1.3.0", "nightly"]


def template_with(folder: Path, tags: list[str]) -> Path:
    folder.mkdir()
    answers.git(folder, "init", "--quiet")
    for tag in tags:
        sections = [f"## [{each.removeprefix('v')}] - 2030-01-01\n\n- {each}.\n" for each in tags]
        (folder / "CHANGELOG.md").write_text("## [Unreleased]\n\n" + "\n".join(sections), "utf-8")
        answers.git(folder, "add", "--all")
        answers.git(folder, "commit", "--quiet", "--allow-empty", "--message", tag)
        answers.git(folder, "tag", tag)
    return folder


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return template_with(tmp_path_factory.mktemp("versions") / "template", TAGS)


@pytest.mark.parametrize(
    ("version", "newest"),
    [
        ("v1.2.0", "v1.3.0"),
        ("v1.3.0", None),
        ("v1.3.0-rc1", "v1.3.0"),
        # What `git describe` calls a commit after a tag.
        ("v1.2.0-1-g8320fa8", "v1.3.0"),
        ("v1.3.0-1-g29a2d4d", None),
        # A commit before the first tag: a hash may begin like a version, and may be all digits.
        ("f58f7e5", "v1.3.0"),
        ("58e2711", "v1.3.0"),
        ("5812711", "v1.3.0"),
        ("12a3456", "v1.3.0"),
        ("v2.0.0", None),
    ],
)
def test_a_newer_release_is_found(
    mlops: Rooms, template: Path, version: str, newest: str | None
) -> None:
    origin = mlops("update.origin")
    assert origin.newest_version(origin.Origin(str(template), version)) == newest


@pytest.mark.parametrize(
    ("at", "described", "newest"),
    [
        ("first", "", "v1.1.0"),
        ("v1.0.0", "", "v1.1.0"),
        # It was tagged later: the project has it.
        ("v1.1.0", "", None),
        ("v1.1.0", "v1.0.0-2-g", None),
        ("last", "v1.0.0-3-g", None),
        ("aside", "v1.0.0-1-g", "v1.1.0"),
    ],
)
def test_what_is_in_a_commit_its_repository_says(
    mlops: Rooms, tmp_path: Path, at: str, described: str, newest: str | None
) -> None:
    origin, template = mlops("update.origin"), template_with(tmp_path / "template", [])
    for tag in ("first", "v1.0.0", "between", "v1.1.0", "last"):
        answers.git(template, "commit", "--quiet", "--allow-empty", "--message", tag)
        answers.git(template, "tag", tag)
    answers.git(template, "checkout", "--quiet", "-b", "aside", "v1.0.0")
    answers.git(template, "commit", "--quiet", "--allow-empty", "--message", "aside")
    commit = answers.git(template, "rev-parse", "--short", at).strip()
    ours = origin.Origin(str(template), f"{described}{commit}")
    assert origin.newest_version(ours) == newest


@pytest.mark.parametrize(
    ("tags", "newest"),
    [
        (["1.2.0", "1.10.0"], "1.10.0"),
        (["v1.2.0", "1.3.0", "v2", "not-a-version"], "v2"),
        (["v1.1.1", "v1.2.1-rc1"], None),
        ([], None),
    ],
)
def test_only_released_versions_count(
    mlops: Rooms, tmp_path: Path, tags: list[str], newest: str | None
) -> None:
    origin, template = mlops("update.origin"), template_with(tmp_path / "template", tags)
    assert origin.newest_version(origin.Origin(str(template), "v1.1.2")) == newest


def test_the_changelog_is_also_of_local_versions_and_epochs(mlops: Rooms, tmp_path: Path) -> None:
    origin = mlops("update.origin")
    template = template_with(tmp_path / "template", ["1.0+acme.2", "1.0+acme.10", "1!0.5"])
    text = origin.changelog(origin.Origin(str(template), "1.0+acme.2"), "1!0.5")
    assert [line for line in text.splitlines() if line[:2] == "- "] == [
        "- 1.0+acme.10.",
        "- 1!0.5.",
    ]


@pytest.mark.parametrize(
    ("version", "new"),
    [
        ("v1.2.0", ["v1.3.0-rc1", "v1.3.0"]),
        ("v1.3.0-rc1", ["v1.3.0"]),
        ("f58f7e5", ["v1.2.0", "v1.3.0-rc1", "v1.3.0"]),
    ],
)
def test_the_changelog_is_of_the_versions_since(
    mlops: Rooms, template: Path, version: str, new: list[str]
) -> None:
    origin = mlops("update.origin")
    text = origin.changelog(origin.Origin(str(template), version), "v1.3.0")
    assert [line.removeprefix("- ")[:-1] for line in text.splitlines() if line[:2] == "- "] == new
