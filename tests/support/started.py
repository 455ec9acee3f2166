"""What a test has started of its projects: `strays.py` looks at it when the test is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Started:
    """A program: the project, the working directory, the variables that the test has set."""

    project: Path
    cwd: Path
    env: Mapping[str, str]


STARTED: list[Started] = []
