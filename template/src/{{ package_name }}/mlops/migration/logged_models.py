"""A logged model with its files."""

from typing import TYPE_CHECKING

from ..backend.client import pages
from ..errors import TrackingError
from ..tracking.shipping.batches import LIMITS
from .endpoints import FROM_MODEL, Endpoint, Migration, chunks
from .files import ModelFiles, copy_files, sizes
from .tracked_runs import identity

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel


def copy_model(
    migration: Migration, model: "LoggedModel", experiment_id: str, run_id: str | None
) -> None:
    """Copy a logged model, or the rest of it if an earlier migration was stopped.

    Args:
        migration: the migration.
        model: the source's.
        experiment_id: its experiment at the target.
        run_id: its run there.

    Raises:
        TrackingError: its files are not where MLflow says.
    """
    client, found = migration.target.client, models_from(migration.target, experiment_id, model)
    tags = {**model.tags, FROM_MODEL: model.model_id}
    target = (
        found[0]
        if found
        else client.create_logged_model(
            experiment_id, model.name, run_id, tags, model.params, model.model_type
        )
    )
    migration.ids.models[model.model_id] = target.model_id
    if str(target.status) != "PENDING":
        return
    source = ModelFiles(migration.source, model)
    if next(sizes(source), None) is None:
        raise TrackingError(
            f"the model {model.name} ({model.model_id}) has no files in {model.artifact_location}"
        )
    copy_files(source, ModelFiles(migration.target, target), new_names(model, target))
    client.finalize_logged_model(target.model_id, model.status)


def models_from(target: Endpoint, experiment_id: str, model: "LoggedModel") -> "list[LoggedModel]":
    """Find the copies of a logged model at the target."""
    query = f"tags.`{FROM_MODEL}` = '{model.model_id}'"
    return list(pages(target.client.search_logged_models, [experiment_id], query))


def new_names(model: "LoggedModel", target: "LoggedModel") -> dict[str, str]:
    """Return what a model's files call its location, itself and its run at the target."""
    return {
        model.artifact_location: target.artifact_location,
        model.model_id: target.model_id,
        str(model.source_run_id or ""): str(target.source_run_id or ""),
    }


def copy_model_metrics(migration: Migration, model: "LoggedModel") -> None:
    """Link metrics that were copied with runs to their model, and to their data set."""
    from mlflow.entities import Metric

    target = migration.target.client.get_logged_model(str(migration.ids.models[model.model_id]))
    there = {identity(metric) for metric in target.metrics or []}
    missing: dict[str, list[Metric]] = {}
    for metric in model.metrics or []:
        run_id = migration.ids.runs.get(str(metric.run_id))
        if run_id and identity(metric) not in there:
            linked = Metric(
                metric.key,
                metric.value,
                metric.timestamp,
                metric.step,
                target.model_id,
                metric.dataset_name,
                metric.dataset_digest,
            )
            missing.setdefault(run_id, []).append(linked)
    for run_id, metrics in missing.items():
        for some in chunks(metrics, LIMITS["metrics"]):
            migration.target.client.log_batch(run_id, some)
