"""MLflow's client, and what its errors mean; the process's own URIs stay as they are."""

import logging
import os
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException, responses
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from ..config import PlaceOptions
from ..disk import refusal
from ..errors import TrackingError, one_line
from ..mlflow_internals import answered_status, import_mlflow, quieten_mlflow
from ..project import is_database, is_server
from ..redaction import mask, mask_text
from .databases import UnreachableError, creation, why_closed
from .pages import public

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.store.entities import PagedList

_T = TypeVar("_T")

_SECONDS_TO_ANSWER = 5
_PAGE = 100
_UNAUTHENTICATED = 401
# Not now: the request took too long, came too early, or there are too many.
_NOT_NOW = (408, 425, 429)
_NOT_IMPLEMENTED = 501
# Where the errors of object stores' own clients are defined.
_STORES = ("azure", "boto3", "botocore", "google", "s3transfer")
# Is in every error about a certificate, of whatever library.
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"

_VARIABLES = {
    # MLflow's own retries add up to minutes without a word and without a stop; the shipper has
    # retries of its own.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    # Our own lines have the address of a run's page, and no password of the tracking URI.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A bar for each model that a managed service or an object store takes.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def connect(server: PlaceOptions) -> "MlflowClient":
    """Open a client of the tracking server and the registry that mlflow.yml names.

    Raises UnreachableError for a database that does not open; a server is not asked.
    """
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
    import_mlflow()
    import mlflow

    quieten_mlflow()
    uri, registry_uri = server.uri, server.registry_uri
    if not (is_database(uri) or is_server(uri)):
        # What MLflow has for managed services reads the process's own tracking URI, whatever the
        # client's is: SageMaker's signature, the model that Unity Catalog registers.
        os.environ.setdefault("MLFLOW_TRACKING_URI", uri)
    with ExitStack() as databases:
        for database, table in {registry_uri: "alembic_version", uri: "experiments"}.items():
            if is_database(database):
                databases.enter_context(creation(database, table))
        return mlflow.MlflowClient(uri, registry_uri)


def is_reachable(server: PlaceOptions) -> bool:
    """Ask a tracking server whether it is well; a database cannot be asked."""
    uri = public(server.uri)  # urlopen takes no user and password in it.
    if not is_server(uri):
        return False
    try:
        with urlopen(f"{uri.rstrip('/')}/health", timeout=_SECONDS_TO_ANSWER):
            return True
    except HTTPError as answer:
        return answer.code < 500
    except URLError as error:
        # A server is there if it asks for a certificate, which MLflow has and this call does not.
        return isinstance(error.reason, ssl.SSLError)
    except (OSError, HTTPException):
        return False


def require_reachable(server: PlaceOptions) -> None:
    """Raise a TrackingError, within seconds, if the tracking server or database does not answer."""
    uri = server.uri
    reason = why_closed(uri) if is_database(uri) else None
    if reason or (is_server(uri) and not is_reachable(server)):
        raise TrackingError(
            f"MLflow at {mask('', uri)} cannot be reached{f' ({reason})' if reason else ''}. Start "
            "it, or set shipping.on_unreachable to 'offline' in mlflow.yml to run without it."
        )


def pages(search: "Callable[..., PagedList[_T]]", *args: Any, **kwargs: Any) -> Iterator[_T]:
    """Yield what a search of MLflow's client finds, page by page: it may not fit into memory."""
    page = search(*args, max_results=_PAGE, **kwargs)
    yield from page
    while page.token:
        page = search(*args, max_results=_PAGE, page_token=page.token, **kwargs)
        yield from page


# --- What errors mean ---


def is_transient(error: Exception) -> bool:
    """Return whether the same call may succeed later: no answer, 408, 429, a server's own 5xx."""
    if _UNTRUSTED in str(error):
        return False
    if _is_of_a_store(error):
        return True
    if status := _status_of(error):
        return status in _NOT_NOW or (status >= 500 and status != _NOT_IMPLEMENTED)
    # What `requests` raises for lost connections and time-outs is an OSError, as Python's own are;
    # the disk's errors are OSErrors with a number: a file that is missing will not come again.
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return isinstance(error, OSError) and (error.errno is None or refusal(error) is not None)


def is_final(error: Exception) -> bool:
    """Return whether a call is refused for ever: not where a password is missing."""
    if _UNTRUSTED in str(error) or _is_of_a_store(error):
        return False
    return _status_of(error) != _UNAUTHENTICATED


def is_missing(error: BaseException | None) -> bool:
    """Return whether MLflow has no such thing; the database store calls it an invalid value."""
    code = getattr(error, "error_code", None)
    return code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE")


def if_exists(ask: Callable[..., _T], *names: str) -> _T | None:
    """Return what a call of MLflow's client returns, or None if MLflow has no such thing."""
    try:
        return ask(*names)
    except Exception as error:
        if is_missing(error):
            return None
        raise


def reason_of(error: BaseException) -> str:
    """Say in a line, without secrets, why a call has failed."""
    status = _status_of(error)
    if status == _UNAUTHENTICATED:
        return "it does not let you in: `uv run kedro mlflow doctor` says why"
    answer = re.search(r"failed with error code \d+.*?Response body: '(.*)'", str(error), re.S)
    if status and (answer or isinstance(error, OSError)):  # The latter is what `requests` raises.
        text = " ".join(answer[1].split()) if answer else ""
        return mask_text(f"it answers: {text or f'{status} {responses.get(status)}'}")
    if _UNTRUSTED in str(error):
        return (
            "its certificate is not trusted: name the file of its authority in "
            "MLFLOW_TRACKING_SERVER_CERT_PATH"
        )
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, UnreachableError):
            return str(cause)
        if isinstance(cause, OSError) and cause.errno is None:
            return "it does not answer"
        if of_the_driver := getattr(cause, "orig", None):  # SQLAlchemy's cause.
            error = of_the_driver
            break
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return one_line(error)


def _status_of(error: BaseException) -> int | None:
    """Return the status that a server has answered, or that MLflow's exception stands for."""
    if status := answered_status(error):
        return status
    # Not by its class: another sink's thread may be importing MLflow just now, and importing a part
    # of it meanwhile leaves both with half a module.
    status_of = getattr(error, "get_http_status_code", None)
    return int(status_of()) if status_of else None


def _is_of_a_store(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in _STORES


@contextmanager
def mlflow_elsewhere(uri: str) -> Iterator[None]:
    """Let what a model logs by itself while it is tried belong to no run."""
    import mlflow

    with TemporaryDirectory() as scratch:
        mlflow.set_tracking_uri(f"sqlite:///{scratch}/mlflow.db")
        mlflow.tracing.disable()
        try:
            yield
        finally:  # This enables tracing, too; enabled before, it would make tables over there.
            mlflow.set_tracking_uri(uri)


@contextmanager
def muted(logger_name: str) -> Iterator[None]:
    """Silence a logger of another library, errors aside."""
    logger = logging.getLogger(logger_name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
