"""A run that only tries something: what it saves stays in the project's own folder."""

import logging
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, MemoryDataset

from ..backend.client import muted
from ..mlflow_internals import is_in_memory, storage_of
from . import RunListener, RunStart

logger = logging.getLogger(__name__)


class KeptInProject(RunListener):
    """Lets data sets that a run would save elsewhere keep their values in memory.

    A bucket, a database, another folder of this machine: what is there is somebody's.
    """

    def run_starts(self, start: RunStart) -> None:
        """Replace the data sets that the run's nodes save outside of the project."""
        project, catalog = Path(start.run_params["project_path"]), start.catalog
        for name in sorted(start.pipeline.all_outputs()):
            dataset = catalog.get(name)
            if dataset and not is_in_memory(catalog, name) and not _is_inside(dataset, project):
                logger.info("'%s' is not saved: it would be outside of this folder.", name)
                with muted("kedro.io.data_catalog"):  # It warns about an entry that is replaced.
                    catalog[name] = MemoryDataset()


def _is_inside(dataset: AbstractDataset[Any, Any], project: Path) -> bool:
    storage = storage_of(dataset, saved=True)
    if storage is None or "://" in storage.uri:
        return False
    return (project / storage.uri).resolve().is_relative_to(project.resolve())
