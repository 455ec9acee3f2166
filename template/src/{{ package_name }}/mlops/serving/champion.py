"""The version to serve: the registry's champion at the time, or the model in a folder."""

import asyncio
import re
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from ..backend.access import exported
from ..config import KedroMlflowConfig, read_config
from ..errors import TrackingError
from ..registry.digest import NOTE
from ..registry.versions import download, find_version
from .server import ServedVersion, Supervisor, in_thread, say

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

# Variables without a default, by which a mlflow.yml says where MLflow is and how to sign in.
_NEEDED = re.compile(r"\$\{oc\.env:\s*(\w+)\s*\}")


def find(config: KedroMlflowConfig) -> "ModelVersion":
    """Ask the registry for the champion of the model that mlflow.yml names."""
    if config.model is None:
        raise TrackingError("mlflow.yml names no model to serve: set model.name.")
    return find_version(config.model.name, config.server)


def fetch(version: "ModelVersion", config: KedroMlflowConfig) -> ServedVersion:
    """Download a version's files, unless they are on this machine."""
    folder = download(version, config.server)
    return ServedVersion(str(version.name), str(version.version), folder)


async def follow(supervisor: Supervisor, config: KedroMlflowConfig, scratch: Path) -> None:
    """Let the supervisor serve each new champion, for ever.

    One that cannot be served is left alone until another one has been the champion. Downloads, in
    the folder `scratch`, are removed once they are not served.
    """

    def drop(version: ServedVersion) -> None:
        if version.folder.is_relative_to(scratch):
            shutil.rmtree(version.folder, ignore_errors=True)

    last_seen = None
    is_away = False
    while True:
        await asyncio.sleep(config.serving.poll_seconds)
        try:
            champion = await in_thread(partial(find, config))
            version, served = str(champion.version), supervisor.served
            if served and version not in (served.version, last_seen):
                new = await in_thread(partial(fetch, champion, config))
                if not await supervisor.change(new, partial(drop, served)):
                    drop(new)
            last_seen = version
            is_away = False
        except Exception as error:
            if not is_away:
                say(f"No new champion: {error} {supervisor.served} is still served.")
            is_away = True


def packed_model(folder: Path, config: KedroMlflowConfig) -> ServedVersion:
    """Return the version that a folder holds, by the note that MLflow leaves in its downloads."""
    try:
        model = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise TrackingError(f"--model {folder}: there is no model (no file MLmodel).") from error
    note = folder / NOTE
    known = yaml.safe_load(note.read_text(encoding="utf-8")) if note.is_file() else {}
    name = known.get("model_name") or (config.model.name if config.model else folder.name)
    version = known.get("model_version") or model.get("model_id") or model.get("run_id")
    return ServedVersion(str(name), str(version or "unknown"), folder.absolute())


def config_without_registry(project_path: Path, env: str | None) -> KedroMlflowConfig:
    """Read mlflow.yml where no address of a registry is known, as in a container with its model."""
    from kedro.framework.project import settings
    from kedro.framework.session import KedroSession

    files = (project_path / settings.CONF_SOURCE).rglob("mlflow*.y*ml")
    texts = " ".join(path.read_text(encoding="utf-8") for path in files)
    with exported(dict.fromkeys(_NEEDED.findall(texts), "unused")):
        session = KedroSession.create(project_path, save_on_close=False, env=env)
        return read_config(session.load_context(), project_path)
