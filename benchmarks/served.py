"""The models that are compared in a process and over HTTP, each with what runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import project, workload
from .measure import Command, clean_environment, run
from .project import Project

_OURS = "mlartifacts/models/*/artifacts/pyfunc_code.py"
INSTANCES = "data/05_model_input/instances.csv"
_THEIRS = "mlruns/*/models/*/artifacts/MLmodel"


@dataclass(frozen=True)
class Models:
    """The same prediction in four models.

    Attributes:
        place: the project that has registered ours, and the environment of all but theirs.
        ours: the registered model.
        plain: the functions of its pipeline in a pyfunc.
        bare: its regressor alone, saved by MLflow's own flavor for scikit-learn.
        their_place: the same project with kedro-mlflow in place of the template's hook.
        theirs: the model that it has logged.
    """

    place: Project
    ours: Path
    plain: Path
    bare: Path
    their_place: Project
    theirs: Path

    @property
    def rows(self) -> Path:
        """A file of rows that may be predicted for."""
        return self.place.folder / INSTANCES


def trained(rendered: Project) -> Models:
    """Train both projects and save what else is compared."""
    place, their_place = rendered.copy("ours-served"), with_kedro_mlflow(rendered, "theirs-served")
    for each in (place, their_place):
        run(Command([each.programs / "kedro", "run"], each.folder))
    ours = registered(place)
    folder = project.BENCH / "saved-models"
    shutil.rmtree(folder, ignore_errors=True)
    script = Path(__file__).with_name("save_models.py")
    save: list[str | Path] = [
        place.programs / "python",
        script,
        ours,
        rendered.package.name,
        folder,
    ]
    subprocess.run(save, cwd=place.folder, env=clean_environment(os.environ), check=True)
    theirs = _only(their_place, _THEIRS)
    return Models(place, ours, folder / "plain", folder / "bare", their_place, theirs)


def with_kedro_mlflow(rendered: Project, name: str) -> Project:
    """The default project under kedro-mlflow, which logs the inference pipeline as a model."""
    made = workload.under_kedro_mlflow(rendered, rendered.bare(name), "sqlite:///mlflow.db")
    registry = made.package / "pipeline_registry.py"
    shutil.copyfile(Path(__file__).with_name("baseline_pipelines.py"), registry)
    return made


def registered(place: Project) -> Path:
    """The folder of the one model that a project has registered in itself."""
    return _only(place, _OURS)


def _only(place: Project, pattern: str) -> Path:
    (found,) = place.folder.glob(pattern)
    return found.parent
