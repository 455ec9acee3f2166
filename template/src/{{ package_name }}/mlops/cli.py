"""Commands of this project: `kedro mlflow …`, one module of `commands/` each, and Kedro's own."""

import os
import pkgutil
from collections.abc import Callable
from copy import copy
from functools import wraps
from importlib import import_module
from typing import Any, cast

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.project import settings
from kedro.io import DatasetError

from . import commands
from .hook import MlflowHook
from .kedro_commands import ipython, jupyter, pipeline
from .redaction import mask_text, secret_values


class CommandFolder(click.Group):
    """A group whose commands are the modules of `commands/`, imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the modules' names."""
        return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of this name and return its ``command``."""
        if cmd_name not in self.list_commands(ctx):
            return None
        return cast("click.Command", import_module(f".{cmd_name}", commands.__name__).command)


@click.group(name="cli")
def cli() -> None:
    """Commands of this project."""


@cli.group(cls=CommandFolder)
def mlflow() -> None:
    """Work with tracked runs and the registered model."""


def _tracked(callback: Callable[..., Any]) -> Callable[..., Any]:
    """End tracked runs however the run ends; say what is wrong with data or parameters in a line.

    Kedro calls no hook at Ctrl-C and SIGTERM, and when Python exits, MLflow can start no threads.
    """

    @wraps(callback)
    def call(*args: Any, **kwargs: Any) -> Any:
        from kedro.validation import ParameterValidationError

        try:
            return callback(*args, **kwargs)
        except (DatasetError, ParameterValidationError) as error:
            secrets = secret_values(os.environ) | secret_values(kwargs.get("params") or {})
            raise click.ClickException(mask_text(str(error), secrets)) from error
        finally:
            for hook in settings.HOOKS:
                if isinstance(hook, MlflowHook):
                    hook.end_open_runs()

    return call


run = copy(kedro_run)
run.callback = _tracked(cast("Callable[..., Any]", kedro_run.callback))
for command in (run, ipython, jupyter, pipeline):
    cli.add_command(command)
