"""Runs in MLflow and their child runs: made once, however often that is tried, joined and ended."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...backend.client import if_exists, is_missing
from ...config import ExperimentOptions
from ...disk import vanished
from ...errors import TrackingError
from ..capture.nodes import is_inside, nodes_of, records_of
from ..journal import Record
from . import Delivery, GoneError
from .parts import BEGUN_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# What the experiment is for, which MLflow's page asks otherwise.
_EXPERIMENT_KIND = {"mlflow.experimentKind": "custom_model_development"}
# The tag that finds a run again whose id never reached us.
MARK_TAG = "kedro.journal"
# The tag with Kedro's id of the run, which names its journal; its child runs have it as well.
RUN_TAG = "kedro.run_id"
NAMESPACE_TAG = "kedro.namespace"  # Of a child run.
_GIT = "mlflow.source.git."
# On a mirror, the id of the run that tasks join.
ORIGINAL_TAG = "kedro.original"


def create_run(
    client: "MlflowClient", delivery: Delivery, options: ExperimentOptions, record: Record
) -> None:
    """Create the run of a ``run_started`` record, unless an earlier try has done so."""
    delivery.experiment_id = find_experiment(client, options)
    name, tags = record.data["name"], record.data["tags"] | {MARK_TAG: record.data["journal"]}
    asked_before, delivery.attempted = delivery.attempted or delivery.resumed, True
    delivery.save()
    delivery.run_id = _find_or_create(client, delivery, asked_before, record.time, name, tags)
    delivery.save()


def join_run(client: "MlflowClient", delivery: Delivery, run_id: str, record: Record) -> "Run":
    """Join a run that was started elsewhere, and is ended there; a GoneError if there is none."""
    from mlflow.entities import RunTag

    run = if_exists(client.get_run, run_id)
    if run is None or run.info.lifecycle_stage == "deleted":
        raise GoneError(
            f"it has {'deleted the' if run else 'no'} run {run_id}, which this one joins"
        )
    delivery.experiment_id = str(run.info.experiment_id)
    delivery.is_task = BEGUN_TAG in run.data.tags
    # MLflow's are the run's owner's; the commit is not, where the owner has named none.
    tags = [
        RunTag(name, value)
        for name, value in record.data["tags"].items()
        if not name.startswith("mlflow.") or (name.startswith(_GIT) and name not in run.data.tags)
    ]
    if not delivery.is_task:
        client.log_batch(run_id, tags=tags)
    delivery.run_id = run_id
    delivery.joined = True
    delivery.save()
    return run


def find_mirrored(client: "MlflowClient", options: ExperimentOptions, run_id: str) -> str | None:
    """Return the id on a mirror of a run that was begun for tasks; none of any other."""
    experiment_id = find_experiment(client, options)
    found = client.search_runs([experiment_id], f"tags.`{ORIGINAL_TAG}` = '{run_id}'")
    return str(found[0].info.run_id) if found else None


def touch_run(client: "MlflowClient", delivery: Delivery) -> None:
    """Write what the run has already; raise why it takes nothing: a GoneError if it is gone."""
    try:
        if delivery.is_task:
            client.update_run(str(delivery.run_id))
        else:
            client.set_tag(str(delivery.run_id), RUN_TAG, delivery.path.parent.name)
    except Exception as error:
        if is_missing(error):  # A deleted run is no valid parameter.
            raise GoneError(f"it has deleted the run {delivery.run_id}") from error
        raise


def create_child(client: "MlflowClient", delivery: Delivery, record: Record) -> None:
    """Create the child run of a ``child_started`` record, unless an earlier try has done so."""
    namespace, children = record.data["namespace"], delivery.children
    if children.get(namespace):
        return
    parent = delivery.id_of(namespace.rpartition(".")[0])
    # A run's tasks find the child runs that were made when it was begun.
    shared = delivery.is_task or BEGUN_TAG in record.data["tags"]
    asked_before = shared or namespace in children or delivery.resumed
    children[namespace] = ""
    delivery.save()
    tags = record.data["tags"] | {
        MARK_TAG: f"{delivery.run_id}/{namespace}" + ("" if shared else f"/{record.time}"),
        "mlflow.parentRunId": parent,
        NAMESPACE_TAG: namespace,
    }
    children[namespace] = _find_or_create(
        client, delivery, asked_before, record.time, namespace, tags
    )
    delivery.save()


def end_children(
    client: "MlflowClient", delivery: Delivery, records: Iterable[Record], end: Record
) -> None:
    """End the child runs: when their last node has ended, or with the run and as it has."""
    if not delivery.children:
        return
    kept = ("child_started", "node_started", "node")
    records = [record for record in records if record.kind in kept]
    nodes = list(nodes_of(records))
    for child in records_of("child_started", records):
        namespace = child.data["namespace"]
        inside = [node for node in nodes if is_inside(node.get("namespace", ""), namespace)]
        finished = [node["ended_ns"] for node in inside if node["status"] == "FINISHED"]
        status, ended = str(end.data["status"]), end.time
        if len(finished) == child.data["nodes"]:
            status, ended = "FINISHED", max(finished) // 1_000_000
        client.set_terminated(delivery.children[namespace], status, ended)


def find_experiment(client: "MlflowClient", options: ExperimentOptions) -> str:
    """Find or make the experiment, and return its id; a TrackingError if its folder is gone."""
    experiment = client.get_experiment_by_name(options.name)
    if experiment is None:
        creation = options.create_experiment_kwargs
        tags = _EXPERIMENT_KIND | (creation.tags or {})
        try:
            return client.create_experiment(options.name, creation.artifact_location, tags)
        except Exception:  # Another run may have made it just now.
            experiment = client.get_experiment_by_name(options.name)
            if experiment is None:
                raise
    # MLflow makes the experiment 0 itself, in a folder that may never be.
    if experiment.experiment_id != "0" and vanished(experiment.artifact_location):
        raise TrackingError(
            f"the experiment '{options.name}' keeps its files in "
            f"{experiment.artifact_location}, a folder that is gone: move the project back "
            "there, or give tracking.experiment.name in mlflow.yml another name"
        )
    if experiment.lifecycle_stage == "deleted" and options.restore_if_deleted:
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def _find_or_create(
    client: "MlflowClient",
    delivery: Delivery,
    asked_before: bool,
    started: int,
    name: str,
    tags: dict[str, str],
) -> str:
    """Return the id of the run that has the mark, which is made unless an earlier try has."""
    experiment_id = delivery.experiment_id
    if asked_before:
        found = client.search_runs([experiment_id], f"tags.`{MARK_TAG}` = '{tags[MARK_TAG]}'")
        if found:
            return str(found[0].info.run_id)
    run = client.create_run(experiment_id, start_time=started, run_name=name, tags=tags)
    return str(run.info.run_id)
