"""The runner in Kedro's documentation of Dask, in its words but for the processes it starts."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import Any

from distributed import Client, as_completed
from kedro.framework.hooks.manager import (
    _create_hook_manager,
    _register_hooks,
    _register_hooks_entry_points,
)
from kedro.framework.project import settings
from kedro.runner import AbstractRunner
from kedro.runner.task import Task


class DaskRunner(AbstractRunner):
    """Submits each node with the catalog, and waits for all."""

    def __init__(self, n_workers: int = 2, is_async: bool = False) -> None:
        super().__init__(is_async=is_async)
        Client(n_workers=n_workers, threads_per_worker=1)

    def _get_executor(self, max_workers: int) -> None:
        return None

    @staticmethod
    def _run_node(
        node: Any, catalog: Any, is_async: bool = False, run_id: str | None = None, *before: Any
    ) -> Any:
        hook_manager = _create_hook_manager()
        _register_hooks(hook_manager, settings.HOOKS)
        _register_hooks_entry_points(hook_manager, settings.DISABLE_HOOKS_FOR_PLUGINS)
        return Task(node, catalog, is_async, hook_manager, run_id).execute()

    def _run(
        self, pipeline: Any, catalog: Any, hook_manager: Any = None, run_id: str | None = None
    ) -> None:
        nodes = pipeline.nodes
        load_counts = Counter(chain.from_iterable(node.inputs for node in nodes))
        futures: dict[Any, Any] = {}
        client = Client.current()
        for node in nodes:
            before = (futures[other] for other in pipeline.node_dependencies[node])
            futures[node] = client.submit(
                DaskRunner._run_node, node, catalog, self._is_async, run_id, *before
            )
        completed = as_completed(futures.values(), with_results=True)
        for number, (_, node) in enumerate(completed):
            self._logger.info("Completed node: %s", node.name)
            self._logger.info("Completed %d out of %d tasks", number + 1, len(nodes))
            for name in node.inputs:
                load_counts[name] -= 1
                if load_counts[name] < 1 and name not in pipeline.inputs():
                    catalog.release(name)
            for name in node.outputs:
                if load_counts[name] < 1 and name not in pipeline.outputs():
                    catalog.release(name)
