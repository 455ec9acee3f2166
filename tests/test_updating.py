"""`copier update`: what is the user's stays the user's, and an answer can change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from copier import Settings, run_update

from tests import answers

MARK = "# a line of the next version\n"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as a git repository with two releases; the second adds a line to every file."""
    folder = answers.copy_template(tmp_path_factory.mktemp("released") / "template")
    release(folder, "v1.0.0")
    for path in (folder / "template").rglob("*"):
        if path.is_file():
            path.write_text(path.read_text("utf-8") + MARK, "utf-8")
    release(folder, "v1.1.0")
    return folder


def release(template: Path, tag: str) -> None:
    answers.git(template, "init", "--quiet")
    commit(template)
    answers.git(template, "tag", tag)


def commit(folder: Path) -> None:
    answers.git(folder, "add", "--all")
    answers.git(folder, "commit", "--quiet", "--message", "all of it")


def start(template: Path, project: Path, version: str, given: Mapping[str, str]) -> Path:
    """A project of this version of the template, committed."""
    answers.render(template, project, given, version=version)
    answers.git(project, "init", "--quiet")
    commit(project)
    return project


def update(project: Path, version: str, given: Mapping[str, str]) -> None:
    run_update(
        project,
        data=answers.known(given),
        settings=Settings(),
        vcs_ref=version,
        defaults=True,
        overwrite=True,
        quiet=True,
        unsafe=True,
    )


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copier commits to repositories of its own while it updates, and git wants to know who."""
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Test")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "test@example.com")


pytestmark = pytest.mark.usefixtures("identity")


def test_an_update_renews_all_files_but_the_users(released: Path, tmp_path: Path) -> None:
    project = start(released, tmp_path / "project", "v1.0.0", {})
    before = answers.files(project)
    update(project, "v1.1.0", {})
    after = answers.files(project)
    unchanged = {path for path in before if before[path] == after[path]}
    yours = answers.ownership(project)["yours"]
    assert unchanged == {
        path for path in before if any(Path(path).is_relative_to(owned) for owned in yours)
    }
    assert after.keys() == before.keys()


def test_edits_and_deletions_of_the_user_survive(released: Path, tmp_path: Path) -> None:
    project = start(released, tmp_path / "project", "v1.0.0", {})
    package = project / "src" / "diabetes_progression"
    catalog, registry = project / "conf/base/catalog.yml", package / "pipeline_registry.py"
    pyproject, mine = project / "pyproject.toml", package / "pipelines" / "mine.py"
    catalog.write_text("mine: {type: MemoryDataset}\n")
    mine.write_text('"""A pipeline of my own."""\n')
    pyproject.write_text(pyproject.read_text().replace('version = "0.1.0"', 'version = "2.0.0"'))
    registry.unlink()
    (project / "conf/base/parameters.yml").unlink()
    commit(project)

    update(project, "v1.1.0", {})

    assert catalog.read_text() == "mine: {type: MemoryDataset}\n"
    assert mine.read_text() == '"""A pipeline of my own."""\n'
    assert 'version = "2.0.0"' in pyproject.read_text()
    assert pyproject.read_text().endswith(MARK)
    assert not registry.exists()
    assert not (project / "conf/base/parameters.yml").exists()
    assert b"<<<<<<<" not in b"".join(answers.files(project).values())


def test_a_file_that_git_ignores_is_left_alone(released: Path, tmp_path: Path) -> None:
    project = start(released, tmp_path / "project", "v1.0.0", {})
    ignored = ["conf/local/credentials.yml", "data/08_reporting/evaluation.json", ".env"]
    for path in ignored:
        (project / path).write_text("mine\n")
    update(project, "v1.1.0", {})
    assert all((project / path).read_text() == "mine\n" for path in ignored)


LAPTOP = {"tracking_preset": "local", "serving_target": "mlflow", "ci": "github", "license": "MIT"}
TEAM = {
    "tracking_preset": "server",
    "tracking_uri": "https://mlflow.example.com",
    "serving_target": "none",
    "ci": "gitlab",
    "license": "Proprietary",
}


@pytest.mark.parametrize(
    ("old", "new"), [(LAPTOP, TEAM), (TEAM, LAPTOP)], ids=["to-the-team", "to-a-laptop"]
)
def test_a_changed_answer_gives_what_a_fresh_copy_gives(
    old: dict[str, str], new: dict[str, str], released: Path, tmp_path: Path
) -> None:
    project = start(released, tmp_path / "project", "v1.0.0", old)
    update(project, "v1.1.0", new)
    fresh = answers.render(released, tmp_path / "fresh", new, version="v1.1.0")
    yours = answers.ownership(project)["yours"]

    def of_the_template(folder: Path) -> dict[str, bytes]:
        return {
            path: content
            for path, content in answers.files(folder).items()
            if not any(Path(path).is_relative_to(owned) for owned in yours)
        }

    assert of_the_template(project) == of_the_template(fresh)
