"""Access to the tracking server: credentials from credentials.yml, headers from a class."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext

from ..config import (
    KedroMlflowConfig,
    RequestHeaderProviderOptions,
    ServerOptions,
    read_config,
)
from ..errors import TrackingError, one_line
from ..mlflow_internals import headers_from
from ..redaction import KNOWN, credential_values
from .preflight import require_all

# By any of these MLflow signs in.
_LOGIN = [f"MLFLOW_TRACKING_{name}" for name in ("USERNAME", "PASSWORD", "TOKEN", "AUTH")]
_URIS = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
# What commands open stays open until their process ends.
_FOR_GOOD = ExitStack()


def project_config(project_path: Path, env: str | None) -> KedroMlflowConfig:
    """Read mlflow.yml outside of a run, for a command, and give its calls access to the server."""
    from kedro.framework.session import KedroSession

    context = KedroSession.create(project_path, save_on_close=False, env=env).load_context()
    return _FOR_GOOD.enter_context(accessible(context, project_path))


@dataclass(frozen=True)
class Environment:
    """mlflow.yml of one Kedro environment, and access to its MLflow while that is entered."""

    config: KedroMlflowConfig
    admitted: Callable[[], AbstractContextManager[None]]


def environment_of(project_path: Path, env: str | None) -> Environment:
    """Read mlflow.yml of one of several Kedro environments, each with its own server and login."""
    from kedro.framework.session import KedroSession

    context = KedroSession.create(project_path, save_on_close=False, env=env).load_context()
    config = read_config(context, project_path)
    variables, hidden = login_of(context, config.server)
    provider = _provider_of(config.server.request_header_provider, lambda: context)
    # What MLflow has for managed services asks these, whatever the client's are.
    variables |= dict(zip(_URIS, (config.server.uri, config.server.registry_uri), strict=True))

    @contextmanager
    def admitted() -> Iterator[None]:
        headers = headers_from(provider) if provider else nullcontext()
        with exported(variables, (*hidden, *_URIS)), headers:
            yield

    with admitted():
        require_all(config)
    return Environment(config, admitted)


@contextmanager
def accessible(context: KedroContext, project_path: Path) -> Iterator[KedroMlflowConfig]:
    """Read a context's mlflow.yml, and give MLflow's calls access to its server meanwhile."""
    config = read_config(context, project_path)
    server = config.server
    with (
        signed_in(context, server),
        headers_provided(server.request_header_provider, lambda: context),
    ):
        require_all(config)
        yield config


def signed_in(context: KedroContext, server: ServerOptions) -> AbstractContextManager[None]:
    """Let MLflow's calls have what server.credentials says; a TrackingError if it is not there."""
    return exported(*login_of(context, server))


def login_of(context: KedroContext, server: ServerOptions) -> tuple[dict[str, str], Sequence[str]]:
    """Return what server.credentials says: variables to set, and those to hide before that.

    Variables that mlflow.yml itself has are those of this Kedro environment: they win, and no other
    login goes along with them. An entry of credentials.yml fills in what is not set.
    """
    if isinstance(given := server.credentials, dict):
        KNOWN.add(credential_values(given))
        return dict(given), [*given, *(_LOGIN if given.keys() & set(_LOGIN) else ())]
    return credentials(context, given), ()


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
def exported(variables: Mapping[str, str], hidden: Collection[str] = ()) -> Iterator[None]:
    """Set environment variables, except those that are set; those that are `hidden` are not."""
    before = {name: os.environ.pop(name) for name in set(hidden) if name in os.environ}
    missing = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)
        os.environ.update(before)


@contextmanager
def headers_provided(
    options: RequestHeaderProviderOptions, make_context: Callable[[], KedroContext]
) -> Iterator[None]:
    """Let a class of the user's give headers, such as a token that expires, to MLflow's calls."""
    provider = _provider_of(options, make_context)
    with headers_from(provider) if provider else nullcontext():
        yield


def _provider_of(
    options: RequestHeaderProviderOptions, make_context: Callable[[], KedroContext]
) -> Any:
    if options.type is None:
        return None
    from mlflow.tracking.request_header.abstract_request_header_provider import (
        RequestHeaderProvider,
    )

    key = "server.request_header_provider.type"
    extra = {"kedro_context": make_context()} if options.pass_context else {}
    return instantiate(key, options.type, RequestHeaderProvider, options.init_kwargs | extra)


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
