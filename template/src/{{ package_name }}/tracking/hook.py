"""The hook: hears Kedro's events and hands them to the run they belong to."""

import atexit
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from kedro.framework.hooks import hook_impl

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

    from .capture.recorder import RunCapture
    from .run import TrackedRun

# Tells worker processes, forked or spawned, where the runs' journals lie.
_JOURNAL_VARIABLE = "KEDRO_MLFLOW_JOURNAL"


class MlflowHook:
    """Tracks each Kedro run as one MLflow run.

    State is kept by Kedro's run id and dropped when the run ends: several runs, one after another
    or at once, live in one process.
    """

    def __init__(self) -> None:
        # Kedro makes a run's context and starts the run in one and the same thread.
        self._context = threading.local()
        self._runs: dict[str, RunCapture] = {}
        atexit.register(self._end_open_runs)

    @hook_impl
    def after_context_created(self, context: "KedroContext") -> None:
        """Remember the context: it knows mlflow.yml of the run's Kedro environment."""
        self._context.value = context

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: "Pipeline", catalog: "DataCatalog"
    ) -> None:
        """Start the MLflow run, in the background, with the parameters that the run consumes."""
        from .start import start_run

        context = self._context.__dict__.pop("value")
        if run := start_run(context, run_params, pipeline, catalog):
            os.environ[_JOURNAL_VARIABLE] = str(run.journal.folder.parent)
            self._runs[run_params["run_id"]] = run

    @hook_impl
    def after_node_run(self, node: "Node", outputs: dict[str, Any], run_id: str) -> None:
        """Capture what the node returned; runs in worker processes too."""
        if run := self._find(run_id):
            run.node_finished(node, outputs)

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], catalog: "DataCatalog") -> None:
        """Package the model if this run has fitted it, and end the MLflow run."""
        from .pipeline_model.packaging import package_if_fitted

        if run := self._started(run_params["run_id"]):
            try:
                package_if_fitted(run, catalog)
            except BaseException:
                run.finish("FAILED")
                raise
            run.finish("FINISHED")

    @hook_impl
    def on_pipeline_error(self, run_params: dict[str, Any]) -> None:
        """End the MLflow run as failed."""
        if run := self._started(run_params["run_id"]):
            run.finish("FAILED")

    def _started(self, run_id: str) -> "TrackedRun | None":
        """Give up the run that this process has started under Kedro's run id."""
        run = cast("TrackedRun | None", self._runs.pop(run_id, None))
        if not self._runs:
            os.environ.pop(_JOURNAL_VARIABLE, None)
        return run

    def _find(self, run_id: str) -> "RunCapture | None":
        """Find the run that a node belongs to; a worker process joins its parent's run first."""
        from .capture.recorder import RunCapture

        run = self._runs.get(run_id)
        if run and run.process == os.getpid():
            return run
        folder = Path(os.environ.get(_JOURNAL_VARIABLE, "")) / run_id
        if (folder / "run.json").is_file():
            self._runs[run_id] = RunCapture.join(folder)
        return self._runs.get(run_id)

    def _end_open_runs(self) -> None:
        """End what Kedro did not: it tells its hooks nothing of Ctrl-C."""
        for run_id in list(self._runs):
            if self._runs[run_id].process == os.getpid() and (run := self._started(run_id)):
                run.finish("KILLED")
