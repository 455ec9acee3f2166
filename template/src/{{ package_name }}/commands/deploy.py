"""`kedro mlflow deploy`: a version of the model goes to where mlflow.yml says that it is served."""

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click
from kedro.framework.startup import ProjectMetadata

from .. import deployment
from ..deployment.plan import Deployment, Step
from ..tracking.errors import TrackingError
from ..tracking.pipeline_model.scoring import find_version
from ..tracking.start import project_config


@click.command("deploy")
@click.option("--env", "-e", help="Kedro environment whose mlflow.yml counts.")
@click.option("--version", help="Version of the model to deploy. [default: the champion]")
@click.option("--dry-run", is_flag=True, help="Print the steps and take none of them.")
@click.pass_obj
def command(metadata: ProjectMetadata, env: str | None, version: str | None, dry_run: bool) -> None:
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
    found = find_version(config.model.name, config.server, version)
    env = env or os.environ.get("KEDRO_ENV")
    steps = _planner(options.target)(Deployment(project, config, options, found, env))
    for number, step in enumerate(steps, 1):
        click.echo(f"{number}. {step.purpose}\n   {step.exactly}")
        if not dry_run:
            step.take()


def _planner(target: str) -> Callable[[Deployment], list[Step]]:
    """Import what plans for a target; a project has that of its answer alone."""
    try:
        plan: Callable[[Deployment], list[Step]] = import_module(
            f".{target}", deployment.__name__
        ).plan
    except ModuleNotFoundError as error:
        raise TrackingError(
            f"mlflow.yml: deployment.target is {target}, which this project was not rendered for: "
            f"run `uv run kedro mlflow update -d serving_target={target}`."
        ) from error
    return plan
