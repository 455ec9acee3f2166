"""Classes of the project's own that mlflow.yml names."""

from collections.abc import Mapping
from typing import Any

from .errors import TrackingError


def made(key: str, path: str, base: type[Any], arguments: Mapping[str, Any]) -> Any:
    """Make an object of a class that mlflow.yml names.

    Args:
        key: where it is named.
        path: package.module.Class.
        base: what the class must be derived from.
        arguments: what it takes.

    Raises:
        TrackingError: the class cannot be loaded or made, or is derived from another one.
    """
    from kedro.utils import load_obj

    named = f"mlflow.yml: {key}: '{path}'"
    try:
        kind = load_obj(path)
    except Exception as error:
        raise TrackingError(f"{named} cannot be loaded: {_first_line(error)}.") from error
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise TrackingError(f"{named} is no subclass of {base.__module__}.{base.__name__}.")
    try:
        return kind(**arguments)
    except Exception as error:
        raise TrackingError(
            f"{named} cannot be made with init_kwargs: {_first_line(error)}."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
