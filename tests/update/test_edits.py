"""Whatever the answers, the edits and the version: no traceback, and no line of the user's lost."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.support import answers, versions
from tests.support.profiles import IS_WEEKLY, examples

pytestmark = pytest.mark.usefixtures("kept_templates", "nobodys_machine")

# --- edits: which file and which line, as shares of what there is, and the text ---

Edit: TypeAlias = "Callable[[Path], None]"

SHARES = st.floats(0, 1, exclude_max=True)
# Every line is the user's own: no line of the template begins like this. Line breaks that git knows
# are edits of their own; those that only Python knows (U+0085, U+2028, \x0b) belong into a line.
TEXTS = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20)
# Some are in no encoding.
BYTES = st.binary(max_size=20).map(lambda line: line.translate(None, b"\r\n\0"))
LINES = st.one_of(TEXTS.map(str.encode), BYTES)


@dataclass(frozen=True)
class Lines:
    """Lines of a file, from one on, replaced by others: by more, by fewer, by none."""

    file: float
    start: float
    count: int
    new: list[bytes]

    def __call__(self, project: Path) -> None:
        path = one_of(project, self.file)
        lines = path.read_bytes().splitlines(keepends=True)
        start = int(self.start * (len(lines) + 1))
        mine = [b"mine " + line + b"\n" for line in self.new]
        path.write_bytes(b"".join(lines[:start] + mine + lines[start + self.count :]))


@dataclass(frozen=True)
class Ends:
    """Other line ends: Windows', or none behind the last line."""

    file: float
    windows: bool

    def __call__(self, project: Path) -> None:
        path = one_of(project, self.file)
        content = path.read_bytes()
        if self.windows:
            path.write_bytes(re.sub(rb"\r?\n", rb"\r\n", content))
        else:
            path.write_bytes(content.rstrip(b"\r\n"))


@dataclass(frozen=True)
class Moved:
    """A file under another name, or in another folder."""

    file: float
    to: str

    def __call__(self, project: Path) -> None:
        path = one_of(project, self.file)
        new = path.parent / self.to.replace("*", path.name)
        new.parent.mkdir(parents=True, exist_ok=True)
        path.rename(new)


@dataclass(frozen=True)
class Deleted:
    """A file that its owner needs no more."""

    file: float

    def __call__(self, project: Path) -> None:
        one_of(project, self.file).unlink()


@dataclass(frozen=True)
class Linked:
    """A file that is in another place, which this machine does not have."""

    file: float
    to: str

    def __call__(self, project: Path) -> None:
        path = one_of(project, self.file)
        path.unlink()
        path.symlink_to(self.to)


@dataclass(frozen=True)
class Added:
    """A file of the user's own; the next version of the template may have one of its name."""

    path: str
    lines: list[bytes]

    def __call__(self, project: Path) -> None:
        path = project / self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(b"mine " + line + b"\n" for line in self.lines))


def one_of(project: Path, share: float) -> Path:
    """A file of the project; its answers are not for editing."""
    paths = [path for path in answers.files(project) if path != ".copier-answers.yml"]
    return project / paths[int(share * len(paths))]


NEW_IN_NEXT = versions.NEW_FILE.replace("{{ package_name }}", "diabetes_progression")
NAMES = ["mine-*", "mine/*", "*.old", "with space *", "ä-*"]
PATHS = [NEW_IN_NEXT, "mine.py", "conf/base/mine.yml", "docs/ein Blatt ü.md", "data/README.md"]
EDITS = st.one_of(
    st.builds(Lines, SHARES, SHARES, st.integers(0, 3), st.lists(LINES, max_size=3)),
    st.builds(Lines, SHARES, SHARES, st.integers(0, 3), st.lists(LINES, max_size=3)),
    st.builds(Ends, SHARES, st.booleans()),
    st.builds(Moved, SHARES, st.sampled_from(NAMES)),
    st.builds(Deleted, SHARES),
    st.builds(Linked, SHARES, st.sampled_from(["../../nowhere", "/nowhere/at/all"])),
    st.builds(Added, st.sampled_from(PATHS), st.lists(LINES, max_size=3)),
)

# --- projects: each version with each answer sheet is rendered and committed once ---

SHEETS = [
    {},
    *versions.sheets(versions.WORKING_TREE),
    {"serving_target": "none", "ci": "none"},
    {"ci": "gitlab", "description": "Says who leaves, and why: 100 % of the time"},
]


def asked(tag: str, sheet: dict[str, str]) -> dict[str, str]:
    """The answers to what a version asks."""
    return {key: value for key, value in sheet.items() if key in versions.questions(tag)}


# For each commit few of them: each is rendered in several versions.
OFTEN = range(len(SHEETS) if IS_WEEKLY else 2)

Started: TypeAlias = "Callable[[str, int], Path]"


@pytest.fixture(scope="module")
def started(published: Path, memory: Path) -> Started:
    """A project of a version, to be copied."""

    @cache
    def start(tag: str, sheet: int) -> Path:
        given = asked(tag, SHEETS[sheet])
        project = versions.start(published, memory / f"{tag}-{sheet}", tag, given)
        answers.git(project, "gc", "--quiet")
        return project

    return start


def lines_of(content: bytes) -> set[bytes]:
    return {line.removesuffix(b"\r") for line in content.split(b"\n")}


@settings(
    max_examples=examples(3, weekly=500),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    step=st.sampled_from(versions.steps()),
    old=st.sampled_from(OFTEN),
    new=st.sampled_from(OFTEN),
    edits=st.lists(EDITS, min_size=1, max_size=8),
)
def test_no_line_is_lost(
    step: tuple[str, str], old: int, new: int, edits: list[Edit], started: Started, memory: Path
) -> None:
    project = memory / "project"
    shutil.rmtree(project, ignore_errors=True)
    shutil.copytree(started(step[0], old), project)
    rendered = answers.files(project)
    for edit in edits:
        edit(project)
    versions.commit(project)
    before = answers.files(project)
    change = {key: value for key, value in SHEETS[new].items() if SHEETS[old].get(key) != value}

    update = versions.update(project, step[1], asked(step[1], change))

    after = answers.files(project)
    for path, content in before.items():
        mine = lines_of(content) - lines_of(rendered.get(path, b""))
        lost = mine - lines_of(after.get(path, b""))
        assert not lost, f"{path}: {sorted(lost)[:3]}"
    yours = answers.ownership(started(step[1], new))["yours"]
    for path in before.keys() | after.keys():
        if any(Path(path).is_relative_to(owned) for owned in yours):
            assert before.get(path) == after.get(path), path
    deleted = rendered.keys() - before.keys()
    assert not deleted & after.keys()
    marked = {path for path, content in after.items() if b"<<<<<<< before updating" in content}
    assert set(update.conflicts) == marked
    event("a conflict" if marked else "no conflict")
    event("a file is kept" if update.kept else "no file is kept")
