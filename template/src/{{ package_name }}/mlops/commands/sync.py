"""`kedro mlflow sync`: delivers runs that MLflow has not taken yet, or those of another MLflow."""

from pathlib import Path

import click
from kedro.framework.startup import ProjectMetadata

from ..backend.access import project_config
from ..config import KedroMlflowConfig
from ..errors import TrackingError
from ..project import State
from ..registry import listeners_of
from ..tracking.shipping.sync import sync

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
    try:
        from ..migration.house import move_house
    except ModuleNotFoundError as error:
        raise TrackingError(
            "--from: this project was rendered for runs in its own database, to which none are "
            "migrated. Answer where runs go now: `uv run kedro mlflow update -d tracking_preset=…`."
        ) from error

    report = move_house(source, config, project_path, click.echo)
    click.echo("\n".join(report.lines))
    if not report.complete:
        raise click.ClickException("What has arrived is not what is here: see above.")


def _deliver(config: KedroMlflowConfig, project_path: Path) -> None:
    state = State.of(project_path)
    failed = delivered = 0
    for outcome in sync(state.journals, config, listeners_of(config, state)):
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
