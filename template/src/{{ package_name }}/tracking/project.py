"""What the project is called and where its pipelines are: the hook's own place in it tells."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import TrackingError

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline

PACKAGE = __name__.rpartition(".tracking.")[0]
PACKAGE_FOLDER = Path(__file__).parents[1]


def registered_pipeline(name: str, key: str) -> "Pipeline":
    """Make a pipeline of the project by its name in pipeline_registry.py.

    Args:
        name: the pipeline's name.
        key: the key of mlflow.yml that gives this name, for the error's sake.

    Raises:
        TrackingError: no pipeline has this name.
    """
    pipelines: dict[str, Pipeline] = import_module(
        f"{PACKAGE}.pipeline_registry"
    ).register_pipelines()
    if name not in pipelines:
        raise TrackingError(
            f"mlflow.yml: {key} names the pipeline '{name}', which pipeline_registry.py does not "
            f"have (it has: {', '.join(pipelines)})."
        )
    return pipelines[name]
