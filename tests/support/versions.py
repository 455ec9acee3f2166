"""Versions of the template in one git repository, and projects taken from one to another.

Every version that was ever released is kept as an archive under `tests/update/releases`: no test
needs tags or history. Behind them come the working tree and a version after it.
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import yaml
from copier import Settings, run_copy
from copier._cli import CopierApp
from copier._main import Worker, _operation
from copier._template import Template
from packaging.version import Version
from plumbum import local

from tests.support import answers
from tests.support.profiles import IS_WEEKLY
from tests.support.rooms import room

# copier asks nobody, prints nothing and reads no settings of a person's.
UNATTENDED: dict[str, Any] = {
    "settings": Settings(),
    "defaults": True,
    "quiet": True,
    "unsafe": True,
}
ARCHIVES = answers.REPOSITORY / "tests" / "update" / "releases"

WORKING_TREE = "v998.0.0"
NEXT = "v999.0.0"

# What the version after the working tree adds to every file that can hold a comment.
MARK = "# a line of the next version\n"
NEW_FILE = "src/{{ package_name }}/mlops/tracking/new_in_next.py"
DROPPED_FILE = ".env.example.jinja"


def released() -> list[str]:
    """The tags of all released versions, oldest first."""
    versions = [path.name.removesuffix(".tar.xz") for path in ARCHIVES.glob("*.tar.xz")]
    return [f"v{version}" for version in sorted(versions, key=Version)]


def steps() -> list[tuple[str, str]]:
    """Updates to test: from released versions to the working tree, and on from there.

    From the first and the last release; once a week from every one.
    """
    tags = released()
    starts = tags if IS_WEEKLY else sorted({tags[0], tags[-1]}, key=tags.index)
    return [(tag, WORKING_TREE) for tag in starts] + [(WORKING_TREE, NEXT)]


@cache
def questions(tag: str) -> dict[str, dict[str, Any]]:
    """The questions and computed values of a version."""
    if tag not in released():
        return answers.questions()
    with tarfile.open(_archive(tag)) as archive:
        member = archive.extractfile("copier.yml")
        assert member is not None
        content = yaml.safe_load(member.read())
    return {key: value for key, value in content.items() if not key.startswith("_")}


def sheets(tag: str) -> list[dict[str, str]]:
    """Answers that have every tracking preset of a version, and other choices along with it."""
    asked = questions(tag)
    presets = answers.choices(asked["tracking_preset"])
    found = []
    for number, preset in enumerate(presets):
        sheet = {"tracking_preset": preset}
        for key in asked.keys() - {"tracking_preset"}:
            if given := answers.choices(asked[key]):
                sheet[key] = given[number % len(given)]
        found.append(answers.coherent(sheet))
    return found


def publish_all(folder: Path) -> Path:
    """Make a repository of every version, each with its tag."""
    folder.mkdir(parents=True)
    answers.git(folder, "init", "--quiet")
    for tag in released():
        _empty(folder)
        shutil.unpack_archive(_archive(tag), folder)
        publish(folder, tag)
    _empty(folder)
    answers.copy_template(folder)
    publish(folder, WORKING_TREE)
    _go_on(folder / "template")
    publish(folder, NEXT)
    return folder


def publish(template: Path, tag: str) -> None:
    """Commit what a template's folder holds, with a line in its changelog, and tag it."""
    changelog = template / "CHANGELOG.md"
    older = changelog.read_text("utf-8") if changelog.exists() else ""
    section = f"## [{tag.removeprefix('v')}] - 2030-01-01\n\n- What {tag} changes.\n\n"
    changelog.write_text(section + older, "utf-8")
    commit(template)
    answers.git(template, "tag", tag)


def commit(folder: Path) -> None:
    """Commit everything in a folder that git does not ignore."""
    # A second time: what git makes of line ends depends on a `.gitattributes` that the first moves.
    for how in (("--all",), ("--renormalize", ".")):
        answers.git(folder, "add", *how)
    commit = ("commit", "--quiet", "--allow-empty", "--message", "all of it")
    answers.git(folder, "-c", "maintenance.auto=false", *commit)


def edit(path: Path, old: str, new: str) -> str:
    """Replace the first place of a text in a file, as an owner does; what the file is then."""
    text = path.read_text("utf-8")
    assert old in text, path
    path.write_text(text.replace(old, new, 1), "utf-8")
    return path.read_text("utf-8")


def copy(
    template: Path,
    project: Path,
    tag: str,
    given: Mapping[str, str] | None = None,
    noted: Mapping[str, str] | None = None,
) -> Path:
    """Render a project from a version; `noted` is what answers files hold beside answers."""
    with answers.quick_copier():
        run_copy(
            str(template),
            project,
            data=_known(given, tag) | dict(noted or {}),
            vcs_ref=tag,
            **UNATTENDED,
        )
    return project


def start(template: Path, project: Path, tag: str, given: Mapping[str, str] | None = None) -> Path:
    """Render a project from a version and commit it."""
    copy(template, project, tag, given)
    answers.git(project, "init", "--quiet")
    commit(project)
    return project


def update(project: Path, tag: str, given: Mapping[str, str] | None = None) -> Any:
    """Update a project to a version as `kedro mlflow update` does, but within this process."""
    changed = [f"{key}={answer}" for key, answer in _known(given, tag).items()]
    with patch.object(room("update"), "run_copier", run_copier):
        return room("update").update(project, tag, changed)


def run_copier(arguments: Sequence[str]) -> None:
    """The command line of copier; an answer that it refuses is an exception of its own."""
    origin = room("update.origin")
    with local.env(**origin.environment(origin.PLAIN)):
        _, code = CopierApp.run(["copier", *arguments], exit=False)
    assert not code, f"copier {' '.join(arguments)}: {code}"


@contextmanager
def kept_templates() -> Iterator[None]:
    """Let copier clone a version and render it for some answers only once.

    An update renders three times, each time from a fresh clone, and replaces what is in a folder:
    none of that depends on the project.
    """
    templates: list[Template] = []
    rendered: dict[str, Path] = {}
    clean_up, render = Template._cleanup, Worker._render_template

    @cache
    def template(**which: Any) -> Template:
        templates.append(Template(**which))
        return templates[-1]

    def render_once(worker: Worker) -> None:
        folder = worker.subproject.local_abspath
        if _operation.get() == "copy" and folder.exists() and any(folder.iterdir()):
            render(worker)  # What is its owner's stays.
            return
        # Which are no answers.
        noted = [worker.answers.combined.get(key) for key in ("rules_file", "package_folder")]
        key = repr((worker._answers_to_remember(), noted, worker.all_exclusions, _operation.get()))
        if key not in rendered:
            rendered[key] = Path(store, str(len(rendered)))
            with (
                patch.object(worker, "dst_path", rendered[key]),
                patch.object(worker.subproject, "local_abspath", rendered[key]),
            ):
                render(worker)
        shutil.copytree(rendered[key], folder, dirs_exist_ok=True)

    with (
        TemporaryDirectory() as store,
        patch("copier._main.Template", template),
        patch("copier._subproject.Template", template),
        patch.object(Template, "_cleanup", lambda _: None),
        patch.object(Worker, "_render_template", render_once),
        answers.quick_copier(),
    ):
        yield
    for kept in templates:
        clean_up(kept)


def _known(given: Mapping[str, str] | None, tag: str) -> dict[str, str]:
    if unknown := sorted((given or {}).keys() - questions(tag).keys()):
        raise answers.UnknownAnswerError(f"{tag} asks no such question: {', '.join(unknown)}")
    return dict(given or {})


def _archive(tag: str) -> Path:
    return ARCHIVES / f"{tag.removeprefix('v')}.tar.xz"


def _empty(folder: Path) -> None:
    for part in answers.TEMPLATE_PARTS:
        if (folder / part).is_dir():
            shutil.rmtree(folder / part)
        else:
            (folder / part).unlink(missing_ok=True)


def _go_on(template: Path) -> None:
    """What a next version may do: change every file, add one, drop one."""
    for path in template.rglob("*"):
        if path.is_file():
            path.write_text(path.read_text("utf-8") + MARK, "utf-8")
    (template / NEW_FILE).write_text(f'"""A module of the next version."""\n{MARK}', "utf-8")
    (template / DROPPED_FILE).unlink()
