"""Kedro's own commands, where this project has more to say than Kedro: notebooks, new pipelines."""

import json
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from functools import partial, wraps
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import click
from kedro.framework.cli.jupyter import jupyter as kedro_jupyter
from kedro.framework.cli.pipeline import pipeline as kedro_pipeline
from kedro.framework.cli.project import ipython as kedro_ipython

from .errors import TrackingError
from .project import registered_pipelines

_Callback = Callable[..., Any]

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


def _changed(command: click.Command, change: Callable[[_Callback], _Callback]) -> click.Command:
    """Copy a command of Kedro's, and give the copy another callback."""
    command = copy(command)
    command.callback = change(cast("_Callback", command.callback))
    return command


def _with_commands(group: click.Group, changed: dict[str, click.Command]) -> click.Group:
    """Copy a group of Kedro's, with other commands in it."""
    group = copy(group)
    group.commands = {**group.commands, **changed}
    return group


def _needing(module: str, packages: str, callback: _Callback) -> _Callback:
    """Say in a sentence what is not installed; Kedro says `NoneType: None`."""

    @wraps(callback)
    def call(*args: Any, **kwargs: Any) -> Any:
        if find_spec(module) is None:
            raise TrackingError(
                f"{module} is not installed: `uv add --group notebook {packages}` adds it to the "
                "group `notebook` of pyproject.toml."
            )
        return callback(*args, **kwargs)

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


def _notebook(name: str, module: str, packages: str) -> click.Command:
    return _changed(kedro_jupyter.commands[name], partial(_needing, module, packages))


ipython = _changed(kedro_ipython, partial(_needing, "IPython", "ipython"))
jupyter = _with_commands(
    kedro_jupyter,
    {
        "setup": _notebook("setup", "ipykernel", "ipykernel"),
        "lab": _notebook("lab", "jupyterlab", "jupyterlab"),
        "notebook": _notebook("notebook", "notebook", "notebook"),
    },
)
pipeline = _with_commands(
    kedro_pipeline, {"create": _changed(kedro_pipeline.commands["create"], _creating)}
)
