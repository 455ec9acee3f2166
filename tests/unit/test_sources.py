"""What differs from the commit goes with the run, and makes the same files out of the commit."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.answers import git
from tests.support.rooms import Rooms

COMMITTED = {
    "src/nodes.py": "def fit():\n    return 1\n",
    "src/gone.py": "x = 1\n",
    "src/old name.py": "y = 1\n",
    "run.sh": "#!/bin/sh\n",
    "src/tool": "#!/bin/sh\n",
    "data/rows.csv": "a\n1\n",
    "uv.lock": "version = 1\n",
}


@pytest.fixture(params=["", "team/project"], ids=["alone", "in a repository of several"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A project under git, whose files are as they were committed."""
    folder: Path = tmp_path / "repository" / request.param
    for path, content in COMMITTED.items():
        write(folder / path, content)
    write(folder / ".gitignore", "ignored/\n")
    (folder / "src/tool").chmod(0o755)
    git(tmp_path / "repository", "init", "--quiet")
    git(tmp_path / "repository", "add", "--all")
    git(tmp_path / "repository", "commit", "--quiet", "--message", "Start")
    return folder


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def read(mlops: Rooms, project: Path, **options: Any) -> tuple[dict[str, str], bytes]:
    """The tags of the sources and their diff."""
    sources = mlops("tracking.capture.sources").Sources(
        project, mlops("config").DiffOptions(**options)
    )
    return sources.tags(), sources._diff


def files(folder: Path) -> dict[str, tuple[bytes, bool]]:
    """What is in the files of a folder, and whether they can be executed; not what git ignores."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), os.access(path, os.X_OK))
        for path in folder.rglob("*")
        if path.is_file() and not {".git", "ignored"} & set(path.parts)
    }


CHANGES: dict[str, Callable[[Path], object]] = {
    "a line": lambda at: write(at / "src/nodes.py", "def fit():\n    return 2\n"),
    "no end of the last line": lambda at: write(at / "src/nodes.py", "def fit():\n    return 2"),
    "line ends of Windows": lambda at: write(at / "src/nodes.py", "def fit():\r\n    return 1\r\n"),
    "a new file": lambda at: write(at / "src/new.py", "z = 1\n"),
    "a new file in a new folder": lambda at: write(at / "src/new/deep/er.py", "z = 'ü'\n\n"),
    "a new empty file": lambda at: write(at / "src/new/__init__.py", ""),
    "a new file without an end": lambda at: write(at / "src/new.py", "a\r\nb"),
    "a new file that is executed": lambda at: shutil.copy(at / "src/tool", at / "tool"),
    "a file that is gone": lambda at: (at / "src/gone.py").unlink(),
    "a file with a new name": lambda at: (at / "src/old name.py").rename(at / "src/new näme.py"),
    "a mode": lambda at: (at / "run.sh").chmod(0o755),
    "bytes that are no UTF-8": lambda at: write(at / "src/latin.txt", b"caf\xe9\n"),
    "what is staged": lambda at: git(at, "mv", "src/nodes.py", "src/staged.py"),
    "the lock file": lambda at: write(at / "uv.lock", "version = 2\n"),
    "nothing but what git ignores": lambda at: write(at / "ignored/x.py", "z = 1\n"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_diff_makes_the_same_files(
    mlops: Rooms, project: Path, change: str, tmp_path: Path
) -> None:
    CHANGES[change](project)
    tags, diff = read(mlops, project)
    is_ignored = "ignores" in change
    assert tags["mlflow.source.git.dirty"] == ("false" if is_ignored else "true")
    assert tags.get("kedro.diff") == (None if is_ignored else "whole")
    assert "kedro.diff.left_out" not in tags
    other = tmp_path / "other"
    git(project, "worktree", "add", "--quiet", "--detach", str(other))
    if diff:
        subprocess.run(["git", "apply", "-"], input=diff, cwd=other, check=True)
    assert files(other) == files(tmp_path / "repository")


@pytest.mark.parametrize(
    ("path", "content", "options"),
    [
        ("data/rows.csv", "a\nCANARY\n", {}),
        ("deep/er/rows.csv", "a\nCANARY\n", {}),
        ("notes.ipynb", '{"cells": "CANARY"}', {}),
        ("src/private/x.py", "x = 'CANARY'\n", {"exclude": ["src/private/**"]}),
        ("table.bin", b"\0CANARY", {}),
        ("large.txt", "CANARY\n" * 200, {"max_kilobytes": 1}),
        ("run.sh", "CANARY\n" * 200, {"max_kilobytes": 1}),
    ],
    ids=str,
)
def test_rows_and_large_files_stay_here_and_are_named(
    mlops: Rooms, project: Path, path: str, content: str | bytes, options: dict[str, Any]
) -> None:
    write(project / path, content)
    write(project / "src/nodes.py", "changed = 1\n")
    tags, diff = read(mlops, project, **options)
    assert (tags["kedro.diff"], diff.count(b"diff --git")) == ("whole", 1)
    assert b"CANARY" not in diff
    first = f"{path.split('/', maxsplit=1)[0]}/"
    assert path in tags["kedro.diff.left_out"] or first in tags["kedro.diff.left_out"]


def test_a_secret_is_masked_and_a_long_diff_is_cut(mlops: Rooms, project: Path) -> None:
    write(project / "src/nodes.py", 'password = "CANARY"\nother = 1\n')
    tags, diff = read(mlops, project)
    assert tags["kedro.diff"] == "masked"
    assert b"CANARY" not in diff
    assert b"+other = 1" in diff
    for number in range(20):
        write(project / f"src/new_{number}.py", "z = 1\n" * 100)
    tags, diff = read(mlops, project, max_kilobytes=5)
    assert (tags["kedro.diff"], len(diff) < 5100) == ("cut", True)
    tags, diff = read(mlops, project, max_kilobytes=0)
    assert ("kedro.diff" not in tags, tags["mlflow.source.git.dirty"], diff) == (True, "true", b"")


def test_the_commit_and_the_lock_are_named_and_no_git_is_no_error(
    mlops: Rooms, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags, _ = read(mlops, project)
    assert tags["mlflow.source.git.commit"] == git(project, "rev-parse", "HEAD").strip()
    assert len(tags["kedro.lock"]) == 32
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "missing", tmp_path / "empty"):
        tags, _ = read(mlops, folder)
        assert (tags["kedro.lock"], "mlflow.source.git.commit" in tags) == ("none", False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "mlflow.source.git.commit" not in read(mlops, project)[0]
