"""Fixtures: this project on a copy of its own data, so that no test writes into `data/`."""

import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from kedro.config import OmegaConfigLoader
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from kedro.validation import ParameterValidator

ROOT = Path(__file__).resolve().parents[1]

# From here on `kedro.framework.project.PACKAGE_NAME` is known and the package can be imported.
package = bootstrap_project(ROOT).package_name
registry = import_module(f"{package}.pipeline_registry")


class Project:
    """The catalog, parameters and pipelines of this project, with the data below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for inputs in ("data/01_raw", "data/05_model_input"):
            shutil.copytree(ROOT / inputs, folder / inputs)
        # `conf/base` alone: what somebody has in `conf/local` must not decide a test.
        conf = OmegaConfigLoader(str(ROOT / "conf"), base_env="base", default_run_env="base")
        self.parameters: dict[str, Any] = conf["parameters"]
        self.entries: dict[str, Any] = conf["catalog"]
        for entry in self.entries.values():
            entry["filepath"] = str(folder / entry["filepath"])

    def run(
        self, name: str, *, until: str | None = None, parameters: dict[str, Any] | None = None
    ) -> Any:
        """Run a pipeline as Kedro does: check the parameters, then the data, then compute.

        Returns:
            The data set `until`, when one is named; the run then ends there.
        """
        pipeline = registry.register_pipelines()[name]  # anew: a test may have changed the code
        changed = parameters or {}
        raw = {key: {**group, **changed.get(key, {})} for key, group in self.parameters.items()}
        checked = ParameterValidator({name: pipeline}).validate_raw_params(raw)

        catalog = DataCatalog.from_config(self.entries)
        for key, value in checked.items():
            catalog[f"params:{key}"] = MemoryDataset(value, copy_mode="assign")
        if until is None:
            SequentialRunner().run(pipeline, catalog)
            return None
        outputs = SequentialRunner().run(pipeline.to_outputs(until), catalog)
        return outputs[until].load()

    def load(self, name: str) -> Any:
        """Load a data set that a run has written."""
        return DataCatalog.from_config(self.entries).load(name)

    def file(self, name: str) -> Path:
        """The file of a data set."""
        return Path(self.entries[name]["filepath"])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """This project, with its data copied to a folder of the test."""
    return Project(tmp_path)
