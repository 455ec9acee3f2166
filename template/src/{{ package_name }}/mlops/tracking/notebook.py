"""A notebook's own calls of MLflow go where its project's runs go, from whatever folder."""

import logging
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from ..backend.access import exported, headers_provided, signed_in
from ..backend.client import connect
from ..config import KedroMlflowConfig
from ..errors import TrackingError
from ..mlflow_internals import environment_restored, own_active_runs, pointed_at
from .shipping.runs import find_experiment

if TYPE_CHECKING:
    from mlflow.entities import Run

logger = logging.getLogger(__name__)


class Followed(NamedTuple):
    """What a notebook follows; kept by its shell: `%reload_kedro` imports this module again."""

    addresses: Mapping[str, str]  # By the names of MLflow's variables.
    experiment: str
    changes: ExitStack


class Notebook:
    """Where the calls of a notebook go that has loaded a project: see `pointed_at`."""

    def __init__(self, config: KedroMlflowConfig) -> None:
        self._config = config
        self.tracking_uri = config.server.uri

    def stack(self) -> "list[Run]":
        """Return the runs that the notebook itself has made active."""
        return own_active_runs()

    @cached_property
    def experiment_id(self) -> str:
        """The project's experiment, which is made if need be."""
        return find_experiment(connect(self._config.server), self._config.tracking.experiment)


def shell() -> Any:
    """Return IPython's shell if a person types into this process, in whatever notebook."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def follow(context: Any, shell: Any) -> None:
    """Let MLflow's functions go to a Kedro context's server and experiment until it loads another.

    What has no address that can be read is named; a run of the project fails of it.
    """
    before: Followed | None = getattr(shell, "kedro_mlflow", None)
    try:
        with environment_restored("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            for name, uri in before.addresses.items() if before else ():
                if os.environ.get(name) == uri:  # As if no project had been loaded before.
                    del os.environ[name]
            config: KedroMlflowConfig = context.mlflow
        login = signed_in(context, config.server)
    except TrackingError as error:
        logger.warning("%s Until then the notebook's own calls of MLflow go elsewhere.", error)
        return
    server, experiment = config.server, config.tracking.experiment.name
    addresses = {"MLFLOW_TRACKING_URI": server.uri}
    if server.mlflow_registry_uri:
        addresses["MLFLOW_REGISTRY_URI"] = server.mlflow_registry_uri
    if before and (addresses, experiment) == before[:2]:
        return  # What the notebook has chosen since, such as another experiment, stays.
    if before:
        before.changes.close()
    changes, notebook = ExitStack(), Notebook(config)
    shell.kedro_mlflow = Followed(addresses, experiment, changes)
    for change in (
        login,
        exported(addresses),
        headers_provided(server.request_header_provider, lambda: context),
        pointed_at(server.uri, server.mlflow_registry_uri, lambda has_own_run: notebook),
    ):
        changes.enter_context(change)
