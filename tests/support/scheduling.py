"""Which process runs which tests, and in which order."""

from __future__ import annotations

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

# One process runs a file's tests, which share its fixtures. Except for what shares servers, or an
# environment that commands are forked off in, and for files whose tests share nothing, and may go
# to whoever has time.
TOGETHER = (
    ("tests/backends/", "tests/deploy/test_databricks.py", "tests/deploy/test_sagemaker.py"),
)
APART = (
    "tests/run/test_kedro.py",
    "tests/template/test_rendering.py",
    "tests/update/test_command.py",
)
# What takes longest comes first, so that both processes end at the same time; the last ones are
# over in a moment.
FIRST = (
    "tests/deploy/test_container.py",
    "tests/backends/",
    "tests/run/test_migration.py",
    "tests/update/test_edits.py",
    "tests/update/",
    "tests/run/",
    "tests/serve/",
    "tests/registry/",
    "tests/model/",
    "tests/deploy/",
    "tests/template/test_rendering.py",
    "tests/template/",
)


class ScopeScheduling(LoadScopeScheduling):
    """Hands out scopes: a folder, a file or a test."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ScopeScheduling:
    """Say how tests are divided when several processes run them."""
    return ScopeScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(key=lambda item: rank_of(item.nodeid))


def scope_of(nodeid: str) -> str:
    """Name what a test shares with those that the same process must run."""
    path, _, test = nodeid.partition("::")
    if path in APART:
        # A fixture with parameters is made once for each: its tests stay together.
        return f"{path}::{test.partition('[')[2] or test}"
    return next((paths[0] for paths in TOGETHER if path.startswith(paths)), path)


def rank_of(nodeid: str) -> int:
    """How early a test runs."""
    return next((rank for rank, path in enumerate(FIRST) if nodeid.startswith(path)), len(FIRST))
