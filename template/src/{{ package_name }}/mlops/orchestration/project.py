"""The project as `kedro run` would see it, for a process that runs none of its nodes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from kedro import __version__ as kedro_version
from kedro.framework.session import KedroSession
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from ..backend.access import accessible
from ..config import KedroMlflowConfig
from ..errors import TrackingError
from ..project import registered_pipelines
from ..redaction import KNOWN, credential_values, secret_values
from ..tracking.capture.values import plain


@dataclass(frozen=True)
class OpenedProject:
    """A project, opened for pipelines and parameters."""

    config: KedroMlflowConfig
    run_params: Mapping[str, Any]  # As Kedro passes them to its hooks.
    pipeline: Pipeline
    catalog: DataCatalog


@contextmanager
def opened(
    path: Path, env: str | None, pipelines: Sequence[str], params: Mapping[str, Any]
) -> Iterator[OpenedProject]:
    """Open a project, with access to its MLflow meanwhile; a TrackingError says what is wrong."""
    session = KedroSession.create(path, save_on_close=False, env=env, runtime_params=dict(params))
    context = session.load_context()
    with accessible(context, path) as config:
        with suppress(Exception):  # There is no credentials.yml.
            KNOWN.add(credential_values(context.config_loader["credentials"]))
        KNOWN.add(secret_values(plain(dict(context.params)), config.redaction.patterns))
        run_params = {
            "run_id": session.session_id,
            "project_path": path.as_posix(),
            "env": context.env,
            "kedro_version": kedro_version,
            "pipeline_names": list(pipelines) or None,
            "runtime_params": dict(params),
            "runner": None,
        }
        catalog = cast("DataCatalog", context.catalog)
        yield OpenedProject(config, run_params, pipeline_of(pipelines), catalog)


def pipeline_of(names: Sequence[str]) -> Pipeline:
    """Return the project's pipelines of these names as one; the default one if there are none."""
    found, pipelines = Pipeline([]), registered_pipelines(*names)
    for name in names or ["__default__"]:
        if name not in pipelines:
            near = get_close_matches(name, pipelines)
            meant = f" Did you mean '{near[0]}'?" if near else ""
            raise TrackingError(
                f"The project has no pipeline '{name}' (it has: {', '.join(pipelines)}).{meant}"
            )
        found += pipelines[name]
    return found
