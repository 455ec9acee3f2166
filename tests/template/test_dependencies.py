"""Every library that rendered code imports is a declared dependency of the project."""

from __future__ import annotations

import ast
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import tomli
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.answers import Render

SHEETS: list[dict[str, str]] = [
    {},
    {"serving_target": "none"},
    {"serving_target": "docker"},
    {"serving_target": "kubernetes", "tracking_preset": "server"},
    {"serving_target": "sagemaker", "artifact_store": "s3"},
    {"serving_target": "databricks", "tracking_preset": "databricks"},
]
distributions = cache(packages_distributions)
# Modules of distributions that the development environment may not have.
OTHERS = {"boto3": "boto3", "botocore": "boto3"}


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.get("serving_target", "default"))
def test_what_is_imported_is_declared(sheet: dict[str, str], render: Render) -> None:
    project = render(**sheet)
    known = declared(project)
    undeclared = {
        module: sorted(path.relative_to(project).as_posix() for path in paths)
        for module, paths in imported(project).items()
        if not known
        & {
            canonicalize_name(name)
            for name in [*distributions().get(module, []), OTHERS.get(module, module)]
        }
    }
    assert undeclared == {}


def test_the_server_that_is_subclassed_has_an_upper_bound(render: Render) -> None:
    content = tomli.loads((render() / "pyproject.toml").read_text("utf-8"))
    (uvicorn,) = [
        Requirement(text)
        for text in content["project"]["dependencies"]
        if text.startswith("uvicorn")
    ]
    assert {each.operator for each in uvicorn.specifier} == {">=", "<"}


def declared(project: Path) -> set[str]:
    """Name the distributions that pyproject.toml asks for."""
    content = tomli.loads((project / "pyproject.toml").read_text("utf-8"))
    names = [Requirement(text).name for text in content["project"]["dependencies"]]
    return {canonicalize_name(name) for name in names}


def imported(project: Path) -> dict[str, set[Path]]:
    """List the libraries that the project's sources import, and where."""
    found: dict[str, set[Path]] = {}
    for path in (project / "src").rglob("*.py"):
        for name in imports(path.read_text("utf-8")):
            found.setdefault(name, set()).add(path)
    return {name: paths for name, paths in found.items() if name not in sys.stdlib_module_names}


@cache
def imports(source: str) -> set[str]:
    """Name the packages that a source imports; most sources are the same in every project."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).partition(".")[0])
    return found
