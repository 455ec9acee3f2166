"""`kedro mlflow sync`: delivers runs that MLflow has not taken yet."""

from pathlib import Path

import click
from kedro.framework.startup import ProjectMetadata

from ..tracking.shipping.sync import sync
from ..tracking.start import journals_of, project_config

_ENDED = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "was stopped"}


@click.command("sync")
@click.option("--env", "-e", help="Kedro environment whose mlflow.yml counts.")
@click.pass_obj
def command(metadata: ProjectMetadata, env: str | None) -> None:
    """Deliver the runs that MLflow has not taken yet."""
    project_path = Path(metadata.project_path)
    config = project_config(project_path, env)
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
            if outcome.note:
                click.echo(outcome.note)
    if failed:
        raise click.ClickException(f"{failed} of {failed + delivered} runs are still kept here.")
    click.echo(f"Delivered {delivered} runs." if delivered else "Every run is delivered.")
