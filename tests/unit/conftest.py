"""The modules of the package that is rendered."""

from __future__ import annotations

import pytest

from tests.support.rooms import Rooms, room


@pytest.fixture(scope="session")
def mlops() -> Rooms:
    return room
