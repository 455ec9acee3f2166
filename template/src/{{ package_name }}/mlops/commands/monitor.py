"""`kedro mlflow monitor`: whether the data of the newest scoring run have drifted."""

import csv
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..backend.client import connect, if_exists
from ..errors import TrackingError, one_line
from ..model.batch import VERSION_TAG
from ..monitoring.batches import FOLDER
from ..monitoring.exit_code import DRIFT_TAG, NO_DRIFT
from . import Project, for_project, refusals

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


class _FailedError(TrackingError):
    exit_code = 2


class _Command(click.Command):
    """Exits with 2 if it fails, where others exit with 1: that is how schedules see a drift."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.UsageError):
            raise
        except Exception as error:
            is_sentence = isinstance(error, click.ClickException)
            line = one_line(error) if is_sentence else f"{type(error).__name__}: {one_line(error)}"
            raise _FailedError(line) from error


@click.command("monitor", cls=_Command)
@for_project
def command(project: Project) -> None:
    """Check whether the newest scoring run broke a rule of monitoring.yml.

    Prints what has drifted since the training. Exits with 1 if a rule is broken, and with 2 if the
    command fails or no scoring run has been measured.
    """
    server = project.config.server
    with refusals(server.uri, "does not give the newest scoring run"):
        client = connect(server)
        run = _newest(client, project.config.tracking.experiment.name)
    if run is None:
        raise TrackingError(
            "No scoring run has been measured: `kedro run --pipelines inference` is, with a "
            "version that was trained with monitoring."
        )
    tags, started = run.data.tags, datetime.fromtimestamp(run.info.start_time / 1000, timezone.utc)
    click.echo(
        f"Run {run.info.run_id}, of {started:%Y-%m-%d %H:%M} UTC, scored with version "
        f"{tags.get(VERSION_TAG)} of {tags.get('model.name')}."
    )
    if tags[DRIFT_TAG] == NO_DRIFT:
        click.secho("No rule of monitoring.yml is broken.", fg="green")
        return
    for line in _broken(client, run):
        click.secho(line, fg="red")
    click.echo("If these data are right, train on newer ones: `uv run kedro run`.")
    raise click.exceptions.Exit(1)


def _newest(client: "MlflowClient", experiment: str) -> "Run | None":
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return None
    measured = f"attributes.status = 'FINISHED' AND tags.{DRIFT_TAG} LIKE '%'"
    runs = client.search_runs(
        [found.experiment_id], measured, max_results=1, order_by=["attributes.start_time DESC"]
    )
    return runs[0] if runs else None


def _broken(client: "MlflowClient", run: "Run") -> Iterator[str]:
    """Say, in a line each, what has drifted and how far."""
    path = if_exists(client.download_artifacts, run.info.run_id, f"{FOLDER}/drift.csv")
    if path is None:
        yield f"Broken: {run.data.tags[DRIFT_TAG]}."
        return
    with Path(path).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["broken"]:
                of = f" of {row['group']}" if row["group"] else ""
                values = ", ".join(f"{rule} {row[rule]}" for rule in row["broken"].split())
                yield f"{row['kind']} {row['column']}{of}, {row['rows']} rows: {values}"
