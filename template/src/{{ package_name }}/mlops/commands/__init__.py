"""The commands of `kedro mlflow`: one module per command, which has the command's name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.startup import ProjectMetadata

if TYPE_CHECKING:
    from ..config import KedroMlflowConfig


@dataclass(frozen=True)
class Project:
    """The project that a command is for."""

    path: Path
    env: str | None  # The Kedro environment; none for KEDRO_ENV or the default one.

    @cached_property
    def config(self) -> "KedroMlflowConfig":
        """mlflow.yml, resolved; from then on MLflow's calls have the server's credentials."""
        from ..backend.access import project_config

        return project_config(self.path, self.env)


def for_project(function: Callable[..., None]) -> Callable[..., None]:
    """Add the option --env to a command, and pass it its project."""

    @click.option("--env", "-e", help="Kedro environment to read mlflow.yml from.")
    @click.pass_obj
    @wraps(function)
    def call(metadata: ProjectMetadata, /, env: str | None, **options: Any) -> None:
        function(Project(Path(metadata.project_path), env), **options)

    return call
