"""`kedro mlflow update`: the template's newest version, merged with the owner's edits."""

import sys
from pathlib import Path

import click
from kedro.framework.startup import ProjectMetadata

from ..update import update
from ..update.origin import UpdateError, changelog, newest_version, origin

_CONFLICTS = 3


@click.command("update")
@click.option(
    "--data", "-d", "answers", multiple=True, metavar="KEY=VALUE", help="Change an answer."
)
@click.option("--defaults", is_flag=True, help="Answer new questions by their defaults.")
@click.option("--check", is_flag=True, help="Print whether there is a newer version, and stop.")
@click.option(
    "--request",
    type=click.Path(path_type=Path, dir_okay=False),
    help="For CI: ask nothing, and write the text of a merge request to this file if there is "
    "something to merge. An unreachable template counts as nothing new.",
)
@click.pass_obj
def command(
    metadata: ProjectMetadata,
    answers: tuple[str, ...],
    defaults: bool,
    check: bool,
    request: Path | None,
) -> None:
    """Bring this project to the newest version of its template.

    Your edits stay. Where one conflicts with the template's, the file holds both between conflict
    markers, and the exit code is 3.
    """
    project = Path(metadata.project_path)
    template = origin(project)
    try:
        newest = newest_version(template)
    except UpdateError:
        if request:
            return
        raise
    if check or not (newest or answers):
        found = f"There is a newer one: {newest}." if newest else "There is no newer one."
        click.echo(f"This project is from {template.version} of its template. {found}")
        return
    notes = changelog(template, newest) if newest and request else ""
    # Other answers alone: the version stays.
    ask = sys.stdin.isatty() and not (defaults or request)
    done = update(project, newest or ":current:", answers, ask=ask)
    click.echo(done.screen())
    if request and done.changed:
        request.write_text(done.request(notes), encoding="utf-8")
    elif done.conflicts:
        raise SystemExit(_CONFLICTS)
