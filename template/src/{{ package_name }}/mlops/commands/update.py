"""`kedro mlflow update`: the template's newest version, merged with the owner's edits."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from kedro.framework.startup import ProjectMetadata

from ..project import State
from ..redaction import mask_text
from ..update import update
from ..update.origin import (
    Origin,
    UpdateError,
    changelog,
    former_address,
    move,
    newest_version,
    origin,
    refuse_commands,
    trust,
)


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
    "something to merge.",
)
@click.option(
    "--template",
    metavar="ADDRESS",
    help="The template that you trust: no other is rendered. [default: ask if it has changed]",
)
@click.option(
    "--from", "source", metavar="ADDRESS", help="Where the template is now, if it has moved."
)
@click.pass_obj
def command(
    metadata: ProjectMetadata,
    answers: tuple[str, ...],
    defaults: bool,
    check: bool,
    request: Path | None,
    template: str | None,
    source: str | None,
) -> None:
    """Bring this project to the newest version of its template.

    Your edits stay. Where one conflicts with the template's, the file holds both between conflict
    markers, and the exit code is 3.
    """
    project = Path(metadata.project_path)
    with _output_kept(project, shown=request is not None):
        ours = move(project, source) if source else origin(project)
        newest = newest_version(ours, seconds=120 if request else 20)
        if check or not (newest or answers):
            found = f"There is a newer one: {newest}." if newest else "There is no newer one."
            click.echo(f"This project is from {ours.version} of its template. {found}")
            return
        # Other answers alone: the version stays.
        ask = sys.stdin.isatty() and not (defaults or request)
        _require_trust(project, ours, template, ask)
        refuse_commands(ours, *{ours.version, newest or ours.version})
        notes = changelog(ours, newest) if newest and request else ""
        done = update(project, newest or ":current:", answers, ask=ask)
        click.echo(done.screen())
        if request and done.changed:
            request.write_text(done.request(notes), encoding="utf-8")
        elif done.conflicts:
            raise SystemExit(3)


@contextmanager
def _output_kept(project: Path, *, shown: bool) -> Iterator[None]:
    """Keep in a file, or show in CI's log, all that another program has said of a failure."""
    try:
        yield
    except UpdateError as error:
        said = mask_text(error.output)
        if shown and said:
            click.echo(said, err=True)
        if shown or len(said.splitlines()) < 2:
            raise
        log = State.of(project).folder / "update.log"
        log.parent.mkdir(exist_ok=True)
        log.write_text(said, encoding="utf-8", errors="replace")
        raise UpdateError(f"{error.message} (All of it: {log.relative_to(project)})") from error


def _require_trust(project: Path, ours: Origin, trusted: str | None, ask: bool) -> None:
    """Refuse a template that is not the trusted one, or that a commit has put into its place.

    A template's extensions run here: whoever can change its address could run what they like.
    """
    if trusted and Origin(trusted, "").git_address == ours.git_address:
        return
    former = trusted or former_address(project, ours)
    if former is None:
        return
    changed = f".copier-answers.yml names {ours.address} as the template, and not {former}"
    if trusted or not ask:
        raise UpdateError(f"{changed}: correct it, or name it by --template if you trust it.")
    click.confirm(f"{changed}. Do you trust it?", abort=True)
    trust(project, ours)
