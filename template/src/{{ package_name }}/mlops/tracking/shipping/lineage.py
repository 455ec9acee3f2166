"""Lineage: what a run has read, as MLflow data sets."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..capture.nodes import inputs_of
from ..journal import Record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

# The limits of MLflow's log-inputs call (mlflow.utils.validation).
_MAX_NAME = 500


_MAX_SCHEMA = 1_048_575


# MLflow's names of column types, by what the names of pandas, polars and Spark begin with.
_TYPES = {
    "int64": "long",
    "uint": "long",
    "bigint": "long",
    "int": "integer",
    "float64": "double",
    "double": "double",
    "float": "float",
    "bool": "boolean",
    "datetime": "datetime",
    "timestamp": "datetime",
    "date": "datetime",
    "binary": "binary",
}


def log_inputs(client: "MlflowClient", run_id: str, records: Iterable[Record]) -> None:
    """Log the inputs among a run's records as its data sets; logging them again changes nothing."""
    if inputs := [dataset_input(data) for data in inputs_of(records)]:
        client.log_inputs(run_id, datasets=inputs)


def dataset_input(data: Mapping[str, Any]) -> "DatasetInput":
    """Make MLflow's data set of an ``input`` record."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    uri = data["source"]
    source_type = urlsplit(uri or "").scheme or "memory"
    schema = _schema(data.get("schema"))
    described = json.dumps([uri, data.get("schema"), data.get("rows")])
    return DatasetInput(
        Dataset(
            name=data["name"][:_MAX_NAME],
            # What cannot be read for a digest, data in memory or far away, is told by its shape.
            digest=data["digest"] or hashlib.sha256(described.encode()).hexdigest()[:32],
            source_type="local" if source_type == "file" else source_type,
            source=json.dumps({"url" if source_type in ("http", "https") else "uri": uri}),
            schema=schema if schema and len(schema) <= _MAX_SCHEMA else None,
            profile=json.dumps({"num_rows": data["rows"]})
            if data.get("rows") is not None
            else None,
        ),
        [InputTag("mlflow.data.context", data["type"])],
    )


def _schema(columns: list[tuple[str, str]] | None) -> str | None:
    if columns is None:
        return None
    specs = [{"name": name, "type": _type(kind), "required": True} for name, kind in columns]
    return json.dumps({"mlflow_colspec": specs})


def _type(kind: str) -> str:
    kind = kind.lower()
    return next((name for prefix, name in _TYPES.items() if kind.startswith(prefix)), "string")
