"""Commands of this project: `kedro mlflow …`, one module of `commands/` each, and Kedro's own."""

import json
import os
import pkgutil
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from functools import partial, wraps
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, cast

import click
from kedro.framework.cli.jupyter import jupyter as kedro_jupyter
from kedro.framework.cli.pipeline import pipeline as kedro_pipeline
from kedro.framework.cli.project import ipython as kedro_ipython
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.server import server_cli as kedro_server
from kedro.framework.project import settings
from kedro.io import DatasetError

from . import commands
from .errors import TrackingError
from .hook import MlflowHook
from .project import is_rendered, registered_pipelines
from .redaction import KNOWN, mask_error, mask_text, redacted_log, secret_values

_Callback = Callable[..., Any]
_Change = Callable[[_Callback], _Callback]
_Command = TypeVar("_Command", bound=click.Command)

# Kedro looks a name without dots up among its own.
_DASK_RUNNER = "DaskRunner"
# What cookiecutter replaces. In two parts: the template's own braces are never left in a project.
_NAME = "{" + "{ cookiecutter.pipeline_name }" + "}"
# A pipeline without a node, as the project's own rules want it.
_NEW_PIPELINE = {
    "__init__.py": '''"""Say here what the pipeline is for."""

from .pipeline import create_pipeline

__all__ = ["create_pipeline"]
''',
    "nodes.py": '"""The functions that the pipeline runs."""\n',
    "pipeline.py": '''"""The pipeline: its nodes, by what they read and write."""

from kedro.pipeline import Pipeline


def create_pipeline() -> Pipeline:
    """Connect the nodes: add `node(nodes.FUNCTION, inputs=…, outputs=…, name=…)`."""
    return Pipeline([])
''',
    f"config/parameters_{_NAME}.yml": "# Parameters of the pipeline.\n",
    "tests/__init__.py": "",
    "tests/test_pipeline.py": '"""Tests of the pipeline."""\n',
}


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

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; neither what it logs nor an error shows a secret of the environment."""
        with redacted_log():
            KNOWN.add(secret_values(os.environ))
            try:
                return super().invoke(ctx)
            except Exception as error:
                mask_error(error)
                raise


@click.group(name="cli")
def cli() -> None:
    """Commands of this project."""


@cli.group(cls=CommandFolder)
def mlflow() -> None:
    """Work with tracked runs and the registered model."""


def _tracked(callback: _Callback) -> _Callback:
    """End tracked runs however the run ends; say what is wrong with data or parameters in a line.

    Kedro calls no hook at Ctrl-C and SIGTERM, and when Python exits, MLflow can start no threads.
    """

    @wraps(callback)
    def call(*args: Any, **kwargs: Any) -> Any:
        from kedro.validation import ParameterValidationError

        hooks = [hook for hook in settings.HOOKS if isinstance(hook, MlflowHook)]
        if kwargs.get("runner") == _DASK_RUNNER:
            kwargs["runner"] = _path_of_dask_runner()
        try:
            return callback(*args, **kwargs)
        except Exception as error:
            secrets = secret_values(os.environ) | secret_values(kwargs.get("params") or {})
            secrets = secrets.union(*(hook.secrets() for hook in hooks))
            mask_error(error, secrets)
            if isinstance(error, DatasetError | ParameterValidationError):
                raise click.ClickException(mask_text(str(error), secrets)) from error
            raise
        finally:
            for hook in hooks:
                hook.end_open_runs()

    return call


def _failing_on_drift(callback: _Callback) -> _Callback:
    """Let `kedro run` end with a code of its own if the data that it has scored have drifted."""
    callback = _tracked(callback)

    @wraps(callback)
    def call(*args: Any, fail_on_drift: bool = False, **kwargs: Any) -> Any:
        result = callback(*args, **kwargs)
        if fail_on_drift:
            drift = import_module(".monitoring.exit_code", __package__)
            drift.require_no_drift(drift.noted())
        return result

    return call


def _path_of_dask_runner() -> str:
    if not is_rendered("orchestration.dask_runner"):
        raise TrackingError(
            f"This project has no {_DASK_RUNNER}: "
            "`uv run kedro mlflow update -d orchestrator=dask` adds it."
        )
    return f"{__package__}.orchestration.dask_runner.{_DASK_RUNNER}"


# --- Kedro's own commands, where this project has more to say ---


def _changed(command: _Command, change: _Change) -> _Command:
    """Copy a command of Kedro's, and give the copy another callback."""
    command = copy(command)
    command.params = list(command.params)
    command.callback = change(cast("_Callback", command.callback))
    return command


def _with(group: click.Group, changes: dict[str, _Change]) -> click.Group:
    group = copy(group)
    changed = {name: _changed(group.commands[name], change) for name, change in changes.items()}
    group.commands = {**group.commands, **changed}
    return group


def _needing(module: str, callback: _Callback) -> _Callback:
    """Say in a sentence what is not installed; Kedro says `NoneType: None`."""

    @wraps(callback)
    def call(*args: Any, **kwargs: Any) -> Any:
        if find_spec(module) is None:
            raise TrackingError(
                f"{module} is not installed: `uv add --group notebook {module.lower()}` adds it to "
                "the group `notebook` of pyproject.toml."
            )
        return callback(*args, **kwargs)

    return call


def _guarded(callback: _Callback) -> _Callback:
    """Let Kedro's server ask its callers for a token, and run one pipeline at a time."""

    @wraps(callback)
    def call(*args: Any, host: str, port: int, **kwargs: Any) -> Any:
        from .run_server import guarded

        with guarded(host, port):
            return callback(*args, host=host, port=port, **kwargs)

    return call


def _creating(callback: _Callback) -> _Callback:
    """Create a pipeline that passes the project's checks, and say if the registry misses it."""

    @wraps(callback)
    def call(*args: Any, name: str, template_path: Path | None, **kwargs: Any) -> None:
        folder = Path(click.get_current_context().obj.project_path)
        with TemporaryDirectory() as scratch:
            # A template of the owner's own comes first.
            if template_path is None and not (folder / "templates" / "pipeline").is_dir():
                template_path = _write_template(Path(scratch))
            callback(*args, name=name, template_path=template_path, **kwargs)
        with suppress(Exception):  # Whoever runs a registry that is broken is told.
            if name not in registered_pipelines(name):
                click.echo(
                    f"pipeline_registry.py does not list it yet: add '{name}' to what "
                    "register_pipelines() returns, or let it return find_pipelines()."
                )

    return call


def _write_template(folder: Path) -> Path:
    """Write what Kedro's `pipeline create` fills in, by cookiecutter."""
    (folder / "cookiecutter.json").write_text(json.dumps({"pipeline_name": ""}), encoding="utf-8")
    for name, content in _NEW_PIPELINE.items():
        path = folder / _NAME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return folder


_NOTEBOOKS = {"setup": "ipykernel", "lab": "jupyterlab", "notebook": "notebook"}

ipython = _changed(kedro_ipython, partial(_needing, "IPython"))
jupyter = _with(
    kedro_jupyter, {name: partial(_needing, module) for name, module in _NOTEBOOKS.items()}
)
pipeline = _with(kedro_pipeline, {"create": _creating})
run = commands.may_fail_on_drift(_changed(kedro_run, _failing_on_drift))
server = _with(kedro_server, {"start": _guarded})
for command in (run, ipython, jupyter, pipeline, server):
    cli.add_command(command)
