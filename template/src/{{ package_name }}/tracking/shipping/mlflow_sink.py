"""The MLflow sink: turns a run's records into calls of MLflow's client."""

import logging
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import ExperimentOptions, ServerOptions
from ..errors import TrackingError
from ..journal import Record
from ..uris import is_server, page, vanished
from .client import connect
from .collector import paused_collector

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

logger = logging.getLogger(__name__)

# What the experiment is for, as MLflow's page asks otherwise.
_EXPERIMENT_KIND = {"mlflow.experimentKind": "custom_model_development"}
# The limits of MLflow's log-batch call:
# https://mlflow.org/docs/latest/api_reference/rest-api.html#log-batch.
_MAX_PARAMS = _MAX_TAGS = 100
_MAX_METRICS = 800


class MlflowSink:
    """Delivers one run to one tracking server. `mlflow` is imported by the first record."""

    def __init__(self, server: ServerOptions, experiment: ExperimentOptions) -> None:
        self.run_id: str | None = None
        self.run_name = ""
        self.address = "uv run kedro mlflow ui"
        self.models: list[str] = []
        self._server = server
        self._experiment = experiment
        self._experiment_id = ""
        self._client: MlflowClient

    def deliver(self, records: list[Record]) -> None:
        """Send the records; their params, metrics and tags go in as few calls as MLflow allows."""
        for record in _of("run_started", records):
            with paused_collector():
                self._start_run(record)
        self._log_batches(records)
        for record in _of("artifact", records):
            self._client.log_artifact(str(self.run_id), record.data["path"], record.data["folder"])
        for record in _of("model", records):
            self._log_model(Path(record.data["path"]), record.data["name"], record.data["register"])
        for record in _of("run_ended", records):
            self._client.set_terminated(str(self.run_id), record.data["status"], record.time)

    def _start_run(self, record: Record) -> None:
        self._client = connect(self._server)
        self._experiment_id = self._find_experiment()
        run = self._client.create_run(
            self._experiment_id,
            start_time=record.time,
            run_name=record.data["name"],
            tags=record.data["tags"],
        )
        self.run_id = run.info.run_id
        self.run_name = record.data["name"]
        uri = str(self._server.mlflow_tracking_uri)
        if is_server(uri):
            self.address = page(uri, self._experiment_id, self.run_id)
        logger.info(
            "Tracked by MLflow as run '%s' (%s). Its page: %s",
            self.run_name,
            self.run_id,
            self.address,
        )

    def _find_experiment(self) -> str:
        options = self._experiment
        experiment = self._client.get_experiment_by_name(options.name)
        if experiment is None:
            return self._client.create_experiment(
                options.name,
                artifact_location=options.create_experiment_kwargs.artifact_location,
                tags=_EXPERIMENT_KIND | (options.create_experiment_kwargs.tags or {}),
            )
        if vanished(experiment.artifact_location):
            raise TrackingError(
                f"the experiment '{options.name}' keeps its files in "
                f"{experiment.artifact_location}, a folder that is gone: move the project back "
                "there, or give tracking.experiment.name in mlflow.yml another name"
            )
        if experiment.lifecycle_stage == "deleted" and options.restore_if_deleted:
            self._client.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)

    def _log_batches(self, records: list[Record]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        params = [Param(name, value) for name, value, _ in _values("params", records)]
        metrics = [Metric(name, value, at, 0) for name, value, at in _values("metrics", records)]
        tags = [RunTag(name, value) for name, value, _ in _values("tags", records)]
        for some_params, some_metrics, some_tags in _batches(params, metrics, tags):
            self._client.log_batch(str(self.run_id), some_metrics, some_params, some_tags)

    def _log_model(self, folder: Path, name: str, registered_name: str | None) -> None:
        """Log a model that lies saved on disk, as ``log_model`` would have, and register it."""
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model

        logged = self._client.create_logged_model(self._experiment_id, name, self.run_id)
        model = Model.load(folder)
        model.run_id = self.run_id
        model.model_id = model.model_uuid = logged.model_id
        model.artifact_path = logged.artifact_location
        model.save(folder / "MLmodel")
        self._client.log_model_artifacts(logged.model_id, str(folder))
        self._client.log_outputs(str(self.run_id), [LoggedModelOutput(logged.model_id, step=0)])
        self._client.finalize_logged_model(logged.model_id, "READY")
        if registered_name:
            self.models.append(self._register(logged, registered_name))

    def _register(self, logged: "LoggedModel", name: str) -> str:
        """Make a version of the logged model: the first is champion, a later one challenger."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # A registry in a database would look up models:/… at the process's own tracking URI.
        on_server = is_server(str(self._server.mlflow_tracking_uri))
        source = f"models:/{logged.model_id}" if on_server else logged.artifact_location
        version = self._client.create_model_version(
            name, source, self.run_id, model_id=logged.model_id
        ).version
        has_champion = "champion" in self._client.get_registered_model(name).aliases
        alias = "challenger" if has_champion else "champion"
        self._client.set_registered_model_alias(name, alias, version)
        return f"{name} version {version} ({alias})"


def _of(kind: str, records: list[Record]) -> list[Record]:
    return [record for record in records if record.kind == kind]


def _values(kind: str, records: list[Record]) -> list[tuple[str, Any, int]]:
    """List the names and values in records of one kind, each with the record's time."""
    return [
        (name, value, record.time)
        for record in _of(kind, records)
        for name, value in record.data["values"].items()
    ]


def _batches(
    params: list[Any], metrics: list[Any], tags: list[Any]
) -> Iterator[tuple[list[Any], list[Any], list[Any]]]:
    """Cut params, metrics and tags into the fewest batches that MLflow's log-batch call takes."""
    all_of_a_kind = ((params, _MAX_PARAMS), (metrics, _MAX_METRICS), (tags, _MAX_TAGS))
    for batch in range(max(ceil(len(items) / most) for items, most in all_of_a_kind)):
        some = [items[batch * most : (batch + 1) * most] for items, most in all_of_a_kind]
        yield some[0], some[1], some[2]
