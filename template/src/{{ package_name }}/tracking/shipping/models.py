"""Models that lie saved on disk: logged and registered by calls that may be made twice."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ..disk import link
from .delivery import Delivery

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

CHAMPION, CHALLENGER = "champion", "challenger"


def log_model(
    client: "MlflowClient", delivery: Delivery, run_id: str, folder: Path, name: str
) -> "LoggedModel":
    """Log a model as MLflow's own ``log_model`` would have.

    Args:
        client: the tracking server's.
        delivery: where it is remembered which model was created for the folder.
        run_id: the run that the model is an output of.
        folder: the saved model, in MLflow's format.
        name: the model's name in the run.
    """
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    asked_before = folder.name in delivery.models or delivery.resumed
    model_id = delivery.models.get(folder.name)
    logged = (
        client.get_logged_model(model_id)
        if model_id
        else _create(client, delivery, run_id, folder.name, name, asked_before)
    )
    if str(logged.status) == "READY":
        return logged
    model = Model.load(folder)
    model.run_id = run_id
    model.model_id = model.model_uuid = logged.model_id
    model.artifact_path = logged.artifact_location
    with TemporaryDirectory(dir=folder.parents[1]) as scratch:
        # The model as this server knows it, beside the one that others may be reading just now.
        own = Path(scratch) / folder.name
        shutil.copytree(folder, own, copy_function=link)
        (own / "MLmodel").unlink()
        model.save(own / "MLmodel")
        client.log_model_artifacts(logged.model_id, str(own))
    # MLflow refuses to be told twice.
    if not (asked_before and logged.model_id in output_ids(client.get_run(run_id))):
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return client.finalize_logged_model(logged.model_id, "READY")


def _create(
    client: "MlflowClient", delivery: Delivery, run_id: str, key: str, name: str, asked_before: bool
) -> "LoggedModel":
    made = []
    # The model may exist without its id having reached us, or the disk.
    if asked_before:
        own = f"name = '{name}' AND source_run_id = '{run_id}'"
        found = client.search_logged_models([delivery.experiment_id], own)
        # One that is ready in a run that was there before may be somebody else's.
        made = [model for model in found if not delivery.joined or str(model.status) != "READY"]
    delivery.models[key] = ""
    delivery.save()
    logged = made[0] if made else client.create_logged_model(delivery.experiment_id, name, run_id)
    delivery.models[key] = logged.model_id
    delivery.save()
    return logged


def output_ids(run: "Run") -> set[str]:
    """List the logged models that are known to be a run's outputs."""
    return {each.model_id for each in run.outputs.model_outputs} if run.outputs else set()


def is_registered(client: "MlflowClient", name: str) -> bool:
    """Tell whether a registered model is known to be there; what is wrong is told on its use."""
    try:
        client.get_registered_model(name)
    except Exception:
        return False
    return True


def make_registered_model(client: "MlflowClient", name: str) -> None:
    """Make a registered model, unless it is there."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def register(
    client: "MlflowClient",
    delivery: Delivery,
    run_id: str,
    model: "LoggedModel",
    name: str,
    source: str,
    description: str | None = None,
) -> None:
    """Make a version of a logged model: the first is champion, a later one challenger.

    Args:
        client: the tracking server's and the registry's.
        delivery: where the version is remembered.
        run_id: the run that has trained it.
        model: the logged model.
        name: the registered model's name; it exists.
        source: where the registry finds the files, if not at the model's own place.
        description: what the version's page says, in Markdown.
    """
    asked_before = model.model_id in delivery.versions or delivery.resumed
    if delivery.versions.get(model.model_id):
        return
    source = source or model.artifact_location
    made = []
    if asked_before:  # The version may exist without its number having reached us.
        # Unity Catalog takes one condition.
        versions = client.search_model_versions(f"run_id = '{run_id}'")
        made = [each for each in versions if (each.name, each.source) == (name, source)]
    delivery.versions[model.model_id] = []
    delivery.save()
    version = (
        made[0]
        if made
        else client.create_model_version(
            name, source, run_id, description=description, model_id=model.model_id
        )
    )
    number = str(version.version)
    aliases = client.get_registered_model(name).aliases
    alias = CHALLENGER if str(aliases.get(CHAMPION, number)) != number else CHAMPION
    client.set_registered_model_alias(name, alias, number)
    delivery.versions[model.model_id] = [name, number, alias]
    delivery.save()
