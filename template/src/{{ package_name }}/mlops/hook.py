"""The hook: receives Kedro's events and passes them to the run that they belong to."""

import atexit
import gc
import json
import os
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from .errors import TrackingError
from .mlflow_internals import (
    ask_for_all_pipelines,
    autologging_off,
    before_thread_pools_end,
    tasks_watched,
    tell_runs_apart,
)
from .project import PACKAGE_FOLDER, State, require_environment
from .redaction import KNOWN, credential_values, mask_error, redacted_log, secret_values
from .tracking import process
from .validation import refuse_in_words

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node
    from kedro.runner import Task

    from .config import KedroMlflowConfig
    from .tracking import RunListener
    from .tracking.active_run import FindIds
    from .tracking.attempt import Captured
    from .tracking.capture import RunCapture
    from .tracking.progress import NodeProgress
    from .tracking.run import TrackedRun

# The journals of the runs under way by their run ids, for worker processes, forked or spawned.
_JOURNALS = "KEDRO_MLFLOW_JOURNALS"


class MlflowHook:
    """Tracks each Kedro run as one MLflow run.

    State is kept by Kedro's run id and dropped when the run ends: several runs, one after another
    or at once, live in one process. A run begins before other hooks are told, and ends after them.
    """

    def __init__(self) -> None:
        refuse_in_words()
        # Kedro makes a run's context and starts the run in one and the same thread.
        self._thread = threading.local()
        self._runs: dict[str, TrackedRun] = {}
        # What a worker process captures of its parent's runs.
        self._joined: dict[str, RunCapture] = {}
        self._joining = threading.RLock()
        # What a worker's threads capture of one node each.
        self._attempts: dict[int, RunCapture] = {}
        self._process_state = process.ProcessState()
        # What it was given for that, by run: several may send nodes to one worker.
        self._kits: dict[str, process.WorkerKit] = {}
        self._ends_at_exit = False
        tell_runs_apart()

    @hook_impl
    def after_context_created(self, context: "KedroContext") -> None:
        """Remember the context, and give it ``context.mlflow``: mlflow.yml, read when asked for."""
        require_environment(getattr(context, "config_loader", None))
        ask_for_all_pipelines()
        self._thread.context, self._thread.secrets = context, None
        if not hasattr(type(context), "mlflow"):
            config = cached_property(_config_of)
            config.__set_name__(type(context), "mlflow")
            type(context).mlflow = config  # type: ignore[attr-defined]
        if "IPython" in sys.modules:
            from .tracking import notebook

            if shell := notebook.shell():
                notebook.follow(context, shell)

    @hook_impl
    def after_catalog_created(
        self, conf_catalog: dict[str, Any], conf_creds: dict[str, Any]
    ) -> None:
        """Remember the values of secrets, for the run that this thread begins next."""
        self._thread.secrets = credential_values(conf_creds) | secret_values(conf_catalog)

    def secrets(self) -> set[str]:
        """Return the values of secrets in the configuration that this thread has read last."""
        secrets: set[str] | None = getattr(self._thread, "secrets", None)
        if secrets is None:
            with suppress(Exception):  # There is none, or this is what has failed.
                return credential_values(self._thread.context.config_loader["credentials"])
        return secrets or set()

    @hook_impl(wrapper=True, tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: "Pipeline", catalog: "DataCatalog"
    ) -> Generator[None, Any, Any]:
        """Start the MLflow run, in the background; it fails if another hook does."""
        run_id = run_params["run_id"]
        if run_id in self._runs:
            raise TrackingError(
                f"Another run is under way as '{run_id}': give each its own run_id."
            )
        try:
            self._start(run_params, pipeline, catalog)
            return (yield)
        except Exception as error:
            self._end(run_id, "FAILED", error)
            raise

    @hook_impl(tryfirst=True)
    def before_dataset_loaded(self, dataset_name: str) -> None:
        """Note what is being loaded, for a load that fails."""
        if progress := self._progress():
            progress.starts("loading", dataset_name)

    @hook_impl(trylast=True)
    def after_dataset_loaded(self, dataset_name: str) -> None:
        """Note that it was loaded, and that no other hook has failed over it."""
        if progress := self._progress():
            progress.ends(dataset_name)

    @hook_impl(trylast=True)
    def before_node_run(
        self, node: "Node", catalog: "DataCatalog", inputs: dict[str, Any], run_id: str
    ) -> None:
        """Capture what a node reads; runs in worker processes too."""
        if run := self._find(run_id):
            run.node_called(node, inputs, catalog)
        if progress := self._progress():
            progress.work_starts()

    @hook_impl(tryfirst=True)
    def after_node_run(self, node: "Node", outputs: dict[str, Any], run_id: str) -> None:
        """Capture what the node returned; runs in worker processes too."""
        if progress := self._progress():
            progress.work_returns()
        if run := self._find(run_id):
            run.node_finished(node, outputs)

    @hook_impl(tryfirst=True)
    def before_dataset_saved(self, dataset_name: str) -> None:
        """Note what is being saved, for a save that fails."""
        if progress := self._progress():
            progress.starts("saving", dataset_name)

    @hook_impl(trylast=True)
    def after_dataset_saved(self, dataset_name: str, data: Any, node: "Node") -> None:
        """Note that it was saved, and keep a figure that the catalog has drawn."""
        if progress := self._progress():
            progress.ends(dataset_name)
            progress.run.dataset_saved(node, dataset_name, data)

    @hook_impl(wrapper=True, tryfirst=True)
    def after_pipeline_run(
        self, run_params: dict[str, Any], catalog: "DataCatalog"
    ) -> Generator[None, Any, Any]:
        """Package the model if this run has fitted it, and end the MLflow run."""
        run_id = run_params["run_id"]
        try:
            result = yield
            if run := self._runs.get(run_id):
                with process.garbage_collection_paused():
                    run.complete(catalog)
        except Exception as error:
            self._end(run_id, "FAILED", error)
            raise
        self._end(run_id, "FINISHED")
        return result

    @hook_impl(wrapper=True, tryfirst=True)
    def on_pipeline_error(
        self, error: Exception, run_params: dict[str, Any], catalog: "DataCatalog"
    ) -> Generator[None, Any, Any]:
        """End the MLflow run as failed."""
        mask_error(error)
        try:
            return (yield)
        finally:
            if run := self._runs.get(run_params["run_id"]):
                with run.journal.tolerating():
                    run.keep_artifacts(catalog)
            self._end(run_params["run_id"], "FAILED", error)

    @contextmanager
    def led_by(
        self, listeners: "Sequence[RunListener]", config: "KedroMlflowConfig"
    ) -> Iterator[None]:
        """Let runs that this thread begins meanwhile have these listeners, and this mlflow.yml."""
        self._thread.lead = listeners, config
        try:
            yield
        finally:
            self._thread.lead = None

    def end_open_runs(self) -> None:
        """End what Kedro did not: it does not tell its hooks of Ctrl-C."""
        for run_id, run in list(self._runs.items()):
            if run.process == os.getpid():
                self._end(run_id, "KILLED")

    def equip(self, kit: process.WorkerKit) -> None:
        """Take what a worker process that was not forked does not have from its parent."""
        KNOWN.add(kit.secrets)
        self._process_state.change("log", redacted_log())
        for run_id in kit.journals:  # Also for a runner that calls functions and no tasks.
            self._kits[run_id] = kit
            self._find(run_id)

    @contextmanager
    def apart(self, run_id: str) -> "Iterator[Callable[[Node, DataCatalog], Captured]]":
        """Capture what this thread's node does by itself, for the runner that gets the result.

        Yield what returns it; the worker may be on another machine.
        """
        from .tracking.attempt import Captured, captured_elsewhere, captured_here

        kit = self._kits.get(run_id)
        elsewhere = kit is not None and kit.is_elsewhere(run_id)
        with self._joining:
            if kit and run_id not in self._joined:
                self._join(run_id, kit.copy_of(run_id) if elsewhere else Path(kit.journals[run_id]))
        if (run := self._joined.get(run_id)) is None:  # The run is not tracked.
            yield lambda node, catalog: Captured()
            return
        if elsewhere:
            run.project_path = PACKAGE_FOLDER.parents[1]
        self._attempts[threading.get_ident()] = attempt = run.attempt()
        take = partial(captured_elsewhere, upload=partial(self._upload, run_id))
        try:
            yield partial(take if elsewhere else captured_here, attempt)
        finally:
            del self._attempts[threading.get_ident()]
            attempt.journal.close()

    def take(self, run_id: str, captured: "Captured") -> None:
        """Add to a run what a worker has captured apart."""
        if run := self._runs.get(run_id):
            run.take(captured)

    def leave(self, run_id: str) -> None:
        """Let a worker process, which may live on, forget a run that is over."""
        from .tracking.active_run import under_way

        if self._joined.pop(run_id, None) and (run := under_way.get(run_id)):
            run.end("FINISHED")
        if kit := self._kits.pop(run_id, None):
            kit.forget(run_id)
        if not self._joined:
            self._process_state.undo()

    def _upload(self, run_id: str, path: str, folder: str, namespace: str) -> None:
        from .backend.client import connect
        from .tracking.active_run import under_way

        ids = under_way[run_id].require_ids()
        connect(self._kits[run_id].server).log_artifact(ids.id_of(namespace), path, folder)

    def _start(
        self, run_params: dict[str, Any], pipeline: "Pipeline", catalog: "DataCatalog"
    ) -> None:
        from .registry import listeners_of
        from .tracking.active_run import under_way
        from .tracking.capture.command import options_beside
        from .tracking.start import start_run

        context, lead = self._thread.context, getattr(self._thread, "lead", None)
        config: KedroMlflowConfig = lead[1] if lead else context.mlflow
        run: TrackedRun | None = None
        self._process_state.enter()
        try:
            self._change_process(context, config, pipeline)
            state = State.of(Path(run_params["project_path"]))
            listeners = lead[0] if lead else listeners_of(config, state)
            options = options_beside(context, Path(run_params["project_path"]))
            run = start_run(config, run_params | options, pipeline, catalog, listeners)
        finally:
            if run is None:
                self._process_state.leave()
        if run is None:
            return
        run_id = run_params["run_id"]
        self._runs[run_id] = run
        journals = {key: str(each.journal.folder) for key, each in self._runs.items()}
        os.environ[_JOURNALS] = json.dumps(journals)
        self._end_at_exit()
        self._activate(run_id, run.config, run.find_ids)
        if process.runs_elsewhere(run_params):
            session = {name: run_params[name] for name in ("project_path", "env", "runtime_params")}
            secrets = frozenset(KNOWN.values)
            kit = process.WorkerKit(session, run.config.server, secrets, journals)
            # The shipper has imported all that it needs once the run is there; see start_run.
            if ids := under_way[run_id].ids():
                kit.note_ids(run_id, ids)
            kit.send_along(catalog)

    def _change_process(
        self, context: "KedroContext", config: "KedroMlflowConfig", pipeline: "Pipeline"
    ) -> None:
        """Make the changes to the process that the run needs; the last run to end undoes them."""
        from .backend.access import headers_provided, signed_in
        from .tracking.active_run import uses_mlflow
        from .tracking.capture.values import plain

        change, server = self._process_state.change, config.server
        change("garbage collection", process.thawed_afterwards())
        change("credentials", signed_in(context, server))
        change("log", redacted_log())
        KNOWN.add(self.secrets() | secret_values(os.environ))
        KNOWN.add(secret_values(plain(dict(context.params)), config.redaction.patterns))
        change("headers", headers_provided(server.request_header_provider, lambda: context))
        off = config.tracking.disable_tracking.disable_autologging
        if "mlflow" in sys.modules and off and not uses_mlflow(pipeline):
            change("autologging", autologging_off())

    def _activate(self, run_id: str, config: "KedroMlflowConfig", find_ids: "FindIds") -> None:
        """Let the run be MLflow's active one in this process, for all that happens in it."""
        from .tracking.active_run import ActiveRun
        from .tracking.inherited import mlflow_follows

        server = config.server
        follows = mlflow_follows(server.uri, server.mlflow_registry_uri)
        self._process_state.change("MLflow", follows)
        self._process_state.change("tasks", tasks_watched(self._watch))
        ActiveRun(run_id, server.uri, find_ids, config.shipping.deadline).begin()

    @contextmanager
    def _watch(self, task: "Task") -> Iterator[None]:
        """Follow a node from its first load to its last save, in whichever process it runs."""
        run = self._find(str(task.run_id))
        if run is None:
            yield
            return
        from .tracking.active_run import under_way

        if (manager := task.hook_manager) and not manager.is_registered(self):
            manager.register(self)  # An owner's runner has made a manager without the project's.
        if task.is_async and (own := self._runs.get(str(task.run_id))):
            own.runs_asynchronously()
        namespace, progress = run.namespace_of(task.node), run.node_started(task.node)
        with under_way[str(task.run_id)].in_node(namespace, progress):
            try:
                yield
            except Exception as error:
                mask_error(error)
                run.node_ended(progress, error, task.catalog)
                raise
            run.node_ended(progress)

    def _find(self, run_id: str) -> "RunCapture | None":
        """Find the run that a node belongs to; a worker process joins its parent's run first."""
        attempt = self._attempts.get(threading.get_ident())
        for run in (attempt, self._runs.get(run_id), self._joined.get(run_id)):
            if run and run.process == os.getpid():
                return run
        folder = json.loads(os.environ.get(_JOURNALS, "{}")).get(run_id)
        if kit := self._kits.get(run_id):
            folder = kit.journals[run_id]
        if folder and process.is_under_way(Path(folder)):
            return self._join(run_id, Path(folder))
        return None

    def _join(self, run_id: str, folder: Path) -> "RunCapture":
        from .backend.access import headers_provided
        from .config import KedroMlflowConfig, ServerOptions
        from .registry import listeners_of
        from .tracking.active_run import ids_in, under_way
        from .tracking.capture import RunCapture

        self._joined[run_id] = run = RunCapture.join(folder, listeners_of)
        if run_id not in under_way:  # It was not forked.
            # The URIs are in no file: they may hold a password.
            server = ServerOptions(
                mlflow_tracking_uri=os.environ.get("MLFLOW_TRACKING_URI"),
                mlflow_registry_uri=os.environ.get("MLFLOW_REGISTRY_URI"),
            )
            if kit := self._kits.get(run_id):
                server = kit.server
                self._process_state.change("environment", process.environment_kept())
                headers = headers_provided(server.request_header_provider, kit.context)
                self._process_state.change("headers", headers)
            self._activate(run_id, KedroMlflowConfig(server=server), partial(ids_in, folder))
        return run

    def _progress(self) -> "NodeProgress | None":
        """Find the node that this thread works for; where no run has begun, nothing is imported."""
        if not (self._runs or self._joined):
            return None
        from .tracking.active_run import current_scope

        scope = current_scope()
        return scope.progress if scope else None

    def _end(self, run_id: str, status: str, error: Exception | None = None) -> None:
        if run := self._runs.pop(run_id, None):
            from .tracking.active_run import under_way

            try:
                under_way[run_id].end(status)
                run.finish(status, error)
            finally:
                self._process_state.leave()

    def _end_at_exit(self) -> None:
        """End open runs when a script is stopped, while MLflow can still start threads."""
        if not self._ends_at_exit:
            from .tracking.active_run import end_all

            self._ends_at_exit = True
            before_thread_pools_end(end_all)  # They are called in reverse order.
            before_thread_pools_end(self.end_open_runs)
            # Before it exits Python looks once more at all objects, MLflow's half million included.
            atexit.register(gc.freeze)


def _config_of(context: "KedroContext") -> "KedroMlflowConfig":
    from .config import read_config

    return read_config(context, Path(context.project_path))
