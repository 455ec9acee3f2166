"""Commands of this project beside Kedro's own: `kedro mlflow …`, one module of `commands/` each."""

import pkgutil
from collections.abc import Callable
from copy import copy
from functools import wraps
from importlib import import_module
from typing import Any, cast

import click
from kedro.framework.cli.project import run as kedro_run

from . import commands


class CommandFolder(click.Group):
    """A group whose commands are the modules of `commands/`, imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the modules' names."""
        return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of this name and return its ``command``."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f".{cmd_name}", commands.__name__).command
        return command


@click.group(name="cli")
def cli() -> None:
    """Find the project's commands: Kedro looks for this name."""


@cli.group(cls=CommandFolder)
def mlflow() -> None:
    """Look at tracked runs and serve the registered model."""


def _refuse_in_one_line(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Print what is wrong with data or parameters alone, without a traceback."""

    @wraps(callback)
    def call(*args: Any, **kwargs: Any) -> Any:
        from kedro.io import DatasetError
        from kedro.validation import ParameterValidationError

        try:
            return callback(*args, **kwargs)
        except (DatasetError, ParameterValidationError) as error:
            raise click.ClickException(str(error)) from error

    return call


run = copy(kedro_run)
run.callback = _refuse_in_one_line(cast("Callable[..., Any]", kedro_run.callback))
cli.add_command(run)
