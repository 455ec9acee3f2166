"""`kedro mlflow sync`: delivers runs that MLflow has not taken yet, or those of another MLflow."""

from pathlib import Path

import click
from kedro.framework.startup import ProjectMetadata

from ..tracking.config import KedroMlflowConfig
from ..tracking.shipping.sync import sync
from ..tracking.start import journals_of, project_config

_ENDED = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "was stopped"}


@click.command("sync")
@click.option("--env", "-e", help="Kedro environment whose mlflow.yml counts.")
@click.option(
    "--from",
    "source",
    metavar="URI",
    help="Bring runs, models and versions from another MLflow, as sqlite:///mlflow.db.",
)
@click.pass_obj
def command(metadata: ProjectMetadata, env: str | None, source: str | None) -> None:
    """Deliver the runs that MLflow has not taken yet, or move those of another MLflow here.

    With --from, all finished runs of that MLflow go to the one that mlflow.yml names, with their
    models, files, traces and registered versions, and both ends are compared. It can be stopped
    and started again at any time: nothing goes twice.
    """
    project_path = Path(metadata.project_path)
    config = project_config(project_path, env)
    if source:
        _move(source, config, project_path)
    else:
        _deliver(config, project_path)


def _move(source: str, config: KedroMlflowConfig, project_path: Path) -> None:
    from ..tracking.moving.house import move_house

    report = move_house(source, config, project_path, click.echo)
    click.echo("\n".join(report.lines))
    if not report.complete:
        raise click.ClickException("What has arrived is not what is here: see above.")


def _deliver(config: KedroMlflowConfig, project_path: Path) -> None:
    failed = delivered = 0
    for outcome in sync(journals_of(project_path), config):
        if outcome.status is None:
            click.echo(f"{outcome.kedro_run_id}: still running, left alone")
        elif outcome.error:
            failed += 1
            click.echo(f"{outcome.kedro_run_id}: kept, MLflow did not take it ({outcome.error})")
        else:
            delivered += 1
            ended = _ENDED[outcome.status]
            click.echo(f"{outcome.kedro_run_id}: {ended}, delivered as run {outcome.run_id}")
            for note in outcome.notes:
                click.echo(note)
    if failed:
        raise click.ClickException(f"{failed} of {failed + delivered} runs are still kept here.")
    click.echo(f"Delivered {delivered} runs." if delivered else "Every run is delivered.")
