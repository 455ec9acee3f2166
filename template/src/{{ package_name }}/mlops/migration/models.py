"""A logged model goes to another MLflow, with its files."""

from typing import TYPE_CHECKING

from ..errors import TrackingError
from ..tracking.shipping.batches import MAX_METRICS
from .files import ModelFiles, copy, sizes
from .pages import chunks, pages
from .places import FROM_MODEL, Place
from .runs import identity

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Metric

    from .move import Move


def move_model(move: "Move", model: "LoggedModel") -> None:
    """Bring a logged model to the target, or the rest of it if an earlier move was stopped.

    Raises:
        TrackingError: its files are not where MLflow says.
    """
    client = move.target.client
    experiment_id = move.experiment(model.experiment_id)
    run_id = move.run(model.source_run_id) if model.source_run_id else None
    found = models_from(move.target, experiment_id, model.model_id)
    target = (
        found[0]
        if found
        else client.create_logged_model(
            experiment_id,
            model.name,
            run_id,
            {**model.tags, FROM_MODEL: model.model_id},
            model.params,
            model.model_type,
        )
    )
    move.models[model.model_id] = target.model_id
    if str(target.status) != "PENDING":
        return
    source = ModelFiles(move.source, model)
    if next(sizes(source), None) is None:
        raise TrackingError(
            f"the model {model.name} ({model.model_id}) has no files in {model.artifact_location}"
        )
    copy(source, ModelFiles(move.target, target), new_names(move, model, target))
    client.finalize_logged_model(target.model_id, model.status)


def models_from(target: Place, experiment_id: str, source_id: str) -> "list[LoggedModel]":
    """Find what a logged model of the source has become."""
    query = f"tags.`{FROM_MODEL}` = '{source_id}'"
    return list(pages(target.client.search_logged_models, [experiment_id], query))


def new_names(move: "Move", model: "LoggedModel", target: "LoggedModel") -> dict[str, str]:
    """Tell what a model's own files have to call it, its run and its place at the target."""
    return {
        model.artifact_location: target.artifact_location,
        model.model_id: target.model_id,
        str(model.source_run_id or ""): str(target.source_run_id or ""),
    }


def move_model_metrics(move: "Move", model: "LoggedModel") -> None:
    """Say of metrics that runs have brought that they are a model's, and on which data set."""
    target = move.target.client.get_logged_model(str(move.models[model.model_id]))
    there = {identity(metric) for metric in target.metrics or []}
    missing: dict[str, list[Metric]] = {}
    for metric in model.metrics or []:
        run_id = move.runs.get(str(metric.run_id))
        if run_id and identity(metric) not in there:
            missing.setdefault(run_id, []).append(_of_model(metric, target.model_id))
    for run_id, metrics in missing.items():
        for some in chunks(metrics, MAX_METRICS):
            move.target.client.log_batch(run_id, some)


def _of_model(metric: "Metric", model_id: str) -> "Metric":
    from mlflow.entities import Metric

    return Metric(
        metric.key,
        metric.value,
        metric.timestamp,
        metric.step,
        model_id,
        metric.dataset_name,
        metric.dataset_digest,
    )
