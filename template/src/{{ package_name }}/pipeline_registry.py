"""The pipelines of this project, by the names `kedro run --pipelines` knows them."""

from importlib import import_module
from pkgutil import iter_modules

from kedro.pipeline import Pipeline

from . import pipelines


def register_pipelines() -> dict[str, Pipeline]:
    """Find what `pipelines/` holds: each package with `create_pipeline`. `kedro run` alone trains.

    Kedro's `find_pipelines()` does the same, and takes the served model longer to import.
    """
    found: dict[str, Pipeline] = {}
    for module in iter_modules(pipelines.__path__):
        package = import_module(f"{pipelines.__name__}.{module.name}") if module.ispkg else None
        if create_pipeline := getattr(package, "create_pipeline", None):
            found[module.name] = create_pipeline()
    return {**found, "__default__": found["training"]}
