"""`kedro mlflow tune`: searches for better parameters, as tuning.yml says."""

import os
from typing import Any

import click

from ..errors import TrackingError
from ..project import is_rendered
from . import Project, for_project

_ON_DASK = is_rendered("tuning.dask_workers")


@click.command("tune")
@for_project
@click.option("--trials", type=click.IntRange(1), help="How many trials the study is to have.")
@click.option("--jobs", type=click.IntRange(1), help="How many processes run trials at once.")
@click.option("--timeout", type=click.FloatRange(1), help="Begin no trial after so many seconds.")
@click.option("--resume", is_flag=True, help="Continue the newest study.")
@click.option("--write", is_flag=True, help="Write the best values into parameters.yml.")
@click.option(
    "--scheduler",
    envvar="DASK_SCHEDULER_ADDRESS" if _ON_DASK else None,
    hidden=not _ON_DASK,
    help="Address of a scheduler of Dask, whose workers run the trials.",
)
@click.option("--no-run", is_flag=True, help="Train and register nothing at the end.")
def command(
    project: Project,
    resume: bool,
    write: bool,
    no_run: bool,
    scheduler: str | None,
    **given: Any,
) -> None:
    """Search for better parameters.

    conf/base/tuning.yml says which ones, and for which metric. Each trial is a Kedro run, and a
    child run of the study's run in MLflow; it registers no model. The best values are shown as a
    change of parameters.yml, and a whole run with them registers the challenger.
    """
    if scheduler and not _ON_DASK:
        raise click.UsageError(
            "This project has no workers of Dask: `uv run kedro mlflow update -d "
            "orchestrator=dask` adds what runs trials there."
        )
    if scheduler and given["jobs"]:
        raise click.UsageError(
            "--jobs is for processes of this machine, and --scheduler or DASK_SCHEDULER_ADDRESS "
            "names Dask's workers, which run one trial each: choose one."
        )
    from kedro.framework.project import settings

    from ..tuning import parameter_files
    from ..tuning.search import search, train

    found = search(
        project.path, project.env, given, resume=resume, say=click.echo, scheduler=scheduler
    )
    metric, best = found.options.metric, found.best
    click.echo(f"Best: {metric} = {found.value:g} (baseline: {found.baseline:g})")
    if not found.is_better or not best:
        click.echo("The project's parameters are as good: nothing changes.")
        return
    conf = project.path / str(settings.CONF_SOURCE)
    env = project.env or os.environ.get("KEDRO_ENV") or found.config.environment
    try:
        files = parameter_files.changed_files([conf / env, conf / "base"], best)
    except TrackingError as error:
        click.echo(error.message)
        files = {}
        write = False
    for path, text in files.items():
        click.echo(parameter_files.diff(path, text, project.path))
    if write:
        parameter_files.write(files)
    elif files:
        click.echo(f"`{found.config.typed('tune --resume --write')}` writes this.")
    if not no_run:
        train(project.path, project.env, found.options.pipeline, {} if write else best)
