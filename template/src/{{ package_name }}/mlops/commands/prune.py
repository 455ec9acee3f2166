"""`kedro mlflow prune`: deletes what is old and no longer needed."""

import re

import click

from ..project import State
from ..registry.report import aligned
from ..registry.retention import find_old
from . import Project, for_project, refusals


def _days(_: click.Context, __: click.Parameter, value: str) -> int:
    if found := re.fullmatch(r"(\d+)d", value):
        return int(found[1])
    raise click.BadParameter("give a number of days, such as 90d.")


@click.command("prune")
@for_project
@click.option("--older-than", required=True, metavar="DAYS", callback=_days, help="As in 90d.")
@click.option("--yes", is_flag=True, help="Delete it: without this, it is only shown.")
def command(project: Project, older_than: int, yes: bool) -> None:
    """Show, or delete, what is older than some days and no longer needed.

    That is: what is kept here of runs that were refused or not registered, holdouts, versions
    without an alias, and files of runs. A run that waits to be delivered stays, and so does
    a version with an alias, the one before the champion, and one that was deployed. Parameters,
    metrics and tags of runs stay.
    """
    config = project.config
    with refusals(config.server.uri, "did not delete all"):
        found = list(find_old(config, State.of(project.path), older_than))
        for line in aligned(
            [[each.kind, each.name, f"{each.days} days"] for each in found] or [[""]]
        ):
            click.echo(line)
        for each in found if yes else ():
            each.delete()
    if not found:
        click.echo("Nothing is that old and no longer needed.")
    elif yes:
        click.echo(
            f"Deleted {len(found)}. What a server keeps of deleted versions, `mlflow gc` removes."
        )
    else:
        click.echo(f"{len(found)} would be deleted: --yes does it.")
