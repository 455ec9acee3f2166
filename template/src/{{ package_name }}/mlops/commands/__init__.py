"""The commands of `kedro mlflow`: one module per command, which has the command's name."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.startup import ProjectMetadata

from ..errors import TrackingError
from ..project import is_rendered

if TYPE_CHECKING:
    from ..config import KedroMlflowConfig

_Command = TypeVar("_Command", bound=click.Command)


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
        if empty := [name for name in ("to", "version") if options.get(name) == ""]:
            raise click.UsageError(f"--{empty[0]} is empty: has a variable no value?")
        function(Project(Path(metadata.project_path), env), **options)

    return call


def for_tasks(function: Callable[..., None]) -> Callable[..., None]:
    """Pass a command its project in the environment of tasks, if that is there and none is asked.

    What one `kedro run` keeps in memory is in files there: conf/tasks/catalog.yml.
    """

    @for_project
    @wraps(function)
    def call(project: Project, **options: Any) -> None:
        env = project.env or os.environ.get("KEDRO_ENV")
        if env is None and (project.path / "conf" / "tasks").is_dir():
            env = "tasks"
        function(Project(project.path, env), **options)

    return call


@contextmanager
def refusals(uri: str, what: str) -> Iterator[None]:
    """Say in a line what MLflow at an address does not do, and why."""
    from mlflow.exceptions import MlflowException

    from ..backend.client import reason_of
    from ..redaction import mask

    try:
        yield
    except (MlflowException, OSError) as error:
        raise TrackingError(f"MLflow at {mask('', uri)} {what}: {reason_of(error)}.") from error


def require_rendered(module: str, otherwise: str) -> None:
    """Raise a TrackingError if no answer has asked for a module or room of `mlops/`."""
    if not is_rendered(module):
        raise TrackingError(otherwise)


def of_kedro(*names: str) -> Callable[[click.Command], click.Command]:
    """Add options of `kedro run` to a command, which reads them as Kedro does."""

    def add(command: click.Command) -> click.Command:
        command.params += [copy(each) for each in kedro_run.params if each.name in names]
        return command

    return add


def may_fail_on_drift(command: _Command) -> _Command:
    """Add the option --fail-on-drift to a command; where no answer asks for it, it is refused."""
    is_there = is_rendered("monitoring")

    def check(ctx: click.Context, option: click.Parameter, value: bool) -> bool:
        if value and not is_there:
            raise TrackingError(
                "--fail-on-drift: this project does not measure drift: "
                '`uv run kedro mlflow update -d "features=[monitoring]"` adds it.'
            )
        return value

    text = "Exit with 3 if the data have drifted, with 4 if that was not measured."
    option = click.Option(
        ["--fail-on-drift"], is_flag=True, callback=check, hidden=not is_there, help=text
    )
    command.params.append(option)
    return command
