"""`kedro mlflow reproduce`: repeats a tracked run as it was, and compares the results."""

import re

import click

from ..backend.client import connect
from ..errors import TrackingError
from ..registry.report import aligned
from ..registry.versions import find_version
from ..reproduction import NOT, Report, reproduce
from ..reproduction.differences import table_of
from . import Project, for_project, refusals


@click.command("reproduce")
@for_project
@click.argument("run", metavar="[RUN]", required=False)
@click.option("--version", "-v", metavar="N", help="Take the run that has trained this version.")
@click.option(
    "--tolerance", type=float, default=1e-6, show_default=True, help="Of metrics, as a share."
)
@click.option("--exact", is_flag=True, help="Figures, predictions and all digits must be the same.")
@click.option("--keep", is_flag=True, help="Keep the result on the run: a tag, and the table.")
@click.option("--yes", is_flag=True, help="Apply the run's diff without asking.")
def command(
    project: Project,
    run: str | None,
    version: str | None,
    tolerance: float,
    exact: bool,
    keep: bool,
    yes: bool,
) -> None:
    """Repeat a run as it was, and compare what comes out.

    RUN is the id of a run in MLflow. Its commit, what differed from that, its libraries and its
    Python are put into a folder of their own, where its own command runs once more. Your runs,
    models and data stay as they are. Exits with 1 if parameters, data or metrics differ.
    """
    if bool(run) == bool(version):
        raise click.UsageError("Give a run's id, or --version N.")
    config = project.config
    with refusals(config.server.uri, "gives no such run"):
        if version:
            if config.model is None:
                raise TrackingError("mlflow.yml names no registered model: set model.name.")
            run = str(find_version(config.model.name, config.server, version).run_id)
        report = reproduce(
            project.path,
            config,
            str(run),
            tolerance,
            lambda diff: yes or _allowed(diff),
            click.echo,
        )
        _show(report, exact)
        if keep:
            report.keep(connect(config.server))
    if report.verdict == NOT or (exact and any(row.differs for row in report.rows)):
        raise click.exceptions.Exit(1)


def _allowed(diff: str) -> bool:
    """Ask whether what comes from the server may run here; the answer no ends the command."""
    files = re.findall(r"^diff --git a/.* b/(.*)$", diff, re.MULTILINE)
    click.echo(f"These files differed from the commit: {', '.join(files)}.")
    return click.confirm("They come from the run, and will run here as code. Continue?", abort=True)


def _show(report: Report, exact: bool) -> None:
    heading, *lines = aligned(table_of(report.rows))
    click.secho(f"\n{heading}", bold=True)
    for line in lines:
        click.secho(line, fg="red" if line.endswith("NO") else None)
    said = {NOT: "was not reproduced: see above"}.get(
        report.verdict, f"was reproduced {report.verdict}"
    )
    click.secho(f"\nThe run {report.run_id} {said}.", fg="red" if "not" in said else "green")
