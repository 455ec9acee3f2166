"""What is called otherwise in a next version carries over, and no command has to run for it."""

from __future__ import annotations

import logging
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.support import answers, versions

pytestmark = pytest.mark.usefixtures("kept_templates", "nobodys_machine")

PACKAGE = "migrated_study"
SHEET = {"package_name": PACKAGE, "author_name": "Ada Lovelace", "serving_target": "none"}


@pytest.fixture(scope="module")
def renaming(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two releases: the second has another name for a question, and for a key of mlflow.yml."""
    folder = answers.copy_template(tmp_path_factory.mktemp("renaming") / "template")
    answers.git(folder, "init", "--quiet")
    versions.publish(folder, versions.WORKING_TREE)
    for path in answers.files(folder):
        if path.endswith((".jinja", ".yml", ".py")):
            replace(folder / path, "author_name", "owner_name")
    # The default of the question is the answer that was given under its old name.
    asked = r"(\nowner_name:\n(?:  .*\n)*?  default: ).*\n"
    carried_over = r"""\1"{{ author_name | default('') }}"\n"""
    replace(folder / "copier.yml", asked, carried_over)
    source = folder / "template" / "src" / "{{ package_name }}" / "mlops"
    replace(folder / "template/conf/base/mlflow.yml.jinja", r"\n    figures: ", "\n    plots: ")
    replace(source / "config.py", r"\n    figures: bool", "\n    plots: bool")
    names = '{"tracking.capture.figures": "tracking.capture.plots"}'
    replace(source / "config.py", r"(RENAMED_KEYS: .* = ){}", rf"\1{names}")
    versions.publish(folder, versions.NEXT)
    return folder


def replace(file: Path, old: str, new: str) -> None:
    file.write_text(re.sub(old, new, file.read_text("utf-8")), "utf-8")


@pytest.fixture
def project(renaming: Path, tmp_path: Path) -> Path:
    """A project of the first release, whose owner switches figures off in an environment."""
    folder = versions.start(renaming, tmp_path / "project", versions.WORKING_TREE, SHEET)
    (folder / "conf/prod").mkdir()
    (folder / "conf/prod/mlflow.yml").write_text("tracking: {capture: {figures: false}}\n")
    versions.commit(folder)
    versions.update(folder, versions.NEXT)
    return folder


def test_the_answer_to_a_renamed_question_carries_over(project: Path) -> None:
    recorded = (project / ".copier-answers.yml").read_text("utf-8")
    assert "owner_name: Ada Lovelace\n" in recorded
    assert "author_name" not in recorded
    assert 'authors = [{ name = "Ada Lovelace" }]' in (project / "pyproject.toml").read_text()


def test_a_renamed_key_is_renamed_where_the_template_wrote_it(project: Path) -> None:
    written = (project / "conf/base/mlflow.yml").read_text("utf-8")
    assert "\n    plots: true" in written
    assert "figures: true" not in written


def test_a_renamed_key_counts_where_its_owner_wrote_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.syspath_prepend(str(project / "src"))
    config = import_module(f"{PACKAGE}.mlops.config")
    assert str(project) in str(sys.modules[PACKAGE].__file__)
    merged = {"tracking": {"capture": {"plots": True, "figures": False}}}
    with caplog.at_level(logging.WARNING):
        assert config.parse_config(merged).tracking.capture.plots is False
    assert "'tracking.capture.figures' is called 'tracking.capture.plots' now" in caplog.text
