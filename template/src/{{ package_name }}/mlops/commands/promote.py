"""`kedro mlflow promote`: makes a version of the model the champion, or takes that back."""

import os

import click

from ..backend.client import reason_of
from ..errors import TrackingError
from ..project import State
from ..redaction import mask, mask_text, secret_values
from ..registry.promote import Outcome, Promotion
from ..registry.report import on_screen
from . import Project, for_project


@click.command("promote")
@for_project
@click.option("--version", "-v", metavar="N", help="The version. [default: the challenger]")
@click.option("--dry-run", is_flag=True, help="Print what would happen, and change nothing.")
@click.option("--force", is_flag=True, help="Promote even if a rule does not hold; needs --reason.")
@click.option(
    "--new-champion", is_flag=True, help="Do not compare with the champion; needs --reason."
)
@click.option("--rollback", is_flag=True, help="Go back to the previous champion.")
@click.option("--reason", metavar="TEXT", help="Why; stored with the version.")
def command(
    project: Project,
    version: str | None,
    dry_run: bool,
    force: bool,
    new_champion: bool,
    rollback: bool,
    reason: str | None,
) -> None:
    """Make a version the champion, if the promotion rules hold.

    Batch scoring and serving use the champion. The rules are in conf/base/promotion.yml. Their
    results are printed, and stored on the version's run. Exits with 1 if a rule does not hold.
    """
    reason = mask_text((reason or "").strip(), secret_values(os.environ))
    if rollback and (version or new_champion):
        raise click.UsageError(
            "--rollback goes back to the previous champion: it takes no --version and no "
            "--new-champion."
        )
    if force and not reason:
        raise click.UsageError("--force needs --reason: why the rules are overridden.")
    if new_champion and not reason:
        raise click.UsageError("--new-champion needs --reason: why it is not compared.")
    from mlflow.exceptions import MlflowException

    config = project.config
    promotion = Promotion(config, State.of(project.path))
    try:
        if rollback:
            click.secho(promotion.roll_back(reason, dry_run, force), fg="green")
        else:
            forced, new = (reason if each else None for each in (force, new_champion))
            _show(promotion.promote(version, forced, dry_run, new), dry_run)
    except (MlflowException, OSError) as error:
        address = mask("", config.server.registry_uri)
        raise TrackingError(
            f"MLflow at {address} rejected the request: {reason_of(error)}."
        ) from error


def _show(outcome: Outcome, dry_run: bool) -> None:
    """Print what came of a promotion; exit with 1 if it was refused."""
    if verdict := outcome.verdict:
        click.echo(f"{verdict.title}.")
        if verdict.how:
            click.echo(verdict.how)
        if verdict.checks:
            heading, *lines = on_screen(verdict)
            click.secho(f"\n{heading}", bold=True)
            for line, check in zip(lines, verdict.checks, strict=True):
                click.secho(line, fg=None if check.holds else "red")
            click.echo()
        if verdict.note:
            click.echo(verdict.note)
    click.secho(outcome.summary, fg="green" if outcome.promoted else "red")
    if verdict and outcome.promoted and verdict.champion and not dry_run:
        click.echo("`uv run kedro mlflow promote --rollback` takes it back.")
    if not outcome.promoted:
        raise click.exceptions.Exit(1)
