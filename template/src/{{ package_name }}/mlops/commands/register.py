"""`kedro mlflow register`: registers the model of a run that could not do so at its end."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click
from kedro.io import DataCatalog

from ..backend.client import mlflow_elsewhere
from ..config import KedroMlflowConfig
from ..errors import TrackingError
from ..model.packaging import add_model
from ..model.unregistered import (
    TAG,
    Waiting,
    reason_of,
    reopen_journal,
    restore,
    tables_of,
    waiting,
)
from ..project import State
from ..registry import listeners_of
from ..registry.holdout import HoldoutCapture
from ..tracking import RunListener
from ..tracking.journal import Journal
from ..tracking.shipping.sync import reopen, sync
from . import Project, for_project


@click.command("register")
@for_project
@click.argument("run", metavar="RUN")
def command(project: Project, run: str) -> None:
    """Register the model of a run that has trained it and could not register it.

    RUN is the run's id in MLflow or in Kedro, or `latest`. What the run has fitted and its
    parameters were kept; code, catalog and the rows to try it on are those of now. Exits with 1 if
    it still cannot be registered.
    """
    config, state = project.config, State.of(project.path)
    if config.model is None:
        raise TrackingError("mlflow.yml: model is null, so nothing is registered: name a model.")
    found = waiting(state)
    if run == "latest" and not found:
        click.echo("No model waits to be registered.")
        return
    chosen = found[-1] if run == "latest" else _find(run, found)
    _require_environment(chosen, config)
    listeners = listeners_of(config, state)
    if chosen.run_id is None:  # MLflow has not taken the run yet.
        errors = [each.error for each in sync(state.journals, config, listeners) if each.error]
        chosen = _find(chosen.folder.name, waiting(state))
        if chosen.run_id is None:
            raise TrackingError(
                f"MLflow does not have the run {chosen.folder.name} yet "
                f"({errors[0] if errors else 'it is under way'}): try again later."
            )
    journals = state.journals
    if chosen.is_packaged:
        reopen(state, chosen.folder.name)
    else:
        journals = state.folder / "registering"
        _package(project, chosen, listeners, journals / chosen.folder.name)
    _deliver(state, journals, chosen, config, listeners)


def _find(run: str, found: Sequence[Waiting]) -> Waiting:
    for each in found:
        if run in (each.folder.name, each.run_id):
            return each
    names = ", ".join(each.folder.name for each in found) or "none"
    raise TrackingError(
        f"No model of a run '{run}' waits to be registered (those that wait: {names})."
    )


def _require_environment(run: Waiting, config: KedroMlflowConfig) -> None:
    content = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    environment = content.get("environment", config.environment)
    if environment != config.environment:
        command = f"uv run kedro mlflow register {run.folder.name} --env {environment}"
        raise TrackingError(f"The run is of another Kedro environment: `{command}` registers it.")


def _package(
    project: Project, run: Waiting, listeners: Sequence[RunListener], folder: Path
) -> None:
    """Write the model into a new journal, by which the run's MLflow run gets it."""
    from kedro.framework.session import KedroSession

    session = KedroSession.create(project.path, save_on_close=False, env=project.env)
    catalog = cast("DataCatalog", session.load_context().catalog)
    shutil.rmtree(folder, ignore_errors=True)  # Of a try that was killed.
    journal = Journal(folder)
    holdout = next(each for each in listeners if isinstance(each, HoldoutCapture))
    try:
        restore(run, catalog)
        reopen_journal(run, journal)
        with mlflow_elsewhere(project.config.server.uri):
            add_model(project.config, catalog, journal, tables_of(run), listeners)
    except Exception as error:
        journal.close()
        shutil.rmtree(folder, ignore_errors=True)
        raise TrackingError(
            f"The model of the run {run.folder.name} cannot be registered: "
            f"{reason_of(error, with_values=True)}."
        ) from error
    holdout.run_ends(cast("Any", SimpleNamespace(journal=journal)), catalog)
    journal.append("tags", values={TAG: "yes, by `kedro mlflow register`"})
    journal.append("run_ended", status="FINISHED")
    journal.close()
    shutil.copyfile(run.folder / "run.json", folder / "run.json")
    shutil.rmtree(run.folder)


def _deliver(
    state: State,
    journals: Path,
    run: Waiting,
    config: KedroMlflowConfig,
    listeners: Sequence[RunListener],
) -> None:
    """Deliver the journal with the model; what MLflow does not take now waits for `sync`."""
    # A mirror would get another run: it has no id of the one that it has.
    config = config.model_copy(update={"mirrors": []})
    outcomes = list(sync(journals, config, listeners))
    outcome = next(each for each in outcomes if each.kedro_run_id == run.folder.name)
    for version in outcome.registered:
        click.echo(f"Registered {version}, of the run {outcome.run_id}.")
    for note in outcome.notes:
        click.echo(note)
    if outcome.error:
        folder = journals / run.folder.name
        if journals != state.journals:
            state.journals.mkdir(exist_ok=True)
            folder.rename(state.journals / folder.name)
        raise TrackingError(
            f"MLflow did not take it ({outcome.error}): `{config.typed('sync')}` delivers it."
        )
    if not outcome.registered:
        raise click.exceptions.Exit(1)
