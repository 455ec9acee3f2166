"""Where the model comes from: the registry that mlflow.yml names, or a folder."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from ..backend.access import exported
from ..config import KedroMlflowConfig, read_config
from ..errors import TrackingError
from ..registry.versions import download, find_version
from .supervisor import ServedVersion

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

# What a mlflow.yml of the template reads of the environment to say where models are registered.
_PLACES = dict.fromkeys(("MLFLOW_TRACKING_URI", "MLFLOW_DEFAULT_ARTIFACT_ROOT"), "unused")


class ModelRegistry:
    """The registry of a project."""

    def __init__(self, config: KedroMlflowConfig, scratch: Path) -> None:
        """Take where it is.

        Args:
            config: mlflow.yml.
            scratch: where files that are fetched are put.

        Raises:
            TrackingError: mlflow.yml names no model.
        """
        if config.model is None:
            raise TrackingError("mlflow.yml names no model to serve: set model.name.")
        self._name = config.model.name
        self._server = config.server
        self._scratch = scratch

    def champion(self) -> "ModelVersion":
        """Find the version that is the champion.

        Raises:
            TrackingError: there is none yet, or the registry does not say.
        """
        return find_version(self._name, self._server)

    def fetch(self, version: "ModelVersion") -> ServedVersion:
        """Bring its files to this machine, unless they are here.

        Raises:
            TrackingError: they are not where the registry says.
        """
        folder = download(version, self._server)
        return ServedVersion(str(version.name), str(version.version), folder)

    def drop(self, version: ServedVersion) -> None:
        """Remove files that were brought."""
        if version.folder.is_relative_to(self._scratch):
            shutil.rmtree(version.folder, ignore_errors=True)


def packed_model(folder: Path, config: KedroMlflowConfig) -> ServedVersion:
    """Tell what a folder holds, by the note that MLflow leaves in what it fetches.

    Raises:
        TrackingError: it holds no model.
    """
    try:
        model = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise TrackingError(f"--model {folder}: there is no model (no file MLmodel).") from error
    note = folder / "registered_model_meta"
    known = yaml.safe_load(note.read_text(encoding="utf-8")) if note.is_file() else {}
    name = known.get("model_name") or (config.model.name if config.model else folder.name)
    version = known.get("model_version") or model.get("model_id") or model.get("run_id")
    return ServedVersion(str(name), str(version or "unknown"), folder.absolute())


def config_without_places(project_path: Path, env: str | None) -> KedroMlflowConfig:
    """Read mlflow.yml where nothing of the registry is known, as in a container with its model."""
    from kedro.framework.session import KedroSession

    with exported(_PLACES):
        session = KedroSession.create(project_path, save_on_close=False, env=env)
        return read_config(session.load_context(), project_path)
