"""A run goes to another MLflow, with all that belongs to it."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..backend.client import is_transient, reason_of
from ..tracking.shipping.batches import MAX_METRICS, MAX_PARAMS, MAX_TAGS
from ..tracking.shipping.lineage import output_ids
from .files import RunFiles, copy
from .pages import chunks, pages
from .places import ENDED, FROM_RUN, PARENT_RUN, Place

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

    from .move import Move

# Tags that name another run.
_RUN_TAGS = (PARENT_RUN, "model.run_id")


def move_run(move: "Move", run: "Run") -> None:
    """Bring a run to the target, or the rest of it if an earlier move was stopped.

    Its end is written last: a run that has ended there is there with all that it has.
    """
    from mlflow.entities import Param, RunTag

    client, source_id = move.target.client, run.info.run_id
    experiment_id = move.experiment(run.info.experiment_id)
    found = runs_from(move.target, experiment_id, source_id)
    tags = moved_tags(move, run)
    if found:
        target = client.get_run(found[0].info.run_id)  # A search leaves parts of a run out.
    else:
        start, name = run.info.start_time, run.info.run_name
        target = client.create_run(experiment_id, start, {FROM_RUN: source_id}, name)
    target_id = target.info.run_id
    move.runs[source_id] = target_id
    if target.info.status in ENDED:
        return
    for params in chunks(run.data.params.items(), MAX_PARAMS):
        _log(move, run, target_id, params=[Param(*item) for item in params])
    for metrics in chunks(_missing_metrics(move, run, target), MAX_METRICS):
        _log(move, run, target_id, metrics=metrics)
    for some in chunks(tags.items(), MAX_TAGS):
        _log(move, run, target_id, tags=[RunTag(*item) for item in some])
    _log_inputs(move, run, target)
    _log_outputs(move, run, target)
    files = RunFiles(move.source, source_id), RunFiles(move.target, target_id)
    copy(*files, {source_id: target_id})
    client.set_terminated(target_id, run.info.status, run.info.end_time)
    move.tell(f"Run '{run.info.run_name}' ({source_id}) is there, as {target_id}.")


def runs_from(target: Place, experiment_id: str, source_id: str) -> "list[Run]":
    """Find what a run of the source has become."""
    query = f"tags.`{FROM_RUN}` = '{source_id}'"
    return list(pages(target.client.search_runs, [experiment_id], query))


def moved_tags(move: "Move", run: "Run") -> dict[str, str]:
    """Return a run's tags as they are at the target; a tag that names a run names the moved one."""
    tags = dict(run.data.tags) | {FROM_RUN: run.info.run_id}
    for name in _RUN_TAGS:
        if name in tags:
            moved = move.run(tags.pop(name))
            tags |= {name: moved} if moved else {}
    return tags


def history(place: Place, run_id: str, keys: Mapping[str, float]) -> "Iterator[Metric]":
    """Read all values of a run's metrics, one metric at a time."""
    for key in sorted(keys):
        yield from place.client.get_metric_history(run_id, key)


def identity(metric: "Metric") -> tuple[Any, ...]:
    """Tell one value of a metric from others; not a number is equal to itself here."""
    return metric.key, metric.step, metric.timestamp, str(metric.value)


def _missing_metrics(move: "Move", run: "Run", target: "Run") -> "Iterator[Metric]":
    """Read what an earlier move has not brought: another tracking server may keep it twice."""
    for key in sorted(run.data.metrics):
        there = {
            identity(metric)
            for metric in history(move.target, target.info.run_id, {key: 0})
            if key in target.data.metrics
        }
        for metric in history(move.source, run.info.run_id, {key: 0}):
            if identity(metric) not in there:
                yield metric


def _log(move: "Move", run: "Run", target_id: str, **batch: list[Any]) -> None:
    """Log a batch of one kind; if the target refuses it for good, what is in it one by one."""
    try:
        move.target.client.log_batch(target_id, **batch)  # type: ignore[arg-type]
    except Exception as error:
        if is_transient(error):
            raise
        ((kind, items),) = batch.items()
        if len(items) == 1:
            move.note(run, f"{items[0].key} was refused: {reason_of(error)}")
            return
        for item in items:
            _log(move, run, target_id, **{kind: [item]})


def _log_inputs(move: "Move", run: "Run", target: "Run") -> None:
    from mlflow.entities import LoggedModelInput

    if run.inputs is None:
        return
    there = {each.model_id for each in target.inputs.model_inputs} if target.inputs else set()
    moved = [move.model(each.model_id) for each in run.inputs.model_inputs]
    models = [LoggedModelInput(each) for each in moved if each and each not in there]
    if run.inputs.dataset_inputs or models:
        move.target.client.log_inputs(target.info.run_id, run.inputs.dataset_inputs, models)


def _log_outputs(move: "Move", run: "Run", target: "Run") -> None:
    from mlflow.entities import LoggedModelOutput

    if run.outputs is None:
        return
    there = output_ids(target)
    for output in run.outputs.model_outputs:
        model_id = move.model(output.model_id)
        if model_id and model_id not in there:
            outputs = [LoggedModelOutput(model_id, output.step)]
            move.target.client.log_outputs(target.info.run_id, outputs)
