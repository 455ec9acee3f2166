"""Models that lie saved on disk: logged and registered by calls that may be made twice."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ...disk import link
from .sink import Delivery

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run


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
