"""Lineage: what a run has read, as MLflow data sets, and the models that it has made."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from itertools import islice, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ...backend.artifacts import read_model
from ...disk import link
from .. import Shipment
from ..capture.nodes import inputs_of, records_of
from ..journal import Record
from . import Delivery

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, LoggedModel, Run

# By it MLflow's page of a logged model shows its versions.
VERSIONS_TAG = "mlflow.modelVersions"
ATTEMPT_TAG = "kedro.attempt"

# The limits of MLflow's log-inputs call (mlflow.utils.validation).
_MAX_NAME = 500
_MAX_SCHEMA = 1_048_575
# As many as go with the call that creates a logged model.
_MAX_PARAMETERS = 100

# MLflow's names of column types, by how the names of pandas, polars and Spark begin.
_TYPES = {
    "long": ("int64", "uint", "bigint"),
    "integer": ("int",),
    "double": ("float64", "double"),
    "float": ("float",),
    "boolean": ("bool",),
    "datetime": ("date", "timestamp"),
    "binary": ("binary",),
}


def log_inputs(client: "MlflowClient", run_id: str, records: Iterable[Record]) -> None:
    """Log what a run has read, and measured its models on, as its data sets; once or again."""
    kept = [record for record in records if record.kind in ("input", "measured")]
    data = inputs_of(kept)
    data += [record.data["on"] for record in records_of("measured", kept) if record.data["on"]]
    if data:
        client.log_inputs(run_id, datasets=[_dataset_input(each) for each in data])


def _dataset_input(data: Mapping[str, Any]) -> "DatasetInput":
    from mlflow.entities import Dataset, DatasetInput, InputTag

    uri, columns, rows = data["source"], data.get("schema"), data.get("rows")
    source_type = urlsplit(uri or "").scheme or "memory"
    schema = None
    if columns is not None:
        specs = [{"name": name, "type": _type(kind), "required": True} for name, kind in columns]
        schema = json.dumps({"mlflow_colspec": specs})
    shape = json.dumps([uri, columns, rows])
    return DatasetInput(
        Dataset(
            name=data["name"][:_MAX_NAME],
            # The digest of data in memory or far away is that of their shape.
            digest=data["digest"] or hashlib.sha256(shape.encode()).hexdigest()[:32],
            source_type="local" if source_type == "file" else source_type,
            source=json.dumps({"url" if source_type in ("http", "https") else "uri": uri}),
            schema=schema if schema and len(schema) <= _MAX_SCHEMA else None,
            profile=None if rows is None else json.dumps({"num_rows": rows}),
        ),
        [InputTag("mlflow.data.context", data["type"])],
    )


def _type(kind: str) -> str:
    kind = kind.lower()
    return next((name for name, begins in _TYPES.items() if kind.startswith(begins)), "string")


def parameters_of(records: Iterable[Record], model: Record) -> dict[str, str]:
    """Return what nodes of the model's run had read as parameters until it was made."""
    found: dict[str, str] = {}
    for record in records_of("params", records):
        is_of_its_run = record.data.get("namespace") == model.data.get("namespace")
        if is_of_its_run and record.time <= model.time:
            found |= record.data["values"]
    return dict(islice(found.items(), _MAX_PARAMETERS))


def measured_models(records: Iterable[Record], models: Mapping[str, str]) -> list[Record]:
    """Turn records of how models were measured into metrics, each of the run and of one model.

    MLflow's page of models ranks by them. `models` are the ids by the folders they were saved in.
    """
    metrics = []
    for record in records_of("measured", records):
        on = record.data["on"] or {}
        made = [models[folder] for folder in record.data["models"] if models.get(folder)]
        for model_id, (name, value, step, time) in product(made, record.data["values"]):
            measures = model_id, on.get("name"), on.get("digest")
            data = {"values": [[name, value, step]], "measures": measures}
            metrics.append(Record("metrics", time, data))
    return metrics


def log_model(
    shipment: Shipment, folder: Path, name: str, parameters: Mapping[str, str]
) -> "LoggedModel":
    """Log a saved model as an output of the run, as MLflow's own ``log_model`` would have.

    It may be called again: the delivery remembers which model was created for the folder.
    """
    from mlflow.entities import LoggedModelOutput

    client, delivery, run_id, _ = shipment
    # The model may exist without its id having reached us, or the disk.
    asked_before = folder.name in delivery.models or delivery.resumed or delivery.is_task
    found = None
    if model_id := delivery.models.get(folder.name):
        logged = client.get_logged_model(model_id)
    else:
        found = _find(shipment, name) if asked_before else None
        delivery.models[folder.name] = ""
        delivery.save()
        tags = {ATTEMPT_TAG: delivery.attempt} if delivery.attempt else {}
        logged = found or client.create_logged_model(
            delivery.experiment_id, name, run_id, tags=tags, params=dict(parameters)
        )
        delivery.models[folder.name] = logged.model_id
        delivery.save()
    # A task's model that is there is that of an earlier try, whose files are replaced.
    if str(logged.status) == "READY" and not (found and delivery.is_task):
        return logged
    model = read_model(folder)
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
    # MLflow refuses an output that it has.
    if not (asked_before and logged.model_id in output_ids(client.get_run(run_id))):
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return client.finalize_logged_model(logged.model_id, "READY")


def _find(shipment: Shipment, name: str) -> "LoggedModel | None":
    own = f"name = '{name}' AND source_run_id = '{shipment.run_id}'"
    found = shipment.client.search_logged_models([shipment.delivery.experiment_id], own)
    return next((model for model in found if _is_own(model, shipment.delivery)), None)


def _is_own(model: "LoggedModel", delivery: Delivery) -> bool:
    """Return whether a model of the run's may be completed, or its files replaced, for this one."""
    if delivery.is_task:  # What is registered stays as it was.
        return VERSIONS_TAG not in model.tags
    if delivery.attempt:  # When tasks have run again, it is another model.
        return bool(model.tags.get(ATTEMPT_TAG) == delivery.attempt)
    # One that is ready in a run that was there before may be another program's.
    return not delivery.joined or str(model.status) != "READY"


def output_ids(run: "Run") -> set[str]:
    """Return the ids of the logged models that are known to be a run's outputs."""
    return {each.model_id for each in run.outputs.model_outputs} if run.outputs else set()
