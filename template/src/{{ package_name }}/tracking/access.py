"""Access to the tracking server: credentials from credentials.yml, headers from a class."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .classes import made
from .config import RequestHeaderProviderOptions
from .errors import TrackingError

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext


def credentials(context: "KedroContext", key: str | None) -> dict[str, str]:
    """Read the environment variables that an entry of credentials.yml holds.

    Raises:
        TrackingError: there is no such entry, or it is no dictionary.
    """
    if key is None:
        return {}
    from kedro.config import MissingConfigException

    try:
        entries = context.config_loader["credentials"]
    except MissingConfigException:
        entries = {}
    variables = entries.get(key)
    if not isinstance(variables, dict):
        raise TrackingError(
            f"mlflow.yml: server.credentials names '{key}', and credentials.yml has no such entry "
            "that maps environment variables to values."
        )
    return {str(name): str(value) for name, value in variables.items()}


@contextmanager
def headers_provided(
    options: RequestHeaderProviderOptions, make_context: Callable[[], "KedroContext"]
) -> Iterator[None]:
    """Let a class of the user's give headers, such as a token that expires, to MLflow's calls.

    Args:
        options: which class, and what it is made with.
        make_context: makes Kedro's context, if the class asks for it.

    Raises:
        TrackingError: the class cannot be loaded, made, or is none that MLflow takes.
    """
    if options.type is None:
        yield
        return
    from mlflow.tracking.request_header.abstract_request_header_provider import (
        RequestHeaderProvider,
    )
    from mlflow.tracking.request_header.registry import _request_header_provider_registry

    extra = {"kedro_context": make_context()} if options.pass_context else {}
    provider = made(
        "server.request_header_provider.type",
        options.type,
        RequestHeaderProvider,
        options.init_kwargs | extra,
    )
    registry: Any = _request_header_provider_registry
    registry.register(lambda: provider)
    try:
        yield
    finally:
        registry._registry.remove(provider)
