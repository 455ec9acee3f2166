"""What an update promises, from every released version, with every tracking preset."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import answers, versions
from tests.support.profiles import weekly
from tests.support.updates import EXAMPLES, is_in

pytestmark = pytest.mark.usefixtures("kept_templates", "nobodys_machine")

CASES = [(old, new, sheet) for old, new in versions.steps() for sheet in versions.sheets(old)]
# For each commit one preset of each version; all of them weekly.
PARAMS = [
    pytest.param(case, marks=() if case[2]["tracking_preset"] == "local" else weekly)
    for case in CASES
]


def name_of(case: tuple[str, str, dict[str, str]]) -> str:
    old, new, sheet = case
    return f"{old}-{new}-{sheet['tracking_preset']}"


IGNORED = [
    ".env",
    "conf/local/credentials.yml",
    "data/01_raw/mine.csv",
    "data/06_models/regressor.skops",
    "mlflow.db",
    "mlartifacts/1/model",
    ".kedro_mlflow/journal/run.jsonl",
]


@dataclass(frozen=True)
class Updated:
    """A project before and after its update, and a fresh copy of the version it went to."""

    project: Path
    version: str
    before: dict[str, bytes]
    after: dict[str, bytes]
    fresh: dict[str, bytes]
    yours: list[str]

    def is_yours(self, path: str) -> bool:
        return is_in(path, [*IGNORED, *self.yours])


@pytest.fixture(scope="module", params=PARAMS, ids=list(map(name_of, CASES)))
def untouched(
    request: pytest.FixtureRequest, published: Path, tmp_path_factory: pytest.TempPathFactory
) -> Updated:
    """A project in which nothing was changed, but in which work was done."""
    old, new, sheet = request.param
    folder = tmp_path_factory.mktemp("untouched")
    project = versions.start(published, folder / "project", old, sheet)
    write_what_git_ignores(project)
    return updated(published, project, new, sheet)


@pytest.fixture(scope="module", params=PARAMS, ids=list(map(name_of, CASES)))
def lived_in(
    request: pytest.FixtureRequest, published: Path, tmp_path_factory: pytest.TempPathFactory
) -> Updated:
    """A project with a line of its owner in each file, some files deleted and some added."""
    old, new, sheet = request.param
    folder = tmp_path_factory.mktemp("lived-in")
    project = versions.start(published, folder / "project", old, sheet)
    for path, content in answers.files(project).items():
        if path != ".copier-answers.yml":
            (project / path).write_bytes(line_of_mine(path) + content)
    for path in deleted(project):
        (project / path).unlink()
    (project / "notebooks").mkdir()
    (project / "notebooks" / "mine.py").write_bytes(line_of_mine("notebooks/mine.py"))
    versions.commit(project)
    write_what_git_ignores(project)
    return updated(published, project, new, sheet)


def updated(published: Path, project: Path, new: str, sheet: dict[str, str]) -> Updated:
    before = answers.files(project)
    versions.update(project, new)
    noted = {} if b"\nrules_file: " in before[".copier-answers.yml"] else OLDER
    fresh = versions.copy(published, project.with_name("fresh"), new, sheet, noted)
    # An older project has no `tests/data`, and its README names none.
    yours, after = [*answers.ownership(fresh)["yours"], "tests/data"], answers.files(project)
    return Updated(project, new, before, after, answers.files(fresh), yours)


def write_what_git_ignores(project: Path) -> None:
    for path in IGNORED:
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_bytes(f"mine: {path}".encode())
    assert answers.git(project, "status", "--porcelain") == ""


def line_of_mine(path: str) -> bytes:
    return f"# a line of mine in {path}\n".encode()


def deleted(project: Path) -> list[str]:
    """A file of each owner."""
    package = f"src/{answers.recorded(project)['package_name']}"
    return ["conf/base/parameters.yml", "conf/logging.yml", f"{package}/__main__.py"]


# What the answers file of a project says that is older than `conf/base/promotion.yml`.
OLDER = {"package_folder": "diabetes_progression"}
# Only projects that began with version 1 have it.
OLD_NAMES = "/mlops/old_names.py"

# --- a project that nobody has edited ---


def test_untouched_files_become_those_of_a_fresh_copy(untouched: Updated) -> None:
    def of_the_template(files: dict[str, bytes]) -> dict[str, bytes]:
        return {
            path: text
            for path, text in files.items()
            if not untouched.is_yours(path) and not path.endswith(OLD_NAMES)
            if not path.startswith(EXAMPLES)
        }

    assert of_the_template(untouched.after) == of_the_template(untouched.fresh)


def test_what_agents_md_names_is_there(untouched: Updated) -> None:
    named = re.findall(r"`([^`\s]+[./][^`\s]*)`", untouched.after["AGENTS.md"].decode("utf-8"))
    assert len(named) > 10
    missing = {path for path in named if not (untouched.project / path).exists()}
    assert missing <= ({".env.example"} if untouched.version == versions.NEXT else set())


def test_files_that_are_yours_stay_byte_for_byte(untouched: Updated) -> None:
    def of_yours(files: dict[str, bytes]) -> dict[str, bytes]:
        return {path: text for path, text in files.items() if untouched.is_yours(path)}

    assert of_yours(untouched.after) == of_yours(untouched.before)


def test_a_second_update_changes_nothing_more(untouched: Updated) -> None:
    versions.commit(untouched.project)
    versions.update(untouched.project, untouched.version)
    assert answers.git(untouched.project, "status", "--porcelain") == ""


# --- a project that somebody works in ---


def test_every_edit_is_still_there(lived_in: Updated) -> None:
    for path, text in lived_in.before.items():
        if line_of_mine(path) in text:
            assert line_of_mine(path) in lived_in.after[path], path


def test_edits_of_files_that_are_yours_meet_no_template(lived_in: Updated) -> None:
    owned = [path for path in lived_in.before if lived_in.is_yours(path)]
    assert {path: lived_in.after.get(path) for path in owned} == {
        path: lived_in.before[path] for path in owned
    }


def test_what_was_deleted_stays_deleted(lived_in: Updated) -> None:
    fresh = lived_in.project.with_name("fresh")
    assert not lived_in.after.keys() & set(deleted(fresh))


def test_the_rest_is_what_a_fresh_copy_has(lived_in: Updated) -> None:
    fresh = lived_in.project.with_name("fresh")
    added = {
        path for path in lived_in.after if not path.endswith(OLD_NAMES)
    } - lived_in.fresh.keys()
    assert added == {*IGNORED, "notebooks/mine.py"} | {
        path for path in lived_in.before if path not in lived_in.fresh
    }
    for path in lived_in.fresh.keys() - set(deleted(fresh)) - {".copier-answers.yml"}:
        if path in lived_in.before and not lived_in.is_yours(path):
            without = lived_in.after[path].replace(line_of_mine(path), b"")
            assert without == lived_in.fresh[path] or has_markers(without), path


def has_markers(text: bytes) -> bool:
    return re.search(rb"^(<{7}|={7}|>{7})( |$)", text, re.MULTILINE) is not None
