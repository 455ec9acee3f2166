"""What ParallelRunner's worker processes need before they run a node."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..config import RequestHeaderProviderOptions
from ..mlflow_internals import send_with_catalog

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog

_NAMES = ("project_path", "env", "runtime_params")


@dataclass(frozen=True)
class WorkerKit:
    """What a worker that was not forked cannot know: it reaches it through a pipe, never a file.

    Attributes:
        package: the project's package.
        run_params: what Kedro tells its hooks of the run: project, environment and parameters.
        headers: what gives headers to MLflow's calls.
        secrets: the values that are masked in the log.
    """

    package: str
    run_params: Mapping[str, Any]
    headers: RequestHeaderProviderOptions
    secrets: frozenset[str]

    def context(self) -> "KedroContext":
        """Make Kedro's context anew, as the parent's is."""
        from kedro.framework.session import KedroSession

        return KedroSession.create(
            save_on_close=False, **{name: self.run_params[name] for name in _NAMES}
        ).load_context()

    def __reduce__(self) -> tuple[Any, ...]:
        params = {name: self.run_params[name] for name in _NAMES}
        return _unpack, (self.package, params, self.headers, self.secrets)


def send_along(kit: WorkerKit, catalog: "DataCatalog") -> None:
    """Let workers unpack the kit before they run a node.

    Kedro 1.7 means to load the project's settings, hooks included, in `Task.execute`, but asks for
    the project's name in the worker, where nobody has set it: no hook is called there. What it
    sends to a worker is node and catalog.
    """
    send_with_catalog(catalog, "_worker_kit", kit)


def _unpack(package: str, *rest: Any) -> WorkerKit:
    from kedro.framework import project

    kit = WorkerKit(package, *rest)
    # Not `configure_project`, which sets the name: then Kedro would configure its logging by that
    # very logging, without end.
    if project.PACKAGE_NAME is None and not project.settings.configured:
        project.settings.configure(f"{package}.settings")
    for hook in project.settings.HOOKS:
        if equip := getattr(hook, "equip", None):
            equip(kit)
    return kit
