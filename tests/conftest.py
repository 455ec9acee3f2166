"""What every test may ask for: the template as copier sees it, and projects rendered from it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Protocol

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tests import answers

# Folders of tests, those that take longest first.
FOLDERS = [
    "project",
    "backends",
    "updating",
    "project/updating",
    "project/deployment",
    "containers",
    "managed",
    "",
    "tracking",
]


# A shell lets what it runs in the background ignore Ctrl-C, and so would all that tests start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class FolderScheduling(LoadScopeScheduling):
    """Gives a folder's tests to one process: they share its servers and environments."""

    def _split_scope(self, nodeid: str) -> str:
        return folder_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FolderScheduling:
    """Say how tests are divided when several processes run them."""
    return FolderScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    ranks = {folder: rank for rank, folder in enumerate(FOLDERS)}
    items.sort(key=lambda item: ranks.get(folder_of(item.nodeid), len(ranks)))


def folder_of(nodeid: str) -> str:
    """Name the folder of a test below tests/; none for those that lie there."""
    return "/".join(nodeid.partition("::")[0].split("/")[1:-1])


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
