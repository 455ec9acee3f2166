"""Makes the package that is rendered importable under the name that it has in the template."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Protocol

import pytest

from tests.answers import REPOSITORY


class Tracking(Protocol):
    """Imports a module of the template's code by its name."""

    def __call__(self, name: str) -> ModuleType: ...


@pytest.fixture(scope="session")
def tracking() -> Tracking:
    sys.path.insert(0, str(REPOSITORY / "template" / "src"))

    def by_name(name: str) -> ModuleType:
        return import_module(f"{{{{ package_name }}}}.mlops.{name}")

    return by_name
