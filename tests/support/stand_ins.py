"""Programs that only write down how they are called: no container starts, no cluster is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tests.support.project import Project

# By which the registry of the stand-in knows every image.
DIGEST = f"sha256:{'0' * 64}"

# Renders a project with this serving target.
Deployable: TypeAlias = Callable[[str], Project]


@dataclass(frozen=True)
class StandIns:
    """Programs that write down how they are called: no test starts a container or asks a cluster.

    Attributes:
        variables: an environment in which they are found first.
    """

    folder: Path
    variables: dict[str, str]

    def calls(self) -> list[str]:
        """How they were called, other than for their versions."""
        file = self.folder / "calls"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [line for line in lines if not line.endswith(" version")]
