"""The start of a run: what mlflow.yml says of it, put together."""

import logging
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .access import credentials, headers_provided
from .capture.figures import files_of_figures
from .capture.inputs import describe_inputs
from .capture.namespaces import count_nodes, parts_of
from .capture.parameters import consumed_parameters
from .capture.tags import run_tags
from .config import KedroMlflowConfig, load_config
from .pipeline_model.packaging import fitted_inputs
from .pipeline_model.scoring import use_registered_model
from .process_state import exported
from .project import PACKAGE
from .requirements import require_all
from .run import TrackedRun
from .uris import anchor, is_database

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline

logger = logging.getLogger(__name__)

_FOR_GOOD = ExitStack()
_DEFAULT_URI = "sqlite:///mlflow.db"


def start_run(
    config: KedroMlflowConfig,
    run_params: Mapping[str, Any],
    pipeline: "Pipeline",
    catalog: "DataCatalog",
) -> TrackedRun | None:
    """Start tracking a Kedro run.

    Args:
        config: mlflow.yml, its places absolute.
        run_params: what Kedro tells its hooks of the run.
        pipeline: the nodes that are about to run.
        catalog: their data sets. Those that a registered model brings along are replaced by the
            model's.

    Returns:
        The tracked run, or none when mlflow.yml leaves all of its pipelines out.

    Raises:
        TrackingError: mlflow.yml cannot be followed.
    """
    require_all(config)
    names = pipeline_names(run_params)
    model_tags, registers = {}, None
    if config.model:
        # What is wrong with the model is said before anything runs.
        fitted = fitted_inputs(config.model)
        if fitted and fitted <= pipeline.all_outputs():
            registers = config.model.name
        if names == [config.model.pipeline]:
            wanted = (run_params.get("runtime_params") or {}).get("model_version")
            wanted = None if wanted is None else str(wanted)
            model_tags = use_registered_model(config.model, config.server, catalog, wanted)
    if set(names) <= set(config.tracking.disable_tracking.pipelines):
        return None
    if is_parallel(run_params):
        # Workers are forked: one that starts while the shipper's thread imports something would
        # wait for that import for ever.
        import mlflow.pyfunc
        import mlflow.tracing.client  # noqa: F401
    secrets = config.redaction.patterns
    lineage = config.tracking.capture.lineage
    parts = parts_of(pipeline, config.tracking.run)
    try:
        return TrackedRun(
            journals_of(Path(run_params["project_path"])) / run_params["run_id"],
            config,
            name=config.tracking.run.name or ", ".join(names),
            tags=run_tags(run_params, names, PACKAGE, secrets) | model_tags,
            parameters={
                namespace: consumed_parameters(part, catalog, secrets)
                for namespace, part in parts.items()
            },
            nodes=count_nodes(parts),
            join=run_to_join(config),
            inputs=describe_inputs(pipeline, catalog, secrets) if lineage else None,
            figures=files_of_figures(pipeline, catalog),
            registers=registers,
        )
    except OSError as error:
        logger.error("The journal cannot be written (%s): the run is not tracked.", error)
        return None


def is_parallel(run_params: Mapping[str, Any]) -> bool:
    """Tell whether the run's nodes run in processes of their own."""
    return "ParallelRunner" in run_params["runner"]


def run_to_join(config: KedroMlflowConfig) -> str | None:
    """Find the MLflow run that somebody else, such as an orchestrator, has started for this one.

    One that is active in this process is where the process's MLflow calls go, whatever mlflow.yml
    says of the server.
    """
    if "mlflow" in sys.modules:
        import mlflow

        if active := mlflow.active_run():
            config.server.mlflow_tracking_uri = mlflow.get_tracking_uri()
            return str(active.info.run_id)
    return config.tracking.run.id or os.environ.get("MLFLOW_RUN_ID")


def journals_of(project_path: Path) -> Path:
    """Tell where a project's journals lie, a folder a run."""
    return project_path / ".kedro_mlflow" / "journal"


def pipeline_names(run_params: Mapping[str, Any]) -> list[str]:
    """Tell which pipelines a run is of; the default one goes by its other name if it has one."""
    if names := run_params["pipeline_names"]:
        return list(names)
    from kedro.framework.project import pipelines

    nodes = set(pipelines["__default__"].nodes)
    names = [
        name
        for name, other in pipelines.items()
        if name != "__default__" and set(other.nodes) == nodes
    ]
    return names[:1] or ["__default__"]


def read_config(context: "KedroContext", project_path: Path) -> KedroMlflowConfig:
    """Read mlflow.yml with every place in it made absolute, starting at the project's folder."""
    config = load_config(context)
    server, experiment = config.server, config.tracking.experiment
    if "name" not in experiment.model_fields_set:
        experiment.name = PACKAGE
    uri = server.mlflow_tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or _DEFAULT_URI
    server.mlflow_tracking_uri = uri
    for place in (server, *(mirror for mirror in config.mirrors if mirror.type is None)):
        place.mlflow_tracking_uri = anchor(str(place.mlflow_tracking_uri), project_path)
        registry_uri = place.mlflow_registry_uri
        place.mlflow_registry_uri = registry_uri and anchor(registry_uri, project_path)
    if is_database(str(server.mlflow_tracking_uri)):
        # MLflow's default is a folder of the working directory.
        location = experiment.create_experiment_kwargs.artifact_location or "mlartifacts"
        experiment.create_experiment_kwargs.artifact_location = anchor(location, project_path)
    return config


def project_config(project_path: Path, env: str | None) -> KedroMlflowConfig:
    """Read mlflow.yml outside of a run, for a command, and open the door to the server for good.

    Args:
        project_path: the project's folder.
        env: the Kedro environment; KEDRO_ENV or the default one when none is given.
    """
    from kedro.framework.session import KedroSession

    context = KedroSession.create(project_path, save_on_close=False, env=env).load_context()
    config = read_config(context, project_path)
    _FOR_GOOD.enter_context(exported(credentials(context, config.server.credentials)))
    _FOR_GOOD.enter_context(
        headers_provided(config.server.request_header_provider, lambda: context)
    )
    require_all(config)
    return config
