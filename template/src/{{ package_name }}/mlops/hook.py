"""The hook: receives Kedro's events and passes them to the run that they belong to."""

import atexit
import gc
import logging
import os
import sys
import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from .mlflow_internals import autologging_off, before_thread_pools_end, forget_connections
from .project import State
from .redaction import mask_error, redacted_log, secret_values
from .tracking import process

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node
    from mlflow.entities import Run

    from .config import KedroMlflowConfig
    from .tracking.active_run import RunAddress
    from .tracking.capture import RunCapture
    from .tracking.run import TrackedRun

logger = logging.getLogger(__name__)
# Where the runs' journals are, for worker processes, forked or spawned.
_JOURNAL_VARIABLE = "KEDRO_MLFLOW_JOURNAL"


class MlflowHook:
    """Tracks each Kedro run as one MLflow run.

    State is kept by Kedro's run id and dropped when the run ends: several runs, one after another
    or at once, live in one process.
    """

    def __init__(self) -> None:
        # Kedro makes a run's context and starts the run in one and the same thread; a node starts,
        # ends and has its outputs saved in one as well.
        self._thread = threading.local()
        self._runs: dict[str, TrackedRun] = {}
        # What a worker process captures of its parent's runs.
        self._joined: dict[str, RunCapture] = {}
        # The runs whose nodes call MLflow themselves, and their child runs, by namespace.
        self._active: dict[str, dict[str, Run]] = {}
        self._process_state = process.ProcessState()
        # The values of secrets, for what is logged: never written anywhere.
        self._secrets: set[str] = set()
        self._kit: process.WorkerKit | None = None
        self._ends_at_exit = False

    @hook_impl
    def after_context_created(self, context: "KedroContext") -> None:
        """Remember the context, and give it ``context.mlflow``: mlflow.yml, read when asked for."""
        self._thread.context = context
        if not hasattr(type(context), "mlflow"):
            config = cached_property(_config_of)
            config.__set_name__(type(context), "mlflow")
            type(context).mlflow = config  # type: ignore[attr-defined]

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: "Pipeline", catalog: "DataCatalog"
    ) -> None:
        """Start the MLflow run, in the background, with the parameters that the run consumes."""
        from .registry import listeners_of
        from .tracking.active_run import RunAddress, uses_mlflow
        from .tracking.capture.command import options_beside
        from .tracking.start import is_parallel, start_run

        config: KedroMlflowConfig = self._thread.context.mlflow
        off = config.tracking.disable_tracking.disable_autologging
        own_calls = uses_mlflow(pipeline) or not off
        run: TrackedRun | None = None
        self._process_state.enter()
        try:
            self._change_process(self._thread.context, config, own_calls)
            listeners = listeners_of(config, State.of(Path(run_params["project_path"])))
            options = options_beside(self._thread.context, Path(run_params["project_path"]))
            run = start_run(config, run_params | options, pipeline, catalog, listeners)
        finally:
            if run is None:
                self._process_state.leave()
        if run is None:
            return
        self._runs[run_params["run_id"]] = run
        os.environ[_JOURNAL_VARIABLE] = str(run.journal.folder.parent)
        self._end_at_exit()
        if is_parallel(run_params):
            session = {name: run_params[name] for name in ("project_path", "env", "runtime_params")}
            headers, secrets = config.server.request_header_provider, frozenset(self._secrets)
            process.send_along(process.WorkerKit(session, headers, secrets), catalog)
            # The shipper has imported all that it needs once the run is there; see start_run.
            run.wait_for_run_ids(config.shipping.deadline)
        if own_calls:  # Nodes use the MLflow run: wait until it exists.
            run_ids = run.wait_for_run_ids(config.shipping.deadline)
            server = run.config.server
            address = RunAddress(server.uri, server.mlflow_registry_uri, run_ids)
            with run.journal.tolerating():
                address.save(run.journal.folder)
            self._point_at(address, run_params["run_id"])

    @hook_impl
    def before_node_run(self, node: "Node", run_id: str) -> None:
        """Make the run MLflow's active one for the node; runs in worker processes too."""
        self._thread.run = run = self._find(run_id)
        if run:
            if run_id in self._active:
                from .tracking.active_run import activate

                self._thread.deactivate = activate(self._active[run_id][run.namespace_of(node)])
            run.node_started(node)

    @hook_impl
    def after_node_run(
        self, node: "Node", inputs: dict[str, Any], outputs: dict[str, Any], run_id: str
    ) -> None:
        """Capture what the node returned; runs in worker processes too."""
        self._deactivate("FINISHED")
        if run := self._find(run_id):
            run.node_finished(node, inputs, outputs)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: "Node") -> None:
        """Keep a figure that the catalog has drawn; runs in worker processes too."""
        if run := getattr(self._thread, "run", None):
            run.dataset_saved(node, dataset_name)

    @hook_impl
    def on_node_error(self, error: Exception, node: "Node", run_id: str) -> None:
        """Capture that the node has failed; runs in worker processes too."""
        self._deactivate("FAILED")
        if run := self._find(run_id):
            mask_error(error, self._secrets)
            run.node_failed(node, error)

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], catalog: "DataCatalog") -> None:
        """Package the model if this run has fitted it, and end the MLflow run."""
        run_id = run_params["run_id"]
        if run := self._runs.get(run_id):
            with process.garbage_collection_paused():
                try:
                    run.complete(catalog)
                except Exception:
                    self._end(run_id, "FAILED")
                    raise
                self._end(run_id, "FINISHED")

    @hook_impl
    def on_pipeline_error(
        self, error: Exception, run_params: dict[str, Any], catalog: "DataCatalog"
    ) -> None:
        """End the MLflow run as failed."""
        mask_error(error, self._secrets)
        if run := self._runs.get(run_params["run_id"]):
            with run.journal.tolerating():
                run.keep_artifacts(catalog)
        self._end(run_params["run_id"], "FAILED")

    def end_open_runs(self) -> None:
        """End what Kedro did not: it does not tell its hooks of Ctrl-C."""
        for run_id, run in list(self._runs.items()):
            if run.process == os.getpid():
                self._end(run_id, "KILLED")

    def equip(self, kit: process.WorkerKit) -> None:
        """Take what a worker process that was not forked does not have from its parent."""
        self._kit = kit
        self._secrets |= kit.secrets
        self._process_state.change("log", redacted_log(self._secrets))

    def _change_process(
        self, context: "KedroContext", config: "KedroMlflowConfig", own_calls: bool
    ) -> None:
        """Make the changes to the process that the run needs; the last run to end undoes them."""
        from .backend.access import credentials, exported, headers_provided

        change, server = self._process_state.change, config.server
        change("garbage collection", process.thawed_afterwards())
        change("credentials", exported(credentials(context, server.credentials)))
        change("log", redacted_log(self._secrets))
        self._secrets |= secret_values(os.environ)
        self._secrets |= secret_values(context.params, config.redaction.patterns)
        change("headers", headers_provided(server.request_header_provider, lambda: context))
        if "mlflow" in sys.modules and not own_calls:
            change("autologging", autologging_off())

    def _point_at(self, address: "RunAddress", run_id: str) -> None:
        from .tracking.active_run import pointed_at

        runs = address.fetch()
        self._process_state.change("MLflow", pointed_at(address, runs.get("")))
        if runs:
            self._active[run_id] = runs
        else:
            logger.warning("MLflow does not answer: what nodes send it themselves is not kept.")

    def _find(self, run_id: str) -> "RunCapture | None":
        """Find the run that a node belongs to; a worker process joins its parent's run first."""
        for run in (self._runs.get(run_id), self._joined.get(run_id)):
            if run and run.process == os.getpid():
                return run
        folder = Path(os.environ.get(_JOURNAL_VARIABLE, "")) / run_id
        return self._join(run_id, folder) if (folder / "run.json").is_file() else None

    def _join(self, run_id: str, folder: Path) -> "RunCapture":
        from .backend.access import headers_provided
        from .registry import listeners_of
        from .tracking.active_run import RunAddress
        from .tracking.capture import RunCapture

        forget_connections()
        self._joined[run_id] = run = RunCapture.join(folder, listeners_of)
        if address := RunAddress.load(folder):
            if self._kit:
                headers = headers_provided(self._kit.headers, self._kit.context)
                self._process_state.change("headers", headers)
            self._point_at(address, run_id)
        return run

    def _end(self, run_id: str, status: str) -> None:
        self._deactivate(status)
        self._active.pop(run_id, None)
        if run := self._runs.pop(run_id, None):
            try:
                run.finish(status)
            finally:
                self._process_state.leave()

    def _deactivate(self, status: str) -> None:
        if deactivate := self._thread.__dict__.pop("deactivate", None):
            deactivate(status)

    def _end_at_exit(self) -> None:
        """End open runs when a script is stopped, while MLflow can still start threads."""
        if not self._ends_at_exit:
            self._ends_at_exit = True
            before_thread_pools_end(self.end_open_runs)
            # Before it exits Python looks once more at all objects, MLflow's half million included.
            atexit.register(gc.freeze)


def _config_of(context: "KedroContext") -> "KedroMlflowConfig":
    from .config import read_config

    return read_config(context, Path(context.project_path))
