"""`kedro mlflow update` with whatever git its user has configured: the same merge."""

from __future__ import annotations

from pathlib import Path

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
}
ALL = {key: value for settings in SETTINGS.values() for key, value in settings.items()}
HOOK = "#!/bin/sh\ntouch hooked\nexit 1\n"


@pytest.mark.parametrize(
    "settings",
    [ALL, *(pytest.param(each, marks=weekly) for each in SETTINGS.values())],
    ids=["all of it", *SETTINGS],
)
def test_an_update_is_the_same_under_any_settings_of_git(
    older: Project, tmp_path: Path, settings: dict[str, str]
) -> None:
    (tmp_path / "hooks").mkdir()
    for name in ("pre-commit", "commit-msg", "post-checkout", "post-commit"):
        hook = tmp_path / "hooks" / name
        hook.write_text(HOOK, "utf-8")
        hook.chmod(0o755)
    config = tmp_path / "gitconfig"
    for key, value in settings.items():
        path = str(tmp_path / "hooks") if value == "hooks" else value
        answers.git(tmp_path, "config", "--file", str(config), key, path)
    readme = older.read("README.md")
    older.write("README.md", f"My own words.\n{readme}")
    conflict(older.folder)
    env = ALONE | {"GIT_CONFIG_GLOBAL": str(config)}
    result = older.kedro("mlflow", "update", code=3, env=env)
    assert "    conf/base/mlflow.yml\n" in result.stdout
    assert status(older).count("UU ") == 1
    text = older.read("conf/base/mlflow.yml")
    assert "<<<<<<< before updating\n# mine\n=======\n" in text
    assert text.count("<<<<<<<") == 1
    assert older.read("README.md").startswith("My own words.\n")
    assert versions.MARK in older.read("pyproject.toml")
    assert not list(older.folder.rglob("*.rej"))
    assert not list(older.folder.rglob("hooked"))
