"""Everything is copied, each thing after what it refers to."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..backend.access import Environment
from ..backend.client import if_exists, pages
from ..errors import TrackingError
from ..project import is_database
from ..registry.retention import ELSEWHERE
from ..registry.versions import make_registered_model, versions_of
from .endpoints import ENDED, PARENT_RUN, Endpoint, Migration, experiment_name, noting
from .logged_models import copy_model, copy_model_metrics
from .registered_models import copy_registered_model, create_version, model_id_of
from .traces import MODEL, RUN, copy_trace
from .tracked_runs import begin_run, copy_values, finish_run, models_of, runs_in_tags

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

logger = logging.getLogger(__name__)

# MLflow creates this experiment itself, everywhere.
_DEFAULT_EXPERIMENT = "0"


def copy_all(migration: Migration) -> int:
    """Copy what is not at the target yet, and return how many runs stay: they have not ended."""
    client, problems, unfinished = migration.source.client, migration.problems, 0
    for experiment in pages(client.search_experiments):
        experiment_id = experiment.experiment_id
        if experiment_id != _DEFAULT_EXPERIMENT:
            _experiment(migration, experiment_id)
        by_start = ["attributes.start_time ASC"]
        for run in pages(client.search_runs, [experiment_id], order_by=by_start):
            with noting(problems, f"Run '{run.info.run_name}' ({run.info.run_id})"):
                unfinished += _run(migration, run.info.run_id) is None
        for model in pages(client.search_logged_models, [experiment_id]):
            with noting(problems, f"Model {model.name} ({model.model_id})"):
                # One that a run has left unfinished stays with it.
                if model.source_run_id is None or _run(migration, model.source_run_id):
                    _model(migration, model.model_id)
        traces = pages(client.search_traces, locations=[experiment_id], include_spans=False)
        for found in traces:
            with noting(problems, f"Trace {found.info.trace_id}"):
                _trace(migration, found.info.trace_id, experiment_id)
    for registered in pages(client.search_registered_models):
        with noting(problems, f"Registered model {registered.name}"):
            _registered_model(migration, registered)
    for model_id in [model_id for model_id, copied in migration.ids.models.items() if copied]:
        with noting(problems, f"Metrics of the model {model_id}"):
            copy_model_metrics(migration, client.get_logged_model(model_id))
    return unfinished


def _experiment(migration: Migration, experiment_id: str) -> str:
    """Find or create the experiment of the same name; tags that it has at the target stay.

    Raises:
        TrackingError: it is deleted there, and mlflow.yml says not to restore it.
    """
    ids = migration.ids.experiments
    if experiment_id in ids:
        return ids[experiment_id]
    client, options = migration.target.client, migration.config.tracking.experiment
    experiment = migration.source.client.get_experiment(experiment_id)
    name = experiment_name(experiment.name, options)
    found = client.get_experiment_by_name(name)
    if found is None:
        wanted = options.create_experiment_kwargs.artifact_location
        for_this_one = name == options.name or is_database(migration.target.uri)
        location = wanted if for_this_one else None
        ids[experiment_id] = client.create_experiment(name, location, dict(experiment.tags))
        return ids[experiment_id]
    if found.lifecycle_stage == "deleted":
        if not options.restore_if_deleted:
            raise TrackingError(
                f"The experiment '{name}' is deleted there: restore it, or set "
                "tracking.experiment.restore_if_deleted in mlflow.yml to true."
            )
        client.restore_experiment(found.experiment_id)
    for key in experiment.tags.keys() - found.tags.keys():
        client.set_experiment_tag(found.experiment_id, key, experiment.tags[key])
    ids[experiment_id] = found.experiment_id
    return ids[experiment_id]


def _run(migration: Migration, run_id: str) -> str | None:
    """Copy a run; none if it stays: it is deleted, or it or its parent have not ended."""
    ids = migration.ids.runs
    if run_id not in ids:
        run = if_exists(migration.source.client.get_run, run_id)
        if run is None or not _has_ended(migration, run):
            ids[run_id] = None
            return None
        experiment_id = _experiment(migration, run.info.experiment_id)
        for other in runs_in_tags(run):
            _run(migration, other)
        target = begin_run(migration, run, experiment_id)
        ids[run_id] = target.info.run_id
        if target.info.status not in ENDED:
            copy_values(migration, run, target)
            for model_id in models_of(run):
                _model(migration, model_id)
            finish_run(migration, run, target)
    return ids[run_id]


def _has_ended(migration: Migration, run: "Run") -> bool:
    """Return whether a run and its parents have ended; not for a deleted run."""
    if run.info.lifecycle_stage != "active" or run.info.status not in ENDED:
        return False
    parent_id = run.data.tags.get(PARENT_RUN)
    parent = parent_id and if_exists(migration.source.client.get_run, parent_id)
    return not parent or parent.info.lifecycle_stage != "active" or _has_ended(migration, parent)


def _model(migration: Migration, model_id: str) -> str | None:
    """Copy a logged model; none if it stays: it is deleted, or was never finished."""
    ids = migration.ids.models
    if model_id not in ids:
        model = if_exists(migration.source.client.get_logged_model, model_id)
        if model is None or str(model.status) == "PENDING":
            ids[model_id] = None
        else:
            experiment_id = _experiment(migration, model.experiment_id)
            run_id = _run(migration, model.source_run_id) if model.source_run_id else None
            copy_model(migration, model, experiment_id, run_id)
    return ids[model_id]


def _trace(migration: Migration, trace_id: str, experiment_id: str) -> None:
    """Copy a trace, unless its run stays."""
    trace = migration.source.traces.get_trace(trace_id)
    metadata = dict(trace.info.trace_metadata)
    if RUN in metadata:
        run_id = _run(migration, metadata[RUN])
        if run_id is None:
            return
        metadata[RUN] = run_id
    if MODEL in metadata:
        metadata[MODEL] = _model(migration, metadata[MODEL]) or metadata[MODEL]
    copy_trace(migration, trace, _experiment(migration, experiment_id), metadata)
    migration.ids.traces.add(trace_id)


def _registered_model(migration: Migration, registered: "RegisteredModel") -> None:
    for version in versions_of(migration.source.client, registered.name):
        if version.run_id:
            _run(migration, version.run_id)
        if model_id := model_id_of(version):
            _model(migration, model_id)
    copy_registered_model(migration, registered)


def copy_between(
    source: Environment,
    target: Environment,
    version: "ModelVersion",
    name: str,
    tags: Mapping[str, str],
) -> "ModelVersion":
    """Copy one version to the server of another Kedro environment, after its run and its model.

    What an earlier call has copied is found there. A TrackingError says that the version's run
    or model stays.
    """
    migration = Migration(Endpoint.of(source), Endpoint.of(target), target.config, logger.info)
    model_id, run_id = model_id_of(version), str(version.run_id)
    if source.config.server.uri == target.config.server.uri:  # The registry alone is another one.
        migration.ids.runs[run_id], migration.ids.models[model_id or ""] = run_id, model_id
        migration.target.client.set_tag(run_id, ELSEWHERE, "true")
    if _run(migration, run_id) is None:
        raise TrackingError(
            f"Version {version.version} of {version.name} cannot be copied: its run "
            f"({run_id}) has not ended, or is deleted."
        )
    if model_id:
        if _model(migration, model_id) is None:
            raise TrackingError(
                f"Version {version.version} of {version.name} cannot be copied: its model "
                f"({model_id}) is deleted, or was never finished."
            )
        copy_model_metrics(migration, migration.source.client.get_logged_model(model_id))
    for problem in migration.problems:
        logger.warning("%s", problem)
    make_registered_model(migration.target.client, name)
    return create_version(migration, version, name, tags)
