"""The user's own calls of MLflow inside nodes: they find the tracked run active.

MLflow keeps the active run per thread. It is put on MLflow's stack of active runs before a node and
taken off after it: `mlflow.start_run(run_id=…)` would set the run's status at each node, and only
`mlflow.end_run`, which ends the run, undoes it.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import mlflow_internals
from ..project import PACKAGE, PACKAGE_FOLDER, TEMPLATE_FOLDER
from .capture.nodes import undecorated

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline
    from mlflow.entities import Run

# Kedro's settings name MLflow's configuration file.
_SETTINGS = PACKAGE_FOLDER / "settings.py"
_IMPORT = re.compile(rb"""\bimport\b.*\bmlflow\b|\bfrom\s+mlflow\b|["']mlflow\b""")
_FILE = "active_run.json"


@dataclass(frozen=True)
class RunAddress:
    """Where a run and its child runs are; worker processes read it from a file in its journal."""

    tracking_uri: str
    registry_uri: str | None
    run_ids: Mapping[str, str]  # The run's own under "", those of child runs by their namespaces.

    def save(self, folder: Path) -> None:
        """Write the ids; not the URIs, which may hold a password and are in the environment."""
        (folder / _FILE).write_text(json.dumps(self.run_ids), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "RunAddress | None":
        """Read it; there is none where nodes do not use MLflow."""
        path = folder / _FILE
        if not path.is_file():
            return None
        run_ids = json.loads(path.read_text(encoding="utf-8"))
        uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        return cls(uri, os.environ.get("MLFLOW_REGISTRY_URI"), run_ids)

    def fetch(self) -> "dict[str, Run]":
        """Ask MLflow for the runs, by their namespaces; there are none if it does not answer."""
        import mlflow

        client = mlflow.MlflowClient(self.tracking_uri, self.registry_uri)
        try:
            return {namespace: client.get_run(run_id) for namespace, run_id in self.run_ids.items()}
        except (mlflow.MlflowException, OSError):
            return {}


def uses_mlflow(pipeline: "Pipeline") -> bool:
    """Return whether a node may call MLflow itself: some source text of the project's imports it.

    That is text of the package's modules, whether loaded yet or not (a node may import one when it
    runs), and of what is loaded of other packages that node functions come from. A function typed
    into a notebook may do anything.
    """
    files = {
        path
        for path in PACKAGE_FOLDER.rglob("*.py")
        if path != _SETTINGS and not path.is_relative_to(TEMPLATE_FOLDER)
    }
    functions = (undecorated(node.func) for node in pipeline.nodes)
    packages = {
        str(getattr(function, "__module__", None) or type(function).__module__).partition(".")[0]
        for function in functions
    }
    if "__main__" in packages and not hasattr(sys.modules["__main__"], "__file__"):
        return True
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name.partition(".")[0] in packages - {PACKAGE} and file and file.endswith(".py"):
            files.add(Path(file))
    return any(_IMPORT.search(path.read_bytes()) for path in files)


def pointed_at(address: RunAddress, run: "Run | None") -> AbstractContextManager[None]:
    """Let the process's MLflow calls go where the run is: URIs and experiment.

    Also while the server does not answer and there is no run yet: they fail then, but a stray run
    in a database of the working directory would never be found.

    Environment variables that this changes are the caller's to put back.
    """
    # A child run that a node starts would continue this run instead.
    os.environ.pop("MLFLOW_RUN_ID", None)
    experiment_id = run.info.experiment_id if run else None
    return mlflow_internals.pointed_at(address.tracking_uri, address.registry_uri, experiment_id)


def activate(run: "Run") -> Callable[[str], None]:
    """Make a run MLflow's active one in this thread, and return how to undo that.

    Undoing it ends child runs that are still open with the status that it is given.
    """
    import mlflow

    stack = mlflow_internals.active_runs()
    before = list(stack)
    ours = mlflow.ActiveRun(run)
    stack[:] = [ours]

    def undo(status: str) -> None:
        while stack and stack[-1] is not ours:
            with suppress(Exception):  # The pipeline does not depend on the server.
                mlflow.end_run(status)
        stack[:] = before

    return undo
