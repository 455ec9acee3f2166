"""What every test may ask for: the template as copier sees it, and projects rendered from it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest

from tests import answers

# Folders of tests, those that take longest first.
FOLDERS = ["project", "backends", "updating", "containers", "managed", "", "tracking"]


@pytest.hookimpl(tryfirst=True)  # Before xdist reads the groups.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a folder's tests in one of the processes: they share its servers and environments."""
    here = Path(__file__).parent

    def folder(item: pytest.Item) -> str:
        parts = item.path.relative_to(here).parts
        return parts[0] if len(parts) > 1 else ""

    items.sort(key=lambda item: FOLDERS.index(folder(item)))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(folder(item)))


class Render(Protocol):
    """Renders a project into a folder of its own."""

    def __call__(self, **given: str) -> Path: ...


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as it stands in the working tree, in a folder without git."""
    return answers.copy_template(tmp_path_factory.mktemp("template") / "copier-kedro-mlflow")


@pytest.fixture
def render(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Render a project from these answers and defaults for the others."""

    def into_new_folder(**given: str) -> Path:
        return answers.render(template, tmp_path_factory.mktemp("rendered") / "project", given)

    return into_new_folder
