"""`kedro mlflow promote`: makes a version of the model the champion, or takes that back."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

import click

from ..backend.access import Environment, environment_of
from ..backend.client import connect, if_exists
from ..backend.pages import has_pages, page
from ..config import KedroMlflowConfig
from ..errors import TrackingError
from ..project import State
from ..redaction import mask_text, secret_values
from ..registry.environments import PromotionTo
from ..registry.promote import Outcome, Promotion
from ..registry.report import as_comment, on_screen
from . import Project, for_project, refusals, require_rendered

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


@click.command("promote")
@for_project
@click.option("--version", "-v", metavar="N", help="The version. [default: the challenger]")
@click.option(
    "--to",
    metavar="ENV",
    help="Promote a version, the champion by default, into this Kedro environment.",
)
@click.option("--dry-run", is_flag=True, help="Print what would happen, and change nothing.")
@click.option("--force", is_flag=True, help="Promote even if a rule does not hold; needs --reason.")
@click.option(
    "--new-champion", is_flag=True, help="Do not compare with the champion; needs --reason."
)
@click.option("--rollback", is_flag=True, help="Go back to the previous champion.")
@click.option("--reason", metavar="TEXT", help="Why; stored with the version.")
@click.option(
    "--report",
    type=click.File("w", encoding="utf-8", lazy=False),
    help="For CI: write the verdict, or why there is none, to this file as Markdown.",
)
def command(
    project: Project,
    version: str | None,
    to: str | None,
    dry_run: bool,
    force: bool,
    new_champion: bool,
    rollback: bool,
    reason: str | None,
    report: TextIO | None,
) -> None:
    """Make a version the champion, if the promotion rules hold.

    Batch scoring and serving use the champion. The rules are in conf/base/promotion.yml. Their
    results are printed, and stored on the version's run. Exits with 1 if a rule does not hold.

    With --to, the version is copied into another Kedro environment, and judged by the rules of that
    one against the champion there. --env is the environment that it comes from.
    """
    reason = mask_text((reason or "").strip(), secret_values(os.environ))
    if rollback and (version or new_champion or report):
        raise click.UsageError(
            "--rollback goes back to the previous champion: it takes no --version, no "
            "--new-champion and no --report."
        )
    if force and not reason:
        raise click.UsageError("--force needs --reason: why the rules are overridden.")
    if new_champion and not reason:
        raise click.UsageError("--new-champion needs --reason: why it is not compared.")

    state = State.of(project.path)
    forced, new = (reason if each else None for each in (force, new_champion))
    if to and not rollback:
        source, target = (environment_of(project.path, each) for each in (project.env, to))
        with _rejections([source.config, target.config], report):
            promotion_to = PromotionTo(source, target, state, _copy_between)
            outcome = promotion_to.promote(version, forced, dry_run, new)
            with target.admitted():
                _keep(report, target.config, outcome)
            _show(outcome, dry_run, target.config)
        return
    config = (replace(project, env=to) if to else project).config
    promotion = Promotion(config, state)
    with _rejections([config], report):
        if rollback:
            click.secho(promotion.roll_back(reason, dry_run, force), fg="green")
        else:
            outcome = promotion.promote(version, forced, dry_run, new)
            _keep(report, config, outcome)
            _show(outcome, dry_run, config)


def _copy_between(source: Environment, target: Environment, *what: Any) -> "ModelVersion":
    require_rendered(
        "migration",
        "--to: this project was rendered for runs in its own database, and copies no version to "
        "another server. `uv run kedro mlflow update -d tracking_preset=server` adds what does.",
    )
    from ..migration.transfer import copy_between

    return copy_between(source, target, *what)


@contextmanager
def _rejections(configs: Sequence[KedroMlflowConfig], report: TextIO | None) -> Iterator[None]:
    """Say in a line what MLflow rejects; the report has it too."""
    try:
        addresses = " or ".join(each.server.registry_uri for each in configs)
        with refusals(addresses, "rejected the request"):
            yield
    except TrackingError as error:
        _keep(report, configs[-1], Outcome(None, False, str(error.message)))
        raise


def _keep(report: TextIO | None, config: KedroMlflowConfig, outcome: Outcome) -> None:
    if report:
        name = config.model.name if config.model else ""
        run = _run_of(config, outcome.run_id) if outcome.run_id else ""
        report.write(as_comment(name, outcome.summary, outcome.verdict, run))


def _run_of(config: KedroMlflowConfig, run_id: str) -> str:
    """Return a link to the run that has trained a version; its id where runs have no page."""
    uri = config.server.uri
    run = if_exists(connect(config.server).get_run, run_id) if has_pages(uri) else None
    if run is None:
        return f"The run in MLflow: `{run_id}`"
    return f"[The run in MLflow]({page(uri, run.info.experiment_id, run_id)})"


def _show(outcome: Outcome, dry_run: bool, config: KedroMlflowConfig) -> None:
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
        click.echo(f"`{config.typed('promote --rollback')}` takes it back.")
    if not outcome.promoted:
        raise click.exceptions.Exit(1)
