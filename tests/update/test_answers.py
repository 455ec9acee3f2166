"""Answers change later: what is rendered follows them, what was edited stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from copier import run_update

from tests.support import answers, versions
from tests.support.profiles import IS_WEEKLY, weekly
from tests.support.updates import is_in

pytestmark = pytest.mark.usefixtures("kept_templates", "nobodys_machine")

# A new answer to each question that can change, and what goes with it: every choice but the first.
CHANGES: list[dict[str, str]] = [
    {"project_name": "Another Name"},
    {"description": "Says who leaves, and why: 100 % of the time"},
    {"author_name": "Ada Lovelace", "author_email": "ada@example.com"},
    {"tracking_preset": "server", "tracking_uri": "https://mlflow.example.com"},
]
CHANGES += [
    answers.coherent({key: choice})
    for key, question in answers.questions().items()
    for choice in answers.choices(question)[1:]
    if choice != "server"
]


def together(changes: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """One choice of each question, eight answers or so at once."""
    found: list[dict[str, str]] = []
    for change in changes:
        if any(change.keys() <= earlier.keys() for earlier in found):
            continue
        if found and len(found[-1]) < 8 and answers.coherent(both := found[-1] | change) == both:
            found[-1] = both
        else:
            found.append(dict(change))
    return found


# For each commit several answers change at once; weekly each choice by itself.
CHANGED = CHANGES if IS_WEEKLY else together(CHANGES)
SERVER = "src/diabetes_progression/mlops/serving/server.py"


def name_of(change: Mapping[str, str]) -> str:
    return "-".join(f"{key}={answer}" for key, answer in change.items())[:60]


def default_project(published: Path, tmp_path: Path) -> Path:
    return versions.start(published, tmp_path / "project", versions.WORKING_TREE)


def of_the_template(project: Path) -> dict[str, bytes]:
    yours = answers.ownership(project)["yours"]
    return {
        path: content
        for path, content in answers.files(project).items()
        if not any(Path(path).is_relative_to(owned) for owned in yours)
    }


def test_every_question_that_is_asked_is_changed_here() -> None:
    changed = {key for change in CHANGES for key in change}
    asked = {key for key, asked in answers.questions().items() if asked.get("when") is not False}
    assert changed == asked - {"package_name"}


@pytest.mark.parametrize("change", CHANGED, ids=map(name_of, CHANGED))
def test_a_changed_answer_gives_a_fresh_copy_and_changed_back_the_old_one(
    change: dict[str, str], published: Path, tmp_path: Path
) -> None:
    project = default_project(published, tmp_path)
    before, recorded = answers.files(project), answers.recorded(project)
    versions.update(project, versions.WORKING_TREE, change)
    whole = {"package_name": "diabetes_progression"} | change
    fresh = versions.copy(published, tmp_path / "fresh", versions.WORKING_TREE, whole)
    assert of_the_template(project) == of_the_template(fresh)

    versions.commit(project)
    back = {key: recorded[key] for key in change if key in recorded}
    versions.update(project, versions.WORKING_TREE, back)
    assert answers.files(project) == before


def test_an_answer_and_the_version_change_at_once(published: Path, tmp_path: Path) -> None:
    project = default_project(published, tmp_path)
    change = {"ci": "gitlab", "serving_target": "none"}
    versions.update(project, versions.NEXT, change)
    fresh = versions.copy(published, tmp_path / "fresh", versions.NEXT, change)
    assert of_the_template(project) == of_the_template(fresh)


@pytest.mark.parametrize(
    "tag", [versions.released()[-1], pytest.param(versions.WORKING_TREE, marks=weekly)]
)
@pytest.mark.parametrize("example", answers.choices(answers.questions()["example"])[1:])
def test_another_example_changes_nothing_of_the_owners(
    example: str, tag: str, published: Path, tmp_path: Path
) -> None:
    project = versions.start(published, tmp_path / "project", tag)
    before = answers.files(project)
    yours = answers.ownership(project)["yours"]
    versions.update(project, versions.WORKING_TREE, {"example": example})
    after = answers.files(project)
    assert answers.recorded(project)["example"] == example
    yours_now = answers.ownership(project)["yours"]
    owned = {path: text for path, text in before.items() if is_in(path, yours)}
    assert after.items() >= owned.items()
    assert [path for path in after.keys() - before.keys() if is_in(path, yours_now)] == []


def test_an_older_project_has_the_default_example_and_keeps_its_names(
    published: Path, tmp_path: Path
) -> None:
    project = versions.start(published, tmp_path / "project", "v2.0.0")
    for tag in (versions.WORKING_TREE, versions.NEXT):
        versions.update(project, tag)
        versions.commit(project)
        assert answers.recorded(project)["example"] == "regression"
        # The rules are about data sets of its own catalog.
        rules = (project / "conf/base/mlflow.yml").read_text("utf-8")
        assert "  holdout: test_patients " in rules
        assert not (project / "tests/data").exists()


@pytest.mark.parametrize("tag", [old for old, new in versions.steps() if new != versions.NEXT])
def test_an_older_project_gets_a_feature(tag: str, published: Path, tmp_path: Path) -> None:
    project = versions.start(published, tmp_path / "project", tag)
    feature = {"features": "[tuning, monitoring]"}
    assert not versions.update(project, versions.WORKING_TREE, feature).conflicts
    assert answers.recorded(project).items() >= feature.items()
    assert (project / "conf/base/tuning.yml").is_file()
    assert (project / "conf/base/monitoring.yml").is_file()


# --- what the new answers do without ---


def test_an_edited_file_that_the_new_answer_does_without_stays_and_is_named(
    published: Path, tmp_path: Path
) -> None:
    project = default_project(published, tmp_path)
    edited = (project / SERVER).read_bytes() + b"# mine\n"
    (project / SERVER).write_bytes(edited)
    versions.commit(project)
    update = versions.update(project, versions.WORKING_TREE, {"serving_target": "none"})
    assert update.kept == [SERVER]
    assert (project / SERVER).read_bytes() == edited
    # Its neighbours, which nobody has edited, are gone.
    assert {path.name for path in (project / SERVER).parent.iterdir()} == {"server.py"}
    assert not (project / "src/diabetes_progression/mlops/commands/serve.py").exists()
    assert SERVER in update.screen()


def test_a_kept_file_is_its_owners_from_then_on(published: Path, tmp_path: Path) -> None:
    project = default_project(published, tmp_path)
    (project / SERVER).write_bytes(b"mine\n")
    versions.commit(project)
    versions.update(project, versions.WORKING_TREE, {"serving_target": "none"})
    versions.commit(project)
    assert versions.update(project, versions.NEXT).kept == []
    assert (project / SERVER).read_bytes() == b"mine\n"


def test_copier_by_itself_removes_it_and_git_brings_it_back(
    published: Path, tmp_path: Path
) -> None:
    # What README says of `copier update` without the command around it.
    project = default_project(published, tmp_path)
    (project / SERVER).write_bytes(b"mine\n")
    versions.commit(project)
    run_update(
        project,
        data={"serving_target": "none"},
        vcs_ref=versions.WORKING_TREE,
        overwrite=True,
        **versions.UNATTENDED,
    )
    gone = answers.git(project, "diff", "--diff-filter=D", "--name-only").splitlines()
    assert SERVER in gone
    answers.git(project, "checkout", "HEAD", "--", SERVER)
    assert (project / SERVER).read_bytes() == b"mine\n"


# --- names ---


def test_another_package_name_is_refused_with_why_and_how(published: Path, tmp_path: Path) -> None:
    project = default_project(published, tmp_path)
    before = answers.files(project)
    with pytest.raises(ValueError, match="package_name=diabetes_progression") as refusal:
        versions.update(project, versions.NEXT, {"package_name": "another"})
    sentence = str(refusal.value).partition("': ")[2]
    assert "src/diabetes_progression" in sentence
    assert "copy a new project" in sentence
    assert "\n" not in sentence
    assert answers.files(project) == before


def test_a_new_project_name_leaves_the_package_its_name(published: Path, tmp_path: Path) -> None:
    project = default_project(published, tmp_path)
    versions.update(project, versions.WORKING_TREE, {"project_name": "Another Name"})
    assert answers.recorded(project)["package_name"] == "diabetes_progression"
    assert (project / "README.md").read_text("utf-8").startswith("# Another Name\n")
    assert 'project_name = "Another Name"' in (project / "pyproject.toml").read_text("utf-8")
