"""What Windows lacks is missed nowhere. Nobody has run this on a real Windows yet."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.answers import REPOSITORY
from tests.support.profiles import IS_WEEKLY

# What depends on the system by itself: addresses, files, locks, the journal, processes.
UNITS = "config journal preflight token_command"

PLUGIN = "tests.support.windows"

# A socket shared with another process is Windows' own affair: nothing here stands in for it.
NOT_HERE = "not test_a_worker_has_died and not test_a_worker_that_dies"


def test_every_module_imports_and_unit_tests_pass_where_windows_lacks_posix() -> None:
    folder = "tests/unit"
    chosen = [folder] if IS_WEEKLY else [f"{folder}/test_{name}.py" for name in UNITS.split()]
    options = ["-q", "-p", PLUGIN, "-p", "no:cacheprovider", f"--ignore={__file__}", "-k", NOT_HERE]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *chosen],
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, (result.stdout + result.stderr)[-3000:]
