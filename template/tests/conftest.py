"""Fixtures: this project on the small tables of `tests/data/`, in a folder of the test.

A data set reads the file of its name there: `records` reads `records.csv`. The tests need no other
data, and write nothing into `data/`.
"""

import shutil
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from kedro.framework.context import KedroContext
from kedro.framework.project import pipelines, settings
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner

ROOT = Path(__file__).resolve().parents[1]

# From here on the package can be imported.
package = bootstrap_project(ROOT).package_name
schemas = import_module(f"{package}.pipelines.schemas")


class Project:
    """The pipelines and the configuration of this project, with all its files below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries = {name: self._here(entry) for name, entry in conf()["catalog"].items()}
        for table in (ROOT / "tests" / "data").iterdir():
            self.file(table.stem).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(table, self.file(table.stem))
        if not self.file("instances").exists():
            self.save("instances", instances_of(self.load("records")))

    def _here(self, entry: Any) -> Any:
        """Move a catalog entry's file into the folder, also one of another machine."""
        if not (isinstance(entry, dict) and "filepath" in entry):
            return entry
        path = entry["filepath"].rpartition("://")[2].lstrip("/")
        moved = {**entry, "filepath": (self.folder / path).as_posix()}
        return {key: value for key, value in moved.items() if key != "credentials"}

    def catalog(self, parameters: dict[str, Any] | None = None) -> Any:
        """Kedro's catalog, with parameters that are checked and data that will be."""
        loader = conf(parameters)
        loader["catalog"] = deepcopy(self.entries)
        return KedroContext(self.folder, loader, None, package, Mock()).catalog

    def run(
        self, name: str, *, until: str | None = None, parameters: dict[str, Any] | None = None
    ) -> Any:
        """Run a pipeline as Kedro does: check the parameters, then the data, then compute.

        Returns:
            The data set `until`, when one is named; the run then ends there.
        """
        pipeline, catalog = pipelines[name], self.catalog(parameters)
        if until is None:
            SequentialRunner().run(pipeline, catalog)
            return None
        return SequentialRunner().run(pipeline.to_outputs(until), catalog)[until].load()

    def train(self) -> None:
        """Fit what inference reads, and no more."""
        training = pipelines["training"]
        fitted = training.all_outputs() & pipelines["inference"].inputs()
        SequentialRunner().run(training.to_outputs(*fitted), self.catalog())

    def predict(self) -> Any:
        """Run inference; its predictions."""
        self.run("inference")
        return self.load("predictions")

    def load(self, name: str) -> Any:
        """Load a data set; its schema is checked."""
        return self.catalog().load(name)

    def save(self, name: str, data: Any) -> None:
        """Save a data set, whatever its schema says."""
        entry = {key: value for key, value in self.entries[name].items() if key != "validator"}
        DataCatalog.from_config({name: entry}).save(name, data)

    def file(self, name: str) -> Path:
        """The file of a data set."""
        return Path(self.entries[name]["filepath"])


def conf(parameters: dict[str, Any] | None = None) -> Any:
    """The configuration, of `conf/base` alone: what is in `conf/local` must not decide a test."""
    options = settings.CONFIG_LOADER_ARGS
    source = str(ROOT / "conf")
    return settings.CONFIG_LOADER_CLASS(
        source, env=options["base_env"], runtime_params=parameters, **options
    )


def instances_of(records: Any) -> Any:
    """What inference gets to see of records: the columns of `schemas.Instances`."""
    columns = schemas.Instances.to_schema().columns
    return records[[name for name in records.columns if name in columns]]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """This project, with the tables of `tests/data/` in a folder of the test."""
    return Project(tmp_path)
