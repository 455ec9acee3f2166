"""The end of a run whose nodes tasks have run: merged, registered, closed, as one process would."""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ..backend.client import connect, if_exists, mlflow_elsewhere
from ..backend.databases import file_of
from ..config import KedroMlflowConfig
from ..disk import FileLock
from ..errors import TrackingError, listed
from ..mlflow_internals import environment_restored, latest_points
from ..model.batch import VERSION_TAG
from ..model.packaging import Packaging
from ..project import State, is_database
from ..registry import listeners_of
from ..registry.holdout import HoldoutCapture
from ..tracking import RunListener, RunStart
from ..tracking.capture import RunCapture
from ..tracking.journal import Record
from ..tracking.progress import describe_failure
from ..tracking.run import FAILURE_TAG, MISSING_TAG
from ..tracking.shipping import Delivery
from ..tracking.shipping.parts import BEGIN, BEGUN_TAG, FOLDER
from ..tracking.shipping.summary import last_records
from ..tracking.shipping.sync import Outcome, deliver
from ..tracking.start import pipeline_names
from .parts import Parts
from .project import OpenedProject, opened

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# What the tasks have delivered, in the journal of the end: it is read, and not sent again.
_DELIVERED = "0.jsonl"
_PAUSE_SECONDS = 1.0
_BEGUN = re.compile(rf"{BEGIN}(\.\d+)?\.json")  # Older versions wrote no time.


def end(
    project_path: Path,
    env: str | None,
    config: KedroMlflowConfig,
    run_id: str,
    status: str | None = None,
    wait: float | None = None,
) -> Outcome:
    """End a run that was begun for tasks: once, however often that is tried.

    Without a status, it has finished if each of its nodes has. What is still to arrive is waited
    for so many seconds. A TrackingError says that the run was not begun for tasks, or is being
    ended by another process.
    """
    client = connect(config.server)
    run = if_exists(client.get_run, run_id)
    if run is None or BEGUN_TAG not in run.data.tags:
        what = "was not begun by `kedro mlflow run begin`" if run else "is not in MLflow"
        raise TrackingError(f"The run {run_id} {what}: only such a run is ended so.")
    if run.info.status == "FINISHED" and not run.data.tags.get(MISSING_TAG):
        return Outcome(run.data.tags["kedro.run_id"], "FINISHED", run_id)
    seconds = config.shipping.deadline if wait is None else wait
    parts = _wait_for_parts(client, run_id, time.monotonic() + seconds)
    about = parts.about
    if config.environment != about["environment"]:
        raise TrackingError(
            f"The run {run_id} was begun in another Kedro environment: give --env "
            f"{about['environment']}."
        )
    wanted = project_path, env, about["pipelines"], about["params"]
    with _catalog_of(run_id), opened(*wanted) as project, ExitStack() as stack:
        folder = State.of(project_path).journals / run.data.tags["kedro.run_id"]
        folder.mkdir(parents=True, exist_ok=True)
        if not stack.enter_context(FileLock(folder / "lock")):
            raise TrackingError(f"The run {run_id} is being ended by another process.")
        listeners = listeners_of(project.config, State.of(project_path))
        delivery = Delivery(folder / "delivery-server.json", run_id=run_id, attempted=True)
        delivery.experiment_id = str(run.info.experiment_id)
        run = client.get_run(run_id)  # By now it has all of the tasks'.
        _write_journal(folder, project, parts, delivery, listeners, run, status)
        for model_id, parameters in parts.parameters_of_models():
            known = client.get_logged_model(model_id).params or {}
            if more := {key: parameters[key] for key in parameters.keys() - known.keys()}:
                client.log_model_params(model_id, more)
        outcome = deliver(folder, project.config, listeners)
        return replace(outcome, reason=_reason(parts))


@contextmanager
def _catalog_of(run_id: str) -> Iterator[None]:
    """Let the catalog have the files of this run's tasks."""
    with environment_restored("MLFLOW_RUN_ID"):
        os.environ["MLFLOW_RUN_ID"] = run_id
        yield


def abandoned(config: KedroMlflowConfig) -> list[tuple[str, str]]:
    """List runs that were begun for tasks and never ended, with their environments.

    Nothing has happened in them for shipping.abandoned_after_hours.
    """
    file = file_of(config.server.uri) if is_database(config.server.uri) else None
    if file and not file.exists():
        return []
    client, name = connect(config.server), config.tracking.experiment.name
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return []
    begun = f"attributes.status = 'RUNNING' AND tags.`{BEGUN_TAG}` LIKE '%'"
    long_ago = (time.time() - config.shipping.abandoned_after_hours * 3600) * 1000
    return [
        (str(run.info.run_id), run.data.tags.get("kedro.env", ""))
        for run in client.search_runs([experiment.experiment_id], begun)
        if max([run.info.start_time, *(e.timestamp for e in latest_points(run).values())])
        < long_ago
    ]


def _wait_for_parts(client: "MlflowClient", run_id: str, deadline: float) -> Parts:
    """Download what the tasks have left, until all nodes have or one has failed, or time is up."""
    names = [Path(each.path).name for each in client.list_artifacts(run_id, FOLDER)]
    if not any(_BEGUN.fullmatch(name) for name in names):
        raise TrackingError(
            f"The run {run_id} has no record of its begin, which has failed: begin another one."
        )
    with TemporaryDirectory() as scratch:
        while True:
            found = Parts.read(Path(client.download_artifacts(run_id, FOLDER, scratch)))
            if not found.missing or found.failed or time.monotonic() >= deadline:
                return found
            time.sleep(_PAUSE_SECONDS)


def _write_journal(
    folder: Path,
    project: OpenedProject,
    parts: Parts,
    delivery: Delivery,
    listeners: Sequence[RunListener],
    known: "Run",
    status: str | None,
) -> None:
    """Write what one process would have written, and what only the end of a run adds."""
    for path in folder.iterdir():  # Of an end that did not come through.
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()
    run = RunCapture(folder, project.config, listeners=listeners)
    run.journal.files.mkdir()
    run.describe()
    delivered, records = folder / _DELIVERED, parts.merged(latest_points(known))
    with delivered.open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(asdict(record))}\n" for record in records)
    delivery.models, delivery.children = parts.models, parts.children
    delivery.attempt = parts.attempt
    delivery.offsets = {_DELIVERED: delivered.stat().st_size}
    delivery.save()
    ended = _ended(parts, status)
    tags = {FAILURE_TAG: ended.data.get("reason"), MISSING_TAG: len(parts.missing)}
    # Empty ones take the place of those of an earlier end.
    values = {
        name: str(each or "") for name, each in tags.items() if each or name in known.data.tags
    }
    run.journal.append("tags", values=values)
    if ended.data["status"] == "FINISHED":
        with mlflow_elsewhere(project.config.server.uri):
            _complete(run, project, VERSION_TAG in known.data.tags)
    for record in last_records(folder, ended, with_times=False):
        run.journal.append(record.kind, **record.data)
    run.journal.append("run_ended", **ended.data)
    run.journal.close()


def _ended(parts: Parts, status: str | None) -> Record:
    """Return how a run has ended and, if it has failed, of what."""
    data = {"status": status or ("FAILED" if parts.missing else "FINISHED")}
    if (reason := _reason(parts)) and data["status"] != "FINISHED":
        data["reason"] = reason
    return Record("run_ended", parts.last_time, data)


def _reason(parts: Parts) -> str | None:
    """Say of what a run has failed, or what of it has not arrived; none if all has finished."""
    if not parts.missing:
        return None
    missing = f"nothing has arrived of the nodes {listed(parts.missing)}"
    reasons = [describe_failure(node) for node in parts.failed] or parts.reasons or [missing]
    return listed(reasons, 3, str)


def _complete(run: RunCapture, project: OpenedProject, scores: bool) -> None:
    """Let listeners add what they add to a finished run, with what its tasks have read."""
    for listener in run.listeners:
        with run.journal.capturing(listener.subject):
            if isinstance(listener, Packaging):
                listener.expect(project.pipeline)
            if isinstance(listener, HoldoutCapture):
                listener.restore(project.pipeline, project.catalog)
    if scores and project.config.monitoring:  # With which version, is in the run's tags.
        names, pipeline = pipeline_names(project.run_params), project.pipeline
        start = RunStart(project.run_params, names, pipeline, project.catalog)
        for listener in run.listeners:
            with run.journal.capturing(listener.subject):
                listener.run_starts(start)
    for listener in run.listeners:
        listener.run_ends(run, project.catalog)
