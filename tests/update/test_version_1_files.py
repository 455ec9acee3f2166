"""From version 1.0.0, whose code lay in many folders, to the one folder `mlops/`."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from copier import run_copy

from tests.support import answers, versions

pytestmark = pytest.mark.usefixtures("kept_templates", "nobodys_machine")

FIRST = "v1.0.0"
SOURCE = "src/diabetes_progression"
OLD_FOLDERS = ("tracking", "commands", "serving", "deployment", "updating")

# Edits that meet no change of the template's: old text, new text.
EDITS = {
    "settings.py": ("HOOKS = (MlflowHook(),)", "HOOKS = (MlflowHook(), print)"),
    "__init__.py": ('"0.1.0"', '"0.3.0"'),
    "pipelines/schemas.py": ("from .validation import validated", "from .validation import *"),
    "pipelines/validation.py": ("import", "import  # mine\nimport"),
    "tracking/capture/metrics.py": ("import", "import  # mine\nimport"),
    "datasets.py": ("import", "import  # mine\nimport"),
}
# Edits of lines that the new version has in another place, or no more.
CONFLICTS = {"cli.py": ("import os\n", "import os  # mine\n")}


@dataclass(frozen=True)
class Moved:
    """A project of the first release before and after its update."""

    folder: Path
    before: dict[str, bytes]
    after: dict[str, bytes]
    update: Any

    def text(self, path: str) -> str:
        return self.after[f"{SOURCE}/{path}"].decode("utf-8")


def moved(published: Path, folder: Path, edits: dict[str, tuple[str, str]]) -> Moved:
    versions.start(published, folder, FIRST, {"serving_target": "docker"})
    for path, (old, new) in edits.items():
        file = folder / SOURCE / path
        text = file.read_text("utf-8")
        assert old in text, path
        file.write_text(text.replace(old, new, 1), "utf-8")
    (folder / SOURCE / "tracking" / "mine.py").write_text("# mine\n")
    (folder / SOURCE / "serving" / "__pycache__").mkdir()
    (folder / SOURCE / "serving" / "__pycache__" / "app.cpython-311.pyc").write_bytes(b"")
    versions.commit(folder)
    before = answers.files(folder)
    update = versions.update(folder, versions.WORKING_TREE)
    return Moved(folder, before, answers.files(folder), update)


@pytest.fixture(scope="module")
def untouched(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Moved:
    return moved(published, tmp_path_factory.mktemp("untouched") / "project", {})


@pytest.fixture(scope="module")
def edited(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Moved:
    return moved(published, tmp_path_factory.mktemp("edited") / "project", EDITS | CONFLICTS)


def old_files(files: dict[str, bytes]) -> set[str]:
    """What lies where the first release had the template's code."""
    old = tuple(f"{SOURCE}/{folder}/" for folder in OLD_FOLDERS)
    return {path for path in files if path.startswith(old)} - {
        f"{SOURCE}/serving/__pycache__/app.cpython-311.pyc"
    }


def test_an_untouched_project_has_the_new_folder_and_none_of_the_old_ones(
    untouched: Moved,
) -> None:
    assert untouched.update.conflicts == []
    assert untouched.update.kept == []
    assert len(old_files(untouched.before)) > 100
    assert old_files(untouched.after) == {f"{SOURCE}/tracking/mine.py"}
    assert f"{SOURCE}/datasets.py" not in untouched.after
    assert f"{SOURCE}/mlops/hook.py" in untouched.after


def test_an_untouched_projects_shared_files_lead_into_the_new_folder(untouched: Moved) -> None:
    for path in ("settings.py", "cli.py", "__init__.py"):
        text = untouched.text(path)
        assert "mlops" in text
        assert not re.search(r"\.(tracking|commands)\b", text), path


def test_no_folder_stays_empty(untouched: Moved) -> None:
    folders = [path for path in (untouched.folder / "src").rglob("*") if path.is_dir()]
    assert [path for path in folders if not any(path.iterdir())] == []


def test_what_the_owner_wrote_stays_and_works_with_what_they_had(edited: Moved) -> None:
    mine = [f"{SOURCE}/pipelines/", "tests/pipelines/", "tests/conftest.py"]
    for path, content in edited.before.items():
        if path.startswith(tuple(mine)):
            assert edited.after[path] == content, path
    for name in ("validation", "rules", "hints"):
        assert f"{SOURCE}/pipelines/{name}.py" in edited.after
    assert "tests/pipelines/test_datasets.py" in edited.after


def test_edits_of_shared_files_merge(edited: Moved) -> None:
    settings = edited.text("settings.py")
    assert "HOOKS = (MlflowHook(), print)" in settings
    assert "from .mlops import " in settings
    assert "<<<<<<<" not in settings
    module = edited.text("__init__.py")
    assert '__version__ = "0.3.0"' in module
    assert "import mlops" in module
    assert "<<<<<<<" not in module


def test_an_edit_of_moved_code_is_named(edited: Moved) -> None:
    assert edited.update.conflicts == [f"{SOURCE}/cli.py"]
    conflict = edited.text("cli.py")
    assert "import os  # mine" in conflict
    assert "from .mlops.cli import cli, run" in conflict


def test_edited_files_that_the_template_has_no_more_are_kept_and_named(edited: Moved) -> None:
    kept = [f"{SOURCE}/datasets.py", f"{SOURCE}/tracking/capture/metrics.py"]
    assert edited.update.kept == kept
    assert old_files(edited.after) == {f"{SOURCE}/tracking/mine.py", kept[1]}


# --- a project that was there before the template: docs/adopting.md of version 1 ---

OWN = {
    "__init__.py": '"""Old Study\n"""\n\n__version__ = "0.1"\n',
    "__main__.py": '"""Old Study: run it as a module."""\n',
    "settings.py": """# Instantiated project hooks.
# HOOKS = (ProjectHooks(),)

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
}

from .tracking import MlflowHook
from .tracking.requirements import filled_in

HOOKS = (*globals().get("HOOKS", ()), MlflowHook())
CONFIG_LOADER_ARGS = {
    **globals().get("CONFIG_LOADER_ARGS", {}),
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**", "**/mlflow*"]},
    "merge_strategy": {"mlflow": "soft"},
    "custom_resolvers": {"oc.env": filled_in},
}
""",
}


@pytest.fixture
def adopted(published: Path, tmp_path: Path) -> Path:
    """The package of such a project, updated."""
    folder = tmp_path / "project"
    package = folder / "src" / "old_study"
    package.mkdir(parents=True)
    for path, text in OWN.items():
        (package / path).write_text(text, "utf-8")
    run_copy(
        str(published),
        folder,
        data={"adopting": True, "package_name": "old_study"},
        vcs_ref=FIRST,
        skip_if_exists=["**"],
        **versions.UNATTENDED,
    )
    answers.git(folder, "init", "--quiet")
    versions.commit(folder)
    update = versions.update(folder, versions.WORKING_TREE)
    package_files = ("__init__.py", "__main__.py", "settings.py")
    # The project says `model: null`; the template's model has a key more.
    assert update.conflicts == [
        "conf/base/mlflow.yml",
        *(f"src/old_study/{name}" for name in package_files),
    ]
    return package


def test_an_adopted_project_keeps_its_settings_with_one_line_of_the_templates(
    adopted: Path,
) -> None:
    answers.git(adopted, "checkout", "--ours", "settings.py", "__main__.py")
    both = (adopted / "__init__.py").read_text("utf-8").splitlines(keepends=True)
    lines = [line for line in both if not line.startswith(("<<<<<<<", "=======", ">>>>>>>"))]
    (adopted / "__init__.py").write_text("".join(lines), "utf-8")
    settings = (
        "from old_study.settings import CONFIG_LOADER_ARGS, HOOKS\n"
        "print([type(hook).__module__ for hook in HOOKS])\n"
        "print(CONFIG_LOADER_ARGS['custom_resolvers']['oc.env']('NOT_SET', 'x'))"
    )
    # A process of its own: the hook changes how Kedro validates in the whole process.
    printed = subprocess.check_output(
        [sys.executable, "-c", settings], cwd=adopted.parent, encoding="utf-8"
    )
    assert printed.splitlines()[-2:] == ["['old_study.mlops.hook']", "x"]


def test_old_names_come_with_the_update_and_with_nothing_else(
    untouched: Moved, published: Path, tmp_path: Path
) -> None:
    fresh = versions.copy(published, tmp_path / "fresh", versions.WORKING_TREE, {})
    assert f"{SOURCE}/mlops/old_names.py" in untouched.after
    assert f"{SOURCE}/mlops/old_names.py" not in answers.files(fresh)
