"""`kedro mlflow update` with whatever git its user has configured, and wherever: the same merge."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.support import answers, versions
from tests.support.profiles import weekly
from tests.support.project import Project
from tests.support.updates import ALONE, conflict, status

SETTINGS = {
    "untracked files hidden": {"status.showUntrackedFiles": "no"},
    "other line ends": {"core.autocrlf": "true", "core.safecrlf": "true", "core.eol": "crlf"},
    "another diff": {"diff.external": "false", "diff.noprefix": "true", "diff.renames": "copies"},
    "another merge": {"merge.conflictStyle": "zdiff3", "merge.tool": "false"},
    "hooks": {"core.hooksPath": "hooks"},
    "signatures": {"commit.gpgSign": "true", "tag.gpgSign": "true", "gpg.program": "false"},
    "no identity": {"user.useConfigOnly": "true"},
    "colours": {"color.ui": "always", "color.status": "always", "color.diff": "always"},
    "a short status": {"status.short": "true", "status.branch": "true", "core.quotePath": "false"},
    "a file system without modes": {"core.fileMode": "false", "core.ignoreCase": "true"},
    "strict spaces": {"apply.whitespace": "error", "core.whitespace": "tab-in-indent"},
    "much that is ignored": {"core.excludesFile": "ignored", "core.untrackedCache": "true"},
    "what new repositories get": {"init.templateDir": "new"},
    "another order": {"diff.orderFile": "nowhere", "core.ignoreStat": "true"},
}
MINE = b"# first of mine: \xe4 and \xc3\xa4\n"  # Not in UTF-8 all of it.
ALL = {key: value for settings in SETTINGS.values() for key, value in settings.items()}
HOOK = "#!/bin/sh\ntouch hooked\nexit 1\n"
IGNORED = "*.rej\n*.orig\n.env*\n.gitleaks.toml\nconf/base/mlflow.yml\n"
WINDOWS = {"core.autocrlf": "true"}
ATTRIBUTES = "* text eol=crlf ident merge=union\n*.yml -diff filter=words\n"
WORDS = {"filter.words.smudge": "sed s/the/THE/g", "filter.words.clean": "sed s/THE/the/g"}


def hooks(folder: Path) -> None:
    """Let whatever git does fail, and be seen."""
    folder.mkdir(exist_ok=True)
    for name in ("pre-commit", "commit-msg", "post-checkout", "post-commit", "post-index-change"):
        (folder / name).write_text(HOOK, "utf-8")
        (folder / name).chmod(0o755)


def configured(folder: Path, settings: dict[str, str]) -> dict[str, str]:
    """The environment of a user with these settings of git."""
    hooks(folder / "hooks")
    (folder / "ignored").write_text(IGNORED, "utf-8")
    (folder / "new/info").mkdir(parents=True, exist_ok=True)
    (folder / "new/info/exclude").write_text(IGNORED, "utf-8")
    config = folder / "gitconfig"
    config.touch()
    for key, value in settings.items():
        path = str(folder / value) if value in ("hooks", "ignored", "new") else value
        answers.git(folder, "config", "--file", str(config), key, path)
    return ALONE | {"GIT_CONFIG_GLOBAL": str(config)}


@pytest.mark.parametrize("settings", [ALL], ids=["all of it"])
def test_an_update_is_the_same_under_any_settings_of_git(
    older: Project, tmp_path: Path, settings: dict[str, str]
) -> None:
    readme = older.read("README.md")
    older.write("README.md", f"My own words, größer.\n{readme}")
    older.write("größer ł.md", "mine\n")
    # Or copier, which asks git once for each file, would render another copy of the old version.
    (older.folder / ".env.example").unlink()
    conflict(older.folder)
    env = configured(tmp_path, settings)
    trace = tmp_path / "trace"
    env |= {"UV": "", "GIT_TRACE2": str(trace)}
    result = older.kedro("mlflow", "update", code=3, env=env)
    assert "    conf/base/mlflow.yml\n" in result.stdout
    assert status(older).count("UU ") == 1
    text = older.read("conf/base/mlflow.yml")
    assert "<<<<<<< before updating\n# mine\n=======\n" in text
    assert text.count("<<<<<<<") == 1
    assert older.read("README.md").startswith("My own words, größer.\n")
    assert versions.MARK in older.read("pyproject.toml")
    assert not list(older.folder.rglob("*.rej"))
    assert not list(tmp_path.rglob("hooked"))
    # No git tidies up behind a commit of copier's.
    commands = trace.read_text("utf-8", "replace")
    assert " commit --allow-empty " in commands
    assert " maintenance run " not in commands


# --- wherever the project is: one way of having it in git after another ---


@dataclass
class Place:
    """Where a project is to be, and with which settings of git."""

    folder: Path
    committed: Path
    settings: dict[str, str] = field(default_factory=dict)

    def git(self, folder: Path, *arguments: str) -> str:
        given = [f"--config-env={key}=SETTING_{at}" for at, key in enumerate(self.settings)]
        with pytest.MonkeyPatch.context() as patch:
            for at, value in enumerate(self.settings.values()):
                patch.setenv(f"SETTING_{at}", value)
            return answers.git(folder, *given, *arguments)

    def clone(self, *options: str, of: Path | None = None, path: str = ".") -> Path:
        source = (of or self.committed).as_uri()
        self.git(self.folder, "clone", "--quiet", *options, source, "clone")
        return self.folder / "clone" / path

    def edited(self, edit: Callable[[Path], object]) -> Path:
        """The committed project with one edit more, committed as well."""
        project = shutil.copytree(self.committed, self.folder / "edited", symlinks=True)
        edit(project)
        versions.commit(project)
        return project

    def inside(self, path: str, **files: str) -> Path:
        """A larger repository with the project in one of its folders."""
        large = self.folder / "large"
        hide = shutil.ignore_patterns(".git")
        shutil.copytree(self.committed, large / path, symlinks=True, ignore=hide)
        for name, text in {"other.txt": "theirs\n", **files}.items():
            (large / name).write_text(text, "utf-8")
        answers.git(large, "init", "--quiet")
        versions.commit(large)
        return large / path


def with_windows_line_ends(place: Place) -> Path:
    def edit(project: Path) -> None:
        (project / ".gitattributes").unlink()
        for path, content in answers.files(project).items():
            (project / path).write_bytes(content.replace(b"\n", b"\r\n"))

    return place.edited(edit)


def with_attributes(place: Place) -> Path:
    def edit(project: Path) -> None:
        for folder in ("conf", "deploy", "src"):
            (project / folder / ".gitattributes").write_text(ATTRIBUTES, "utf-8")

    return place.clone(of=place.edited(edit))


def in_a_worktree(place: Place) -> Path:
    main = place.edited(lambda _: None)
    answers.git(main, "worktree", "add", "--quiet", "-b", "mine", str(place.folder / "worktree"))
    return place.folder / "worktree"


def in_a_submodule(place: Place) -> Path:
    outer = place.folder / "outer"
    answers.git(place.folder, "init", "--quiet", "outer")
    add = ("submodule", "--quiet", "add", str(place.committed), "project")
    answers.git(outer, "-c", "protocol.file.allow=always", *add)
    answers.git(outer, "commit", "--quiet", "--message", "all of it")
    return outer / "project"


def sparse(place: Place, *options: str) -> Path:
    clone = place.clone(*options)
    # Neither `deploy/`, which has a conflict, nor `src/`.
    answers.git(clone, "sparse-checkout", "set", "conf", "notebooks")
    return clone


def without_modes(place: Place) -> Path:
    project = place.edited(lambda _: None)
    for key in ("core.fileMode", "core.symlinks", "core.ignoreCase"):
        answers.git(project, "config", key, "true" if key == "core.ignoreCase" else "false")
    for path in answers.files(project):
        (project / path).chmod(0o755)
    return project


def with_hooks(place: Place) -> Path:
    project = place.edited(lambda _: None)
    hooks(project / ".git/hooks")
    answers.git(project, "config", "status.showUntrackedFiles", "no")
    return project


def by_sha256(place: Place) -> Path:
    def edit(project: Path) -> None:
        shutil.rmtree(project / ".git")
        answers.git(project, "init", "--quiet", "--object-format=sha256")

    return place.edited(edit)


WAYS: dict[str, tuple[dict[str, str], Callable[[Place], Path]]] = {
    "checked out on Windows": (WINDOWS, Place.clone),
    "committed on Windows": ({}, with_windows_line_ends),
    "attributes of its owner": (WORDS, with_attributes),
    "a worktree": ({}, in_a_worktree),
    "a submodule": ({}, in_a_submodule),
    "a shallow clone": ({}, lambda place: place.clone("--depth", "1")),
    "a partial clone": ({}, lambda place: place.clone("--filter=blob:none")),
    "a sparse checkout": ({}, sparse),
    "a sparse partial clone": ({}, lambda place: sparse(place, "--filter=blob:none")),
    "a folder of a larger one": ({}, lambda place: place.inside("apps/ä b")),
    "such a folder on Windows": (
        WINDOWS,
        lambda place: place.clone(of=place.inside("a/b").parents[1], path="a/b"),
    ),
    "a folder with other rules": (
        {},
        lambda place: place.inside("a", **{".gitattributes": "* -text\n", ".gitignore": "*.rej\n"}),
    ),
    "a file system without modes": ({}, without_modes),
    "hooks of its own": ({"core.hooksPath": ""}, with_hooks),
    "objects by SHA-256": ({}, by_sha256),
    "many features of git": ({"feature.manyFiles": "true", "index.version": "4"}, Place.clone),
}
EVERY_COMMIT = ("checked out on Windows", "committed on Windows", "a sparse partial clone")
CASES = [
    pytest.param(way, clean, marks=() if way in EVERY_COMMIT and not clean else weekly)
    for way in WAYS
    for clean in (False, True)
    if clean or way != "objects by SHA-256"  # Where copier keeps no conflict.
]


@pytest.fixture(scope="module")
def committed(published: Path, memory: Path) -> Callable[[bool], Path]:
    """A project with lines of its owner, three of which conflict with those of the next version."""

    def make(clean: bool) -> Path:
        project = memory / f"committed-{clean}"
        if project.exists():
            return project
        sheet = {"serving_target": "docker"}
        versions.start(published, project, versions.WORKING_TREE, sheet)
        for path in ("README.md", "deploy/docker/Dockerfile", "conf/base/catalog.yml"):
            (project / path).write_bytes(MINE + (project / path).read_bytes())
        for path in () if clean else CONFLICTS:
            (project / path).write_bytes((project / path).read_bytes() + b"# last of mine\n")
        (project / "notebooks").mkdir()
        (project / "notebooks/mine.py").write_text("# mine\n", "utf-8")
        (project / "notebooks/mine.bin").write_bytes(b"mine\r\n\0\xff\n")
        (project / os.fsdecode(b"notebooks/\xe4 \xc5\x82.py")).write_text("mine\n", "utf-8")
        (project / "LICENSE").unlink()
        (project / "LICENSE").symlink_to("../../nowhere/LICENSE")
        versions.commit(project)
        return project

    return make


@pytest.fixture(scope="module")
def updated(committed: Callable[[bool], Path], memory: Path) -> Callable[[bool], tuple[Path, Any]]:
    """That project updated where nothing is special, and what the update says."""

    @cache
    def update(clean: bool) -> tuple[Path, Any]:
        plain = shutil.copytree(committed(clean), memory / f"plain-{clean}", symlinks=True)
        return plain, versions.update(plain, versions.NEXT)

    return update


CONFLICTS = [
    "conf/base/mlflow.yml",
    "deploy/docker/Dockerfile",
    "src/diabetes_progression/mlops/hook.py",
]


def contents(place: Place, project: Path) -> dict[str, bytes]:
    """What a commit of everything holds, whatever ends its lines."""
    place.git(project, "add", "--sparse", ".")
    listed = place.git(project, "ls-files", "-s", "-z", "--", ".").split("\0")[:-1]
    blobs = {line.partition("\t")[2]: line.split()[1] for line in listed}
    asked = "".join(f"{blob}\n" for blob in blobs.values()).encode()
    printed = subprocess.check_output(["git", "cat-file", "--batch"], cwd=project, input=asked)
    found, stream = {}, BytesIO(printed)
    for path in blobs:
        size = int(stream.readline().split()[-1])
        found[path] = stream.read(size + 1)[:-1].replace(b"\r\n", b"\n")
    return {
        path: content
        for path, content in found.items()
        if not path.endswith((".gitattributes", ".bin"))
    }


def on_windows(project: Path) -> set[str]:
    """The files in which each line ends as on Windows."""
    files = answers.files(project).items()
    return {path for path, text in files if 0 < text.count(b"\n") == text.count(b"\r\n")}


@pytest.mark.usefixtures("kept_templates", "nobodys_machine")
@pytest.mark.parametrize(("way", "clean"), CASES)
def test_an_update_is_the_same_wherever_the_project_is(
    committed: Callable[[bool], Path],
    updated: Callable[[bool], tuple[Path, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    clean: bool,
) -> None:
    settings, prepare = WAYS[way]
    place = Place(tmp_path, committed(clean), settings)
    project = prepare(place)
    before, windows = answers.files(project), on_windows(project)
    plain, expected = updated(clean)
    assert expected.conflicts == ([] if clean else CONFLICTS)
    for name, value in configured(tmp_path, settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(project)

    update = versions.update(project, versions.NEXT)
    assert (update.conflicts, update.kept) == (expected.conflicts, [])
    unmerged = place.git(project, "diff", "--name-only", "--relative", "--diff-filter=U")
    assert unmerged.splitlines() == expected.conflicts
    if "sparse" in way:  # `git add .` leaves out what is not there.
        left = place.git(project, "ls-files", "--modified", "--others", "--exclude-standard")
        assert set(left.splitlines()) == set(expected.conflicts)
    assert windows - on_windows(project) <= {".env.example"}  # Which is gone.
    assert (project / "notebooks/mine.bin").read_bytes() == before["notebooks/mine.bin"]
    for path in before.keys() & {*update.conflicts}:
        merged = (project / path).read_bytes()
        place.git(project, "checkout", "--ours", "--", path)
        assert (project / path).read_bytes() == before[path]
        (project / path).write_bytes(merged)
    assert contents(place, project) == contents(place, plain)
    assert (project / "LICENSE").readlink() == Path("../../nowhere/LICENSE")
    assert not list(tmp_path.rglob("*.rej"))
    assert not list(tmp_path.rglob("hooked"))
    if project.parent.name == "large":
        assert (project.parent / "other.txt").read_text("utf-8") == "theirs\n"
