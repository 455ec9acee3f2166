"""A run with everything that belongs to it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..backend.client import is_transient, pages, reason_of
from ..tracking.shipping.batches import LIMITS
from ..tracking.shipping.lineage import output_ids
from .endpoints import FROM_RUN, PARENT_RUN, Endpoint, Migration, chunks
from .files import RunFiles, copy_files

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

# Tags that name another run.
_RUN_TAGS = (PARENT_RUN, "model.run_id")


def begin_run(migration: Migration, run: "Run", experiment_id: str) -> "Run":
    """Create a run at the target, unless an earlier migration did; the runs in its tags are there.

    Its end is written last, in `finish_run`: a run that has ended at the target is complete.
    """
    client, found = migration.target.client, runs_from(migration.target, experiment_id, run)
    if found:
        return client.get_run(found[0].info.run_id)  # A search leaves parts of a run out.
    start, name = run.info.start_time, run.info.run_name
    return client.create_run(experiment_id, start, {FROM_RUN: run.info.run_id}, name)


def copy_values(migration: Migration, run: "Run", target: "Run") -> None:
    """Copy the rest of a run's params, metrics and tags."""
    from mlflow.entities import Param, RunTag

    target_id = target.info.run_id
    for params in chunks(run.data.params.items(), LIMITS["params"]):
        _log(migration, run, target_id, params=[Param(*item) for item in params])
    for metrics in chunks(_missing_metrics(migration, run, target), LIMITS["metrics"]):
        _log(migration, run, target_id, metrics=metrics)
    for some in chunks(tags_of(migration, run).items(), LIMITS["tags"]):
        _log(migration, run, target_id, tags=[RunTag(*item) for item in some])


def finish_run(migration: Migration, run: "Run", target: "Run") -> None:
    """Copy a run's inputs, outputs and files, and its end; its models are at the target."""
    source_id, target_id = run.info.run_id, target.info.run_id
    _log_inputs(migration, run, target)
    _log_outputs(migration, run, target)
    files = RunFiles(migration.source, source_id), RunFiles(migration.target, target_id)
    copy_files(*files, {source_id: target_id})
    migration.target.client.set_terminated(target_id, run.info.status, run.info.end_time)
    migration.tell(f"Copied run '{run.info.run_name}' ({source_id}) as {target_id}.")


def runs_from(target: Endpoint, experiment_id: str, run: "Run") -> "list[Run]":
    """Find the copies of a run at the target."""
    query = f"tags.`{FROM_RUN}` = '{run.info.run_id}'"
    return list(pages(target.client.search_runs, [experiment_id], query))


def runs_in_tags(run: "Run") -> list[str]:
    """List the runs that a run's tags name."""
    return [run.data.tags[name] for name in _RUN_TAGS if name in run.data.tags]


def tags_of(migration: Migration, run: "Run") -> dict[str, str]:
    """Return a run's tags as they are at the target; a tag that names a run names its copy."""
    tags = dict(run.data.tags) | {FROM_RUN: run.info.run_id}
    for name in _RUN_TAGS:
        if name in tags:
            copied = migration.ids.runs.get(tags.pop(name))
            tags |= {name: copied} if copied else {}
    return tags


def models_of(run: "Run") -> dict[str, str]:
    """List the logged models of a run, and whether each is its input or its output."""
    read = [each.model_id for each in run.inputs.model_inputs] if run.inputs else []
    written = [each.model_id for each in run.outputs.model_outputs] if run.outputs else []
    return dict.fromkeys(read, "its input") | dict.fromkeys(written, "its output")


def identity(metric: "Metric") -> tuple[Any, ...]:
    """Return what makes a value of a metric the same as another; NaN is equal to itself here."""
    return metric.key, metric.step, metric.timestamp, str(metric.value)


def _missing_metrics(migration: Migration, run: "Run", target: "Run") -> "Iterator[Metric]":
    """Read what an earlier migration has not copied: some tracking servers keep a value twice."""
    before, after = migration.source.client, migration.target.client
    for key in sorted(run.data.metrics):
        copied = key in target.data.metrics
        history = after.get_metric_history(target.info.run_id, key) if copied else []
        there = set(map(identity, history))
        for metric in before.get_metric_history(run.info.run_id, key):
            if identity(metric) not in there:
                yield metric


def _log(migration: Migration, run: "Run", target_id: str, **batch: list[Any]) -> None:
    """Log a batch of one kind; if the target rejects it for good, its entries one by one."""
    try:
        migration.target.client.log_batch(target_id, **batch)  # type: ignore[arg-type]
    except Exception as error:
        if is_transient(error):
            raise
        ((kind, items),) = batch.items()
        if len(items) == 1:
            name = f"Run '{run.info.run_name}' ({run.info.run_id})"
            problem = f"{name}: {items[0].key} was rejected: {reason_of(error)}"
            migration.problems.append(problem)
            return
        for item in items:
            _log(migration, run, target_id, **{kind: [item]})


def _log_inputs(migration: Migration, run: "Run", target: "Run") -> None:
    from mlflow.entities import LoggedModelInput

    if run.inputs is None:
        return
    there = {each.model_id for each in target.inputs.model_inputs} if target.inputs else set()
    copied = [migration.ids.models.get(each.model_id) for each in run.inputs.model_inputs]
    models = [LoggedModelInput(each) for each in copied if each and each not in there]
    if run.inputs.dataset_inputs or models:
        client = migration.target.client
        client.log_inputs(target.info.run_id, run.inputs.dataset_inputs, models)


def _log_outputs(migration: Migration, run: "Run", target: "Run") -> None:
    from mlflow.entities import LoggedModelOutput

    there = output_ids(target)
    for output in run.outputs.model_outputs if run.outputs else []:
        model_id = migration.ids.models.get(output.model_id)
        if model_id and model_id not in there:
            outputs = [LoggedModelOutput(model_id, output.step)]
            migration.target.client.log_outputs(target.info.run_id, outputs)
