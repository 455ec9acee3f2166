"""Can runs be written? Shown by the least that shows it, which is removed again.

A tag that comes and goes changes nothing for anybody. Only where there is no experiment yet is one
made, of another name, and deleted: MLflow keeps it in its trash until `mlflow gc`. Managed services
keep files by the run alone: there it is a run that is made, and deleted.
"""

from typing import TYPE_CHECKING

from ..project import is_database, is_server
from .finding import Finding, failed, ok, reason
from .setup import MARK, Setup

if TYPE_CHECKING:
    from mlflow.entities import Experiment


def experiment(setup: Setup) -> Finding:
    """Write into the project's experiment, or into another one while there is none."""
    from mlflow.exceptions import MlflowException

    options = setup.config.tracking.experiment
    try:
        found = setup.client.get_experiment_by_name(options.name)
        deleted = found is not None and found.lifecycle_stage == "deleted"
        if deleted and not options.restore_if_deleted:
            return failed(
                f"'{options.name}' has been deleted",
                "Restore it on MLflow's page, or set tracking.experiment.restore_if_deleted.",
            )
        if found is None or deleted:
            _write(setup, _another(setup, options.name))
            state = (
                "is deleted, the next run restores it" if deleted else "comes with the first run"
            )
            return ok(f"'{options.name}' {state}; tried with another one")
        _write(setup, found)
    except MlflowException as error:
        return judge_failure(options.name, error)
    return ok(f"'{options.name}' can be written")


def judge_failure(name: str, error: Exception) -> Finding:
    """Say why an experiment cannot be written.

    Args:
        name: the experiment's.
        error: MLflow's exception.
    """
    if getattr(error, "error_code", "") == "PERMISSION_DENIED":
        return failed(
            f"the server does not let us write '{name}'",
            "Ask who owns the experiment for the permission EDIT.",
        )
    return failed(f"'{name}' cannot be written ({reason(error)})", "Look at the server's own log.")


def _another(setup: Setup, name: str) -> "Experiment":
    """Make an experiment beside the project's: on Databricks it is the folder that permits it."""
    name = f"{name}-{setup.name}"
    location = setup.config.tracking.experiment.create_experiment_kwargs.artifact_location
    experiment_id = setup.client.create_experiment(name, location)
    setup.remove_later(
        f"the experiment {name}", lambda: setup.client.delete_experiment(experiment_id)
    )
    setup.owns_root = location is None
    return setup.client.get_experiment(experiment_id)


def _write(setup: Setup, experiment: "Experiment") -> None:
    client, experiment_id = setup.client, experiment.experiment_id
    if is_server(setup.uri) or is_database(setup.uri):
        client.set_experiment_tag(experiment_id, MARK, setup.name)
        setup.remove_later(
            f"the tag {MARK} of the experiment '{experiment.name}'",
            lambda: client.delete_experiment_tag(experiment_id, MARK),
        )
        setup.artifact_root = experiment.artifact_location
        return
    run = client.create_run(experiment_id, run_name=setup.name)
    setup.remove_later(f"the run {run.info.run_id}", lambda: client.delete_run(run.info.run_id))
    setup.artifact_root = str(run.info.artifact_uri)
