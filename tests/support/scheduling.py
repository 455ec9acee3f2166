"""Which process runs which tests, in which order."""

from __future__ import annotations

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

# Folders of tests, those that take longest first.
FOLDERS = ["run", "serve", "deploy", "backends", "update", "model", "registry", "template", "unit"]


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
    """Name the folder of a test below tests/."""
    return "/".join(nodeid.partition("::")[0].split("/")[1:-1])
