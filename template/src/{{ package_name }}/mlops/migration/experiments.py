"""An experiment goes to another MLflow, under its name."""

from typing import TYPE_CHECKING

from ..errors import TrackingError
from ..project import is_database
from .places import experiment_name

if TYPE_CHECKING:
    from mlflow.entities import Experiment

    from .move import Move


def move_experiment(move: "Move", experiment: "Experiment") -> str:
    """Find or make the experiment of the same name at the target; tags that it has there stay.

    Returns:
        Its id there.

    Raises:
        TrackingError: it is deleted there, and mlflow.yml says not to restore it.
    """
    client, options = move.target.client, move.config.tracking.experiment
    name = experiment_name(experiment.name, options)
    found = client.get_experiment_by_name(name)
    if found is None:
        wanted = options.create_experiment_kwargs.artifact_location
        for_this_one = name == options.name or is_database(move.target.uri)
        location = wanted if for_this_one else None
        return str(client.create_experiment(name, location, dict(experiment.tags)))
    if found.lifecycle_stage == "deleted":
        if not options.restore_if_deleted:
            raise TrackingError(
                f"The experiment '{name}' is deleted there: restore it, or set "
                "tracking.experiment.restore_if_deleted in mlflow.yml to true."
            )
        client.restore_experiment(found.experiment_id)
    for key in experiment.tags.keys() - found.tags.keys():
        client.set_experiment_tag(found.experiment_id, key, experiment.tags[key])
    return str(found.experiment_id)
