"""The rules that the template's own code is held to are those of the projects it renders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli

from tests.support import answers
from tests.support.answers import Render


@pytest.fixture
def own() -> dict[str, Any]:
    return read(answers.REPOSITORY / "pyproject.toml")


@pytest.fixture
def rendered(render: Render) -> dict[str, Any]:
    return read(render() / "pyproject.toml")


def read(file: Path) -> dict[str, Any]:
    tools: dict[str, Any] = tomli.loads(file.read_text("utf-8"))["tool"]
    return tools


def ruff_rules(ruff: dict[str, Any]) -> dict[str, Any]:
    """What decides whether a line of code passes, whatever the order and the folders."""
    lint = ruff["lint"]
    return {
        **lint,
        "line-length": ruff["line-length"],
        "select": set(lint["select"]),
        "ignore": set(lint["ignore"]),
        "per-file-ignores": set(lint["per-file-ignores"]["tests/**"]),
    }


def mypy_rules(mypy: dict[str, Any]) -> dict[str, Any]:
    """What decides whether code passes, without tests and what mypy does not read."""
    of_places = {"files", "python_version", "exclude"}
    return {
        **{key: value for key, value in mypy.items() if key not in of_places},
        "overrides": [
            rule
            for rule in mypy["overrides"]
            if rule["module"] != ["tests.*"] and "follow_imports" not in rule
        ],
    }


def test_ruff_holds_both_to_the_same_rules(own: dict[str, Any], rendered: dict[str, Any]) -> None:
    assert ruff_rules(own["ruff"]) == ruff_rules(rendered["ruff"])


def test_ruff_exempts_nothing_else(own: dict[str, Any], rendered: dict[str, Any]) -> None:
    tests = own["ruff"]["lint"]["per-file-ignores"]["tests/**"]
    assert own["ruff"]["lint"]["per-file-ignores"] == {
        "tests/**": tests,
        "template/tests/**": tests,
        # What a rendered package is called is no matter of rules.
        "template/src/*/**": ["N999"],
        "template/notebooks/**": ["F821"],
    }
    assert rendered["ruff"]["lint"]["per-file-ignores"].keys() == {"tests/**"}


def test_a_notebook_may_use_what_its_extension_makes(own: dict[str, Any], render: Render) -> None:
    rendered = read(render(features="[notebook]") / "pyproject.toml")
    allowed = own["ruff"]["lint"]["per-file-ignores"]["template/notebooks/**"]
    assert rendered["ruff"]["lint"]["per-file-ignores"]["notebooks/**"] == allowed == ["F821"]
    assert "notebook" in rendered["uv"]["default-groups"]


def test_mypy_holds_both_to_the_same_rules(own: dict[str, Any], rendered: dict[str, Any]) -> None:
    assert own["mypy"]["strict"] is True
    assert mypy_rules(own["mypy"]) == mypy_rules(rendered["mypy"])


def test_both_are_checked_for_the_lowest_python_they_run_on(
    own: dict[str, Any], rendered: dict[str, Any]
) -> None:
    assert own["mypy"]["python_version"] == "3.10"
    assert rendered["mypy"]["python_version"] == "3.11"
