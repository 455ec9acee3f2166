"""The begin of a run whose nodes tasks will run: made once, with all that is known before them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ..backend.client import connect
from ..backend.pages import has_pages, page
from ..config import KedroMlflowConfig
from ..errors import TrackingError
from ..project import State
from ..registry import listeners_of
from ..tracking import RunStart
from ..tracking.run import TrackedRun
from ..tracking.shipping import Delivery
from ..tracking.shipping.parts import BEGUN_TAG
from ..tracking.shipping.runs import MARK_TAG
from ..tracking.start import pipeline_names
from .project import opened

if TYPE_CHECKING:
    from mlflow import MlflowClient


_SECONDS_TO_WAIT = 120.0


@dataclass(frozen=True)
class Begun:
    """A run that waits for its tasks."""

    run_id: str
    experiment_id: str
    address: str  # Of its page, or the command that opens it.


def begin(
    project_path: Path,
    env: str | None = None,
    pipelines: Sequence[str] = (),
    params: Mapping[str, Any] | None = None,
    name: str | None = None,
    key: str | None = None,
) -> Begun:
    """Make the MLflow run of pipelines whose nodes are to run as tasks, with what is known of it.

    With a key, a run that was begun by the same one is found again. A TrackingError says that the
    project cannot run so, or that MLflow does not take the run: then none is begun.
    """
    params, state = params or {}, State.of(project_path)
    # Two of the same key would make two runs.
    alone = state.one_at_a_time("begin", "beginning a run", _SECONDS_TO_WAIT)
    with alone, opened(project_path, env, pipelines, params) as project:
        config = _for_begin(project.config, name)
        start = RunStart(
            project.run_params,
            pipeline_names(project.run_params),
            project.pipeline,
            project.catalog,
        )
        start.mark = _mark_of(key) if key else uuid4().hex
        start.tags[BEGUN_TAG] = key or start.mark
        listeners = listeners_of(config, state)
        for listener in listeners:
            listener.run_starts(start)
        folder = state.journals / project.run_params["run_id"]
        tracked = TrackedRun(folder, config, start, listeners=listeners)
        tracked.start()
        tracked.journal.append(
            "begun",
            environment=config.environment,
            pipelines=list(pipelines),
            params=dict(params),
            nodes=[node.name for node in project.pipeline.nodes],
        )
        delivery = tracked.hand_over()
        client, run_id = connect(config.server), delivery.id_of()
        if key:
            run_id = _first_begun(client, delivery, start.mark)
            if client.get_run(run_id).info.status != "RUNNING":  # It was ended, and continues.
                client.update_run(run_id, "RUNNING")
    address = config.typed(f"ui --run-id {run_id}")
    if has_pages(config.server.uri):
        address = page(config.server.uri, delivery.experiment_id, run_id)
    return Begun(run_id, delivery.experiment_id, address)


def find_begun(config: KedroMlflowConfig, key: str) -> str:
    """Return the id of the run that was begun by a key; a TrackingError if there is none."""
    client, name = connect(config.server), config.tracking.experiment.name
    experiment = client.get_experiment_by_name(name)
    found = _begun(client, experiment.experiment_id, _mark_of(key)) if experiment else []
    if not found:
        raise TrackingError(f"No run of the experiment '{name}' was begun by the key '{key}'.")
    return found[0]


def _mark_of(key: str) -> str:
    return sha256(key.encode()).hexdigest()[:32]


def _begun(client: "MlflowClient", experiment_id: str, mark: str) -> list[str]:
    """List the runs that were begun by a key, the first one first."""
    found = client.search_runs([experiment_id], f"tags.`{MARK_TAG}` = '{mark}'")
    return [run_id for _, run_id in sorted((run.info.start_time, run.info.run_id) for run in found)]


def _for_begin(config: KedroMlflowConfig, name: str | None) -> KedroMlflowConfig:
    """Let the server be asked now, and the run have a name of its own."""
    shipping = config.shipping.model_copy(update={"on_unreachable": "fail"})
    run = config.tracking.run.model_copy(update={"name": name} if name else {})
    tracking = config.tracking.model_copy(update={"run": run})
    return config.model_copy(update={"shipping": shipping, "tracking": tracking})


def _first_begun(client: "MlflowClient", delivery: Delivery, mark: str) -> str:
    """Return the run that was begun first by a key, and delete another that was begun meanwhile."""
    first = _begun(client, delivery.experiment_id, mark)[0]
    if first != delivery.id_of():
        client.delete_run(delivery.id_of())
    return first
