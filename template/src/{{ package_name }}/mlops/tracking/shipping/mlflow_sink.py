"""The MLflow sink: turns a run's records into calls of MLflow's client."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ...backend.client import connect, is_final, is_reachable, is_transient
from ...backend.pages import page
from ...config import PlaceOptions, TrackingOptions
from ...mlflow_internals import latest_points
from ...project import is_server
from ...redaction import mask
from .. import RunListener, Shipment
from ..capture.nodes import records_of, tags_of
from ..capture.values import valid_model_name
from ..journal import Record, all_records, first_record
from ..process import frozen_afterwards
from . import Sink
from .batches import Batch, batches, one_by_one, without_known_parameters
from .lineage import log_inputs, log_model, measured_models, parameters_of
from .parts import BEGUN_TAG, log_part, of_task, without_known_metrics
from .runs import (
    ORIGINAL_TAG,
    create_child,
    create_run,
    end_children,
    find_mirrored,
    join_run,
    touch_run,
)
from .summary import DESCRIPTION_TAG, describe_run
from .timeline import log_timeline

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

logger = logging.getLogger(__name__)


class MlflowSink(Sink):
    """Delivers one run to one tracking server. `mlflow` is imported when it begins."""

    def __init__(
        self,
        server: PlaceOptions,
        tracking: TrackingOptions,
        listeners: Sequence[RunListener] = (),
        mirror: bool = False,
        address: str = "",
    ) -> None:
        """Set where the run goes; to a mirror, if the run belongs to another server.

        `address` is what a person is told while the run's page is not known.
        """
        self.place = f"MLflow at {mask('', server.uri)}"
        self.address = address
        self.run_name = ""
        self._server = server
        self._tracking = tracking
        self._mirror = mirror
        self._listeners = listeners
        self._opened: MlflowClient | None = None
        # The run and its child runs, as they were when a task has joined them.
        self._joined: dict[str, Run] = {}
        self._is_begun = False  # Whether it is made for tasks, and may have been made before.

    def is_well(self) -> bool:
        """Return whether the server answers; a database is never known to be well."""
        return is_reachable(self._server)

    def begin(self, started: Record) -> None:
        """Create the run, or join it."""
        if self._opened is None:
            # A call that hangs takes its whole time-out, and what it asked for may be made much
            # later, when the server wakes up: a run that exists twice.
            if is_server(self._server.uri) and not self.is_well():
                raise ConnectionError("it does not answer")
            with frozen_afterwards():
                self._opened = connect(self._server)
            # Before the run exists: from then on workers may be forked.
            for listener in self._listeners:
                listener.shipping_starts(self._opened, started)
        self.run_name = started.data["name"]
        self._is_begun = BEGUN_TAG in started.data["tags"]
        if self.delivery.run_id is None:
            run_id = started.data.get("join")
            if run_id and self._mirror:
                run_id = find_mirrored(self._opened, self._tracking.experiment, run_id)
            if run_id:
                self._joined[run_id] = join_run(self._opened, self.delivery, run_id, started)
            else:
                create_run(self._opened, self.delivery, self._tracking.experiment, started)
        if is_server(self._server.uri):
            self.address = page(self._server.uri, self.delivery.experiment_id, self.delivery.run_id)
        if not self._mirror and not self.delivery.resumed:
            logger.info(
                "Tracked by MLflow as run '%s' (%s). Its page: %s",
                self.run_name,
                self.delivery.run_id,
                self.address,
            )

    def deliver(self, records: list[Record], patient: bool) -> None:
        """Send records; their params, metrics and tags go in as few calls as MLflow allows."""
        if self.delivery.is_task:
            records = of_task(records)
        for record in records_of("child_started", records):
            create_child(self._client, self.delivery, record)
        parts: dict[str, list[Record]] = {}
        for record in records:
            parts.setdefault(record.data.get("namespace", ""), []).append(record)
        for namespace, part in parts.items():
            self._deliver_to_run(self.delivery.id_of(namespace), part, patient)

    def end(self, ended: Record, patient: bool) -> None:
        """Log what is known of the whole run only at its end, and set its status and end."""
        client, delivery, run_id = self._client, self.delivery, self.delivery.id_of()
        capture, status = self._tracking.capture, ended.data["status"]
        attempt = partial(self._try, patient)
        if delivery.is_task:
            started = first_record(self.folder)
            assert started
            # After all else: where it is, the whole task has arrived.
            attempt("the record", self.log_part, started.data["task"])
            return
        if capture.lineage:
            attempt("the inputs", log_inputs, client, run_id, all_records(self.folder))
        if capture.timeline:
            where = delivery.experiment_id, run_id, self.folder
            attempt("the timeline", log_timeline, client, *where, ended)
        attempt("the description", self._describe, ended)
        records = all_records(self.folder)
        attempt("the child runs' end", end_children, client, delivery, records, ended)
        if not delivery.joined:
            attempt("the run's end", client.set_terminated, run_id, status, ended.time)
        if status == "FINISHED" and not self._mirror:
            for listener in self._listeners:
                attempt("the promotion", listener.run_shipped, delivery)

    def log_part(self, task: str) -> None:
        """Leave what a task of the run has captured with the run."""
        log_part(self._client, self.delivery, self.folder, task)

    def give_up(self) -> None:
        """End a run, if it was made, that could not be begun as a whole."""
        if run_id := self.delivery.id_of():
            self._client.set_terminated(run_id, "FAILED")

    def note_original(self, run_id: str) -> None:
        """Let tasks find a mirror's run by the id that they join."""
        if self._mirror:
            self._client.set_tag(self.delivery.id_of(), ORIGINAL_TAG, run_id)

    def _describe(self, ended: Record) -> None:
        """Describe the run on its page, unless somebody has: whoever has started a joined one."""
        run_id, started = self.delivery.id_of(), first_record(self.folder)
        if started is None or self.delivery.joined:
            return
        if DESCRIPTION_TAG not in self._client.get_run(run_id).data.tags:
            # Without the alias, which will have moved on when somebody reads it.
            versions = filter(None, self.delivery.versions.values())
            registered = [f"{name} version {number}" for name, number, _ in versions]
            command = tags_of(all_records(self.folder)).get("kedro.command")
            text = describe_run(started, ended, registered, command)
            self._client.set_tag(run_id, DESCRIPTION_TAG, text)

    @property
    def _client(self) -> "MlflowClient":
        assert self._opened
        return self._opened

    def _deliver_to_run(self, run_id: str, records: list[Record], patient: bool) -> None:
        if self.delivery.is_task:
            known = latest_points(self._as_joined(run_id))
            records = without_known_metrics(records, known)
        known_before = self.delivery.joined or (self.delivery.resumed and self._is_begun)
        if known_before and records_of("params", records):
            run = self._as_joined(run_id)
            records, changed = without_known_parameters(records, run.data.params)
            self.delivery.changed.update(changed)
            self.delivery.save()
        for batch in batches(records):
            self._log_batch(run_id, batch, patient)
        # For files, patience has no end: a store behind a server that is well may be full or away.
        attempt = partial(self._try, True)
        for record in records_of("artifact", records):
            path, folder = record.data["path"], record.data["folder"]
            what = f"the file {folder}/{Path(path).name}"
            attempt(what, self._client.log_artifact, run_id, path, folder)
        models = records_of("model", records)
        read = records_of("params", all_records(self.folder)) if models else []
        shipment = Shipment(self._client, self.delivery, run_id, self._server)
        for record in models:
            name = valid_model_name(record.data["name"])
            parameters = parameters_of(read, record)
            attempt(f"the model {name}", self._log_model, shipment, name, record, parameters)
        for batch in batches(measured_models(records, self.delivery.models)):
            self._log_batch(run_id, batch, patient)

    def _as_joined(self, run_id: str) -> "Run":
        """Return what a run has had before; of a task's, that is all of begin's."""
        if run_id not in self._joined or not self.delivery.is_task:
            self._joined[run_id] = self._client.get_run(run_id)
        return self._joined[run_id]

    def _log_batch(self, run_id: str, batch: Batch, patient: bool) -> None:
        """Send a batch; if the server refuses it, send what is in it piece by piece."""
        try:
            self._client.log_batch(run_id, *batch)
        except Exception as error:
            if is_transient(error) and patient:
                raise
            for piece, what in one_by_one(batch):
                self._try(patient, what, self._client.log_batch, run_id, *piece)

    def _log_model(
        self, shipment: Shipment, name: str, record: Record, parameters: Mapping[str, str]
    ) -> None:
        model = log_model(shipment, Path(record.data["path"]), name, parameters)
        for listener in self._listeners:
            listener.model_shipped(shipment, model, record)

    def _try(self, patient: bool, what: str, call: Callable[..., object], *values: object) -> None:
        """Make a call, and set aside what it was for if the server refuses it for good."""
        try:
            call(*values)
        except Exception as error:
            if (is_transient(error) and patient) or not is_final(error):
                raise
            # Nor is it for good if the server takes nothing of the run, not even what it has.
            touch_run(self._client, self.delivery)
            self.set_aside(what, error)
