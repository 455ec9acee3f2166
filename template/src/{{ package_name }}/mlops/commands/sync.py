"""`kedro mlflow sync`: delivers runs that wait on disk, or migrates those of another MLflow."""

import click

from ..backend.client import reason_of
from ..errors import TrackingError, one_line
from ..model.unregistered import waiting
from ..project import State
from ..redaction import mask
from ..registry import listeners_of
from ..tracking.shipping.spill import fetch
from ..tracking.shipping.sync import give_up, reopen, sync
from . import Project, for_project, require_rendered

_ENDED = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "was stopped"}


@click.command("sync")
@for_project
@click.option(
    "--from",
    "source",
    metavar="URI",
    help="Migrate runs, models and versions from another MLflow, such as sqlite:///mlflow.db.",
)
@click.option("--refused", is_flag=True, help="Try again what MLflow has refused.")
@click.option(
    "--give-up", "given_up", metavar="RUN", help="Delete what is kept of a run; takes Kedro's id."
)
def command(project: Project, source: str | None, refused: bool, given_up: str | None) -> None:
    """Deliver the runs that wait, or migrate those of another MLflow.

    A run waits on disk if MLflow was not reachable, or if its process was killed. What MLflow has
    refused for good holds up nothing else: it is kept apart, until --refused or --give-up.

    With --from, all finished runs of that MLflow are copied to the one that mlflow.yml names, with
    their models, files, traces and registered versions, and both ends are compared. It can be
    stopped and started again at any time: nothing is copied twice.
    """
    if source:
        _migrate(project, source)
    elif given_up:
        give_up(State.of(project.path), given_up)
        click.echo(f"{given_up}: deleted")
    else:
        if refused:
            reopen(State.of(project.path))
        _deliver(project)


def _end_abandoned(project: Project) -> None:
    """End runs that were begun for tasks a long time ago, and never ended."""
    from ..orchestration.end import abandoned, end

    try:
        found = abandoned(project.config)
    except Exception as error:
        click.echo(f"Whether a run was begun and never ended is not known: {reason_of(error)}.")
        return
    for run_id, environment in found:
        if environment not in ("", project.config.environment):
            command = f"`uv run kedro mlflow sync --env {environment}`"
            click.echo(f"{run_id}: begun and never ended, {command} ends it")
            continue
        try:
            outcome = end(project.path, project.env, project.config, run_id, wait=0)
        except TrackingError as error:
            click.echo(f"{run_id}: begun and never ended: {error.message}")
            continue
        why = f": {outcome.reason}" if outcome.reason else ""
        click.echo(f"{run_id}: begun and never ended, {_ENDED[str(outcome.status)]} now{why}")


def _migrate(project: Project, source: str) -> None:
    require_rendered(
        "migration",
        "--from: this project was rendered for runs in its own database, to which none are "
        "migrated. Answer where runs go now: `uv run kedro mlflow update -d tracking_preset=…`.",
    )
    from ..migration import migrate

    report = migrate(source, project.config, project.path, click.echo)
    click.echo("\n".join(report.lines))
    if not report.complete:
        raise click.ClickException("Not everything was migrated as it is here: see above.")


def _deliver(project: Project) -> None:
    state = State.of(project.path)
    failed, waits, ended = 0, False, []
    if store := project.config.shipping.spill:
        try:
            fetch(state.journals, store)
        except Exception as error:
            place = f"{mask('', store)} (shipping.spill in mlflow.yml)"
            raise TrackingError(f"{place} cannot be read: {one_line(error)}") from error
    for outcome in sync(state.journals, project.config, listeners_of(project.config, state)):
        waits = waits or outcome.status is None
        if outcome.environment is not None:
            command = f"`uv run kedro mlflow sync --env {outcome.environment}`"
            click.echo(f"{outcome.kedro_run_id}: of another environment, {command} delivers it")
        elif outcome.status is None:
            click.echo(f"{outcome.kedro_run_id}: still running, skipped")
        elif outcome.error:
            failed += 1
            click.echo(f"{outcome.kedro_run_id}: kept, MLflow did not take it ({outcome.error})")
        else:
            ended.append(outcome)
            how = f"delivered as run {outcome.run_id}" if outcome.run_id else "cannot be delivered"
            click.echo(f"{outcome.kedro_run_id}: {_ENDED[outcome.status]}, {how}")
            for note in outcome.notes:
                click.echo(note)
    _end_abandoned(project)
    if failed:
        raise click.ClickException(f"{failed} of {failed + len(ended)} runs are still kept here.")
    delivered = sum(outcome.run_id is not None for outcome in ended)
    if ended or not waits:
        click.echo(f"Delivered {delivered} runs." if ended else "Every run is delivered.")
    for run in waiting(state):
        command = project.config.typed(f"register {run.folder.name}")
        click.echo(f"{run.folder.name}: its model is not registered ({run.reason}), `{command}`")
