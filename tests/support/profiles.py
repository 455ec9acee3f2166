"""How thoroughly tests look: a sample for each commit, all of it every week.

`TESTS_PROFILE=weekly make test` is what the weekly workflow runs: more examples of what is tested
with random ones, other examples each time, updates from every release.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

IS_WEEKLY = os.environ.get("TESTS_PROFILE") == "weekly"

# For tests that say nothing else. For each commit always the same examples: a failure is the
# commit's own.
settings.register_profile("commit", max_examples=50, derandomize=True, deadline=None)
settings.register_profile("weekly", max_examples=500, deadline=None)
settings.load_profile("weekly" if IS_WEEKLY else "commit")


# For what takes a minute, and other tests see the greatest part of.
weekly = pytest.mark.skipif(not IS_WEEKLY, reason="takes long: TESTS_PROFILE=weekly runs it")


def examples(commit: int, weekly: int) -> int:
    """How many examples a test gets that has more, or fewer, than others."""
    return weekly if IS_WEEKLY else commit
