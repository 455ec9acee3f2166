"""`kedro mlflow deploy`: a version of the model on the serving target that mlflow.yml names."""

import os
from importlib import import_module
from typing import TYPE_CHECKING

import click

from .. import deployment
from ..backend.client import is_missing
from ..config import ServerOptions
from ..deployment.steps import Deployment
from ..errors import TrackingError
from ..registry.retention import note_deployed
from ..registry.versions import CHAMPION, find_version
from . import Project, for_project, require_rendered

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


@click.command("deploy")
@for_project
@click.option("--version", help="Version of the model to deploy. [default: the champion]")
@click.option("--rollback", is_flag=True, help="Go back to what was served before.")
@click.option("--dry-run", is_flag=True, help="Print the steps and run none of them.")
@click.option("--commit", is_flag=True, help="Commit what is to run instead of applying it.")
def command(
    project: Project, version: str | None, rollback: bool, dry_run: bool, commit: bool
) -> None:
    """Deploy a version of the registered model.

    The target is `deployment` in mlflow.yml. Each step is printed before it is run: its purpose,
    and the exact command or call.
    """
    config = project.config
    if config.model is None:
        raise TrackingError("mlflow.yml names no model to deploy: set model.name.")
    options = config.deployment
    if options is None:
        raise TrackingError("mlflow.yml names no target: set deployment.target.")
    require_rendered(
        f"deployment.{options.target}",
        f"mlflow.yml: deployment.target is {options.target}, which this project was not rendered "
        f"for: run `uv run kedro mlflow update -d serving_target={options.target}`.",
    )
    target = import_module(f".{options.target}", deployment.__name__)
    if commit and options.target != "kubernetes":
        raise click.UsageError("--commit is for the target kubernetes: omit it.")
    if rollback:
        if version:
            raise click.UsageError("--rollback goes back to the version before: omit --version.")
        if not hasattr(target, "rollback"):
            raise TrackingError(
                "This target does not know what it served before: deploy the version that you "
                "want, with --version."
            )
        steps = target.rollback(config, options)
    else:
        wanted = _wanted(config.model.name, config.server, version, dry_run)
        env = project.env or os.environ.get("KEDRO_ENV")
        steps = target.plan(Deployment(project.path, config, options, wanted, env, commit))
    if not steps:
        click.echo("Exactly this is served already: there is nothing to do.")
    for number, step in enumerate(steps, 1):
        click.echo(f"{number}. {step.purpose}\n   {step.command}")
        if not dry_run:
            step.run()
    if steps and not (rollback or dry_run):
        note_deployed(config, wanted)


def _wanted(name: str, server: ServerOptions, version: str | None, dry_run: bool) -> "ModelVersion":
    """Ask the registry for the version; a plan alone needs no registry that answers."""
    try:
        return find_version(name, server, version)
    except TrackingError as error:
        if not dry_run or is_missing(error.__cause__):
            raise
        from mlflow.entities.model_registry import ModelVersion

        click.echo(error)
        return ModelVersion(name, version or CHAMPION.upper(), 0, aliases=[version or CHAMPION])
