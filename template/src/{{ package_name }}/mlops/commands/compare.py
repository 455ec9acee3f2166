"""`kedro mlflow compare`: metrics of runs side by side, and which differences mean something."""

from collections.abc import Sequence

import click

from ..backend.client import connect
from ..errors import TrackingError
from ..model.card import markdown_table
from ..project import State
from ..registry.report import aligned
from ..registry.runs_compared import best_runs, compare_runs
from . import Project, for_project, refusals

_COLOURS = {"better": "green", "worse": "red"}


@click.command("compare")
@for_project
@click.argument("runs", metavar="[RUN RUN...]", nargs=-1)
@click.option("--best", type=click.IntRange(min=2), metavar="N", help="The N best finished runs.")
@click.option("--metric", help="Best by what. [default: the first of improvement in promotion.yml]")
@click.option("--resamples", type=click.IntRange(min=0), default=200, show_default=True)
def command(
    project: Project, runs: Sequence[str], best: int | None, metric: str | None, resamples: int
) -> None:
    """Compare runs with the first of them, and keep the tables with the others.

    Of models that are registered it says which difference is more than chance: all predict for the
    first one's holdout, and its rows are drawn again as often as --resamples says.
    """
    if bool(runs) == bool(best) or len(runs) == 1:
        raise click.UsageError("Give two runs or more, or --best N.")
    config = project.config
    with refusals(config.server.uri, "gives no such run"):
        runs = best_runs(config, best, metric) if best else runs
        if len(runs) < 2:
            raise TrackingError("Fewer than two finished runs have this metric.")
        compared, how = compare_runs(config, State.of(project.path), runs, resamples)
        client = connect(config.server)
        click.echo(how)
        for each in compared:
            table = each.table()
            click.secho(f"\n{each.run_id} against {runs[0]}", bold=True)
            for line in aligned(table):
                click.secho(line, fg=_COLOURS.get(line.split(" ")[-1]))
            text = f"# Against the run {runs[0]}\n\n{how}\n\n{markdown_table(table)}\n"
            client.log_text(each.run_id, text, f"comparison/against-{runs[0]}.md")
