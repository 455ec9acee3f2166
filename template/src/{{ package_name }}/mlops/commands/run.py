"""`kedro mlflow run`: begins and ends an MLflow run whose nodes are run by an orchestrator."""

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any

import click

from ..backend.client import connect
from ..errors import TrackingError
from ..tracking.run import ENDED
from . import Project, for_tasks, may_fail_on_drift, of_kedro


@click.group("run")
def command() -> None:
    """Begin and end one MLflow run over many tasks.

    Each task is a `kedro run` of some nodes with the id of the run in MLFLOW_RUN_ID.
    `kedro mlflow tasks` lists what to run.
    """


@of_kedro("pipelines", "params")
@command.command("begin")
@for_tasks
@click.option("--name", help="Name of the run. [default: tracking.run.name in mlflow.yml]")
@click.option("--key", help="What the orchestrator calls it: begun twice, it is one run.")
@click.option("--json", "as_json", is_flag=True, help="Print id, experiment and address.")
def begin(
    project: Project,
    pipelines: Sequence[str],
    params: dict[str, Any],
    name: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Make the MLflow run, and print its id.

    Nothing else is on the standard output.
    """
    from ..orchestration.begin import begin

    with redirect_stdout(sys.stderr):
        begun = begin(project.path, project.env, pipelines, params, name, key)
    click.echo(f"Its page: {begun.address}", err=True)
    content = {"id": begun.run_id, "experiment": begun.experiment_id, "address": begun.address}
    click.echo(json.dumps(content) if as_json else begun.run_id)


@may_fail_on_drift
@command.command("end")
@for_tasks
@click.argument("run", metavar="[RUN]", envvar="MLFLOW_RUN_ID", required=False)
@click.option("--key", help="What `begin` was given as --key, instead of the run's id.")
@click.option(
    "--status",
    type=click.Choice(["FINISHED", "FAILED", "KILLED"]),
    help="How the run has ended. [default: FINISHED if all of its nodes have finished]",
)
@click.option(
    "--wait",
    type=float,
    metavar="SECONDS",
    help="How long to wait for what tasks have not delivered yet. [default: shipping.deadline]",
)
def end(
    project: Project,
    run: str | None,
    key: str | None,
    status: str | None,
    wait: float | None,
    fail_on_drift: bool,
) -> None:
    """Register the run's model, and end it.

    What its tasks have left with it is put together first. RUN is the id that `begin` has printed.
    [default: MLFLOW_RUN_ID] It can be called again: what is done is not done twice. Exits with 1
    if the run has failed.
    """
    from ..orchestration.begin import find_begun
    from ..orchestration.end import end

    if key:
        run = find_begun(project.config, key)
    if not run:
        raise TrackingError("Give the run that `kedro mlflow run begin` has printed.")
    outcome = end(project.path, project.env, project.config, run, status, wait)
    for note in outcome.notes:
        click.echo(note)
    if outcome.error:
        command = project.config.typed("sync")
        raise TrackingError(f"MLflow did not take it ({outcome.error}): `{command}` delivers it.")
    registered = "".join(f", registered {each}" for each in outcome.registered)
    why = f": {outcome.reason}" if outcome.reason else ""
    click.echo(f"MLflow run {run} has {ENDED[str(outcome.status)]}{registered}{why}.")
    if outcome.status == "FAILED":
        raise click.exceptions.Exit(1)
    if fail_on_drift:
        drift = import_module("..monitoring.exit_code", __package__)
        found = connect(project.config.server).get_run(run).data.tags.get(drift.DRIFT_TAG)
        drift.require_no_drift([found] if found else [])
