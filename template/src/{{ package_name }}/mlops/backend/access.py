"""Access to the tracking server: credentials from credentials.yml, headers from a class."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext

from ..config import KedroMlflowConfig, RequestHeaderProviderOptions, read_config
from ..errors import TrackingError, one_line
from ..mlflow_internals import headers_from
from .preflight import require_all

# What commands open stays open until their process ends.
_FOR_GOOD = ExitStack()


def project_config(project_path: Path, env: str | None) -> KedroMlflowConfig:
    """Read mlflow.yml outside of a run, for a command, and give its calls access to the server."""
    from kedro.framework.session import KedroSession

    context = KedroSession.create(project_path, save_on_close=False, env=env).load_context()
    return _FOR_GOOD.enter_context(accessible(context, project_path))


@contextmanager
def accessible(context: KedroContext, project_path: Path) -> Iterator[KedroMlflowConfig]:
    """Read a context's mlflow.yml, and give MLflow's calls access to its server meanwhile."""
    config = read_config(context, project_path)
    server = config.server
    with (
        exported(credentials(context, server.credentials)),
        headers_provided(server.request_header_provider, lambda: context),
    ):
        require_all(config)
        yield config


def credentials(context: KedroContext, key: str | None) -> dict[str, str]:
    """Read the environment variables that an entry of credentials.yml holds."""
    if key is None:
        return {}
    from kedro.config import MissingConfigException

    variables = None
    with suppress(MissingConfigException):
        variables = context.config_loader["credentials"].get(key)
    if not isinstance(variables, dict):
        raise TrackingError(
            f"mlflow.yml: server.credentials names '{key}', and credentials.yml has no such entry "
            "that maps environment variables to values."
        )
    return {str(name): str(value) for name, value in variables.items()}


@contextmanager
def exported(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, except those that are set."""
    missing = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


@contextmanager
def headers_provided(
    options: RequestHeaderProviderOptions, make_context: Callable[[], KedroContext]
) -> Iterator[None]:
    """Let a class of the user's give headers, such as a token that expires, to MLflow's calls."""
    if options.type is None:
        yield
        return
    from mlflow.tracking.request_header.abstract_request_header_provider import (
        RequestHeaderProvider,
    )

    key = "server.request_header_provider.type"
    extra = {"kedro_context": make_context()} if options.pass_context else {}
    provider = instantiate(key, options.type, RequestHeaderProvider, options.init_kwargs | extra)
    with headers_from(provider):
        yield


def instantiate(key: str, path: str, base: type[Any], arguments: Mapping[str, Any]) -> Any:
    """Make an object of a subclass of `base` that mlflow.yml names under a key."""
    from kedro.utils import load_obj

    named = f"mlflow.yml: {key}: '{path}'"
    try:
        kind = load_obj(path)
    except Exception as error:
        raise TrackingError(f"{named} cannot be loaded: {one_line(error).rstrip('.')}.") from error
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise TrackingError(f"{named} is no subclass of {base.__module__}.{base.__name__}.")
    try:
        return kind(**arguments)
    except Exception as error:
        reason = one_line(error).rstrip(".")
        raise TrackingError(f"{named} cannot be made with init_kwargs: {reason}.") from error
