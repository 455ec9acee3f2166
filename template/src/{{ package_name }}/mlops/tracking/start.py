"""The start of a tracked run: what is decided before its journal is opened."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from ..backend.preflight import require_all
from ..config import EXPERIMENT_NAME, KedroMlflowConfig
from ..mlflow_internals import import_mlflow
from ..project import State
from . import RunListener, RunStart
from .active_run import run_of_the_owner
from .process import runs_elsewhere
from .run import TrackedRun

logger = logging.getLogger(__name__)


def start_run(
    config: KedroMlflowConfig,
    run_params: Mapping[str, Any],
    pipeline: Pipeline,
    catalog: DataCatalog,
    listeners: Sequence[RunListener] = (),
) -> TrackedRun | None:
    """Start tracking a Kedro run; a TrackingError says why mlflow.yml cannot be followed.

    None if mlflow.yml leaves the run out, or the disk refuses the journal.
    """
    require_all(config)
    run_start = RunStart(run_params, pipeline_names(run_params), pipeline, catalog)
    left_out = config.tracking.disable_tracking.pipelines
    run_start.is_tracked = not set(run_start.names) <= set(left_out)
    for listener in listeners:
        listener.run_starts(run_start)
    if not run_start.is_tracked:
        return None
    if runs_elsewhere(run_params):
        # Workers are forked: one that starts while the shipper's thread imports something would
        # wait for that import for ever.
        import_mlflow()
        import mlflow.pyfunc
        import mlflow.tracing.client  # noqa: F401
    config, join = run_to_join(config)
    name = config.tracking.experiment.name
    if not join and os.environ.get(EXPERIMENT_NAME, name) not in ("", name):
        logger.warning(
            "The run goes to the experiment '%s', as mlflow.yml says (tracking.experiment.name): "
            "%s does not count.",
            *(name, EXPERIMENT_NAME),
        )
    folder = State.of(Path(run_params["project_path"])).journals / run_params["run_id"]
    run = TrackedRun(folder, config, run_start, join, listeners)
    try:
        run.start()
    except OSError as error:
        logger.error("The journal cannot be written (%s): the run is not tracked.", error)
        return None
    return run


def run_to_join(config: KedroMlflowConfig) -> tuple[KedroMlflowConfig, str | None]:
    """Find the MLflow run that was started for this one, by an orchestrator for example.

    It is returned by its id, with the configuration to track with: a run that this thread's
    code has made active is joined at the process's own tracking URI, whatever mlflow.yml says.
    """
    if active := run_of_the_owner():
        import mlflow

        uris = {"mlflow_tracking_uri": mlflow.get_tracking_uri()}
        if config.server.registry_uri == config.server.uri:
            uris["mlflow_registry_uri"] = mlflow.get_registry_uri()
        server = config.server.model_copy(update=uris)
        return config.model_copy(update={"server": server}), str(active.info.run_id)
    return config, config.tracking.run.id or os.environ.get("MLFLOW_RUN_ID")


def pipeline_names(run_params: Mapping[str, Any]) -> list[str]:
    """Return the names of a run's pipelines; the default one by its other name if it has one."""
    names = list(run_params["pipeline_names"] or ["__default__"])
    if names == ["__default__"]:
        from kedro.framework.project import pipelines

        nodes = set(pipelines["__default__"].nodes)
        same = [name for name, other in pipelines.items() if set(other.nodes) == nodes]
        names = [name for name in same if name != "__default__"][:1] or names
    return names
