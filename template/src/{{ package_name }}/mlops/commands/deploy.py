"""`kedro mlflow deploy`: a version of the model goes to where mlflow.yml says that it is served."""

import os
from importlib import import_module
from pathlib import Path
from types import ModuleType

import click
from kedro.framework.startup import ProjectMetadata

from .. import deployment
from ..backend.access import project_config
from ..config import KedroMlflowConfig
from ..deployment.plan import Deployment, Step
from ..errors import TrackingError
from ..registry.versions import find_version


@click.command("deploy")
@click.option("--env", "-e", help="Kedro environment whose mlflow.yml counts.")
@click.option("--version", help="Version of the model to deploy. [default: the champion]")
@click.option("--rollback", is_flag=True, help="Go back to what was served before.")
@click.option("--dry-run", is_flag=True, help="Print the steps and take none of them.")
@click.pass_obj
def command(
    metadata: ProjectMetadata, env: str | None, version: str | None, rollback: bool, dry_run: bool
) -> None:
    """Deploy a version of the registered model, as `deployment` in mlflow.yml says.

    Each step is printed before it is taken: what for, and the very command or call.
    """
    project = Path(metadata.project_path)
    config = project_config(project, env)
    if config.model is None:
        raise TrackingError("mlflow.yml names no model to deploy: set model.name.")
    options = config.deployment
    if options is None:
        raise TrackingError("mlflow.yml does not say where to: set deployment.target.")
    target = _target(options.target)
    if rollback:
        if version:
            raise click.UsageError("--rollback knows where to: leave --version out.")
        steps = _back(target, config)
    else:
        wanted = find_version(config.model.name, config.server, version)
        env = env or os.environ.get("KEDRO_ENV")
        steps = target.plan(Deployment(project, config, options, wanted, env))
    if not steps:
        click.echo("That is served already, just so: there is nothing to do.")
    for number, step in enumerate(steps, 1):
        click.echo(f"{number}. {step.purpose}\n   {step.exactly}")
        if not dry_run:
            step.take()


def _target(name: str) -> ModuleType:
    """Import what plans for a target; a project has that of its answer alone."""
    try:
        return import_module(f".{name}", deployment.__name__)
    except ModuleNotFoundError as error:
        raise TrackingError(
            f"mlflow.yml: deployment.target is {name}, which this project was not rendered for: "
            f"run `uv run kedro mlflow update -d serving_target={name}`."
        ) from error


def _back(target: ModuleType, config: KedroMlflowConfig) -> list[Step]:
    """Plan the way back, for a target that remembers what it has served."""
    if not hasattr(target, "rollback"):
        raise TrackingError(
            "This target does not remember what it has served: deploy the version that you want "
            "back, with --version."
        )
    steps: list[Step] = target.rollback(config, config.deployment)
    return steps
