"""MLflow's client, opened without touching the process's own tracking and registry URIs."""

import logging
import os
import re
import sqlite3
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from ..config import PlaceOptions
from ..disk import refusal
from ..errors import TrackingError, one_line
from ..mlflow_internals import get_response, quieten_mlflow
from ..project import is_database, is_server
from ..redaction import mask, mask_text
from .databases import make_tables, why_closed
from .pages import public

if TYPE_CHECKING:
    from mlflow import MlflowClient

_T = TypeVar("_T")

_SECONDS_TO_ANSWER = 5


# Where the errors of object stores' own clients are defined.
_STORES = ("azure", "boto3", "botocore", "google", "s3transfer")


_NOBODY, _NO_PERMISSION = 401, 403


# Stands in every error about a certificate, by whatever library.
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"


class UnreachableError(ConnectionError):
    """There is nothing that takes a run, and the message says why."""


def connect(server: PlaceOptions) -> "MlflowClient":
    """Open a client of the tracking server and the registry that mlflow.yml names.

    Raises:
        UnreachableError: runs go into a database that does not open.
    """
    # MLflow's own retries add up to minutes in which nothing can be said or stopped; the shipper
    # has retries of its own. Who sets these variables is obeyed.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    # Our own lines tell where a run's page is, and repeat no password of the tracking URI.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # A bar for each model that a managed service or an object store takes.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    quieten_mlflow()
    uri = str(server.mlflow_tracking_uri)
    if is_database(uri):
        with suppress(OSError, sqlite3.Error):  # Of these tells what comes next.
            make_tables(uri)
        if reason := why_closed(uri):
            raise UnreachableError(reason)
    if not (is_server(uri) or is_database(uri)):
        # What MLflow has for managed services looks at the process's own tracking URI, whatever the
        # client's is: SageMaker's signature, the model that Unity Catalog registers.
        os.environ.setdefault("MLFLOW_TRACKING_URI", uri)
    return mlflow.MlflowClient(server.mlflow_tracking_uri, server.mlflow_registry_uri)


def is_reachable(server: PlaceOptions) -> bool:
    """Ask a tracking server whether it is there and well; a database cannot be asked."""
    uri = public(str(server.mlflow_tracking_uri))  # urlopen takes no user and password in it.
    if not is_server(uri):
        return False
    try:
        with urlopen(f"{uri.rstrip('/')}/health", timeout=_SECONDS_TO_ANSWER):
            return True
    except HTTPError as answer:
        return answer.code < 500
    except URLError as error:
        # Who asks for a certificate that MLflow knows and this call does not is there.
        return isinstance(error.reason, ssl.SSLError)
    except (OSError, HTTPException):
        return False


def require_answer(server: PlaceOptions) -> None:
    """Ask a tracking server whether it is there before it is asked for more.

    A call that hangs takes its whole time-out, and what it asked for may be made much later, when
    the server wakes up and nobody waits any more: a run that exists twice.

    Raises:
        ConnectionError: it does not answer.
    """
    if is_server(str(server.mlflow_tracking_uri)) and not is_reachable(server):
        raise ConnectionError("it does not answer")


def require_reachable(server: PlaceOptions) -> None:
    """Stop here, within seconds, when the tracking server or the database does not answer.

    Raises:
        TrackingError: it does not.
    """
    uri = str(server.mlflow_tracking_uri)
    reason = why_closed(uri) if is_database(uri) else None
    if reason or (is_server(uri) and not is_reachable(server)):
        raise TrackingError(
            f"MLflow at {mask('', uri)} cannot be reached{f' ({reason})' if reason else ''}. Start "
            "it, or set shipping.on_unreachable to 'offline' in mlflow.yml to run without it."
        )


def is_transient(error: Exception) -> bool:
    """Tell whether the same call may go through later: no answer, 429, or a server's own 5xx."""
    if _UNTRUSTED in str(error):
        return False
    if status := _status_of(error):
        return status == 429 or status in (500, 502, 503, 504)
    if _is_of_a_store(error):
        return True
    # What `requests` raises for lost connections and time-outs is an OSError, as Python's own are;
    # the disk's errors are OSErrors with a number: a file that is missing will not come again.
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return isinstance(error, OSError) and (error.errno is None or refusal(error) is not None)


def is_missing(error: Exception) -> bool:
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


def is_final(error: Exception) -> bool:
    """Tell whether a call is refused for ever: not where a password or a right is missing."""
    if _UNTRUSTED in str(error) or _is_of_a_store(error):
        return False
    return _status_of(error) not in (_NOBODY, _NO_PERMISSION)


def reason_of(error: BaseException) -> str:
    """Say in a line, without secrets, why a call has failed."""
    if _status_of(error) == _NOBODY:
        return "it does not let you in: `uv run kedro mlflow doctor` says why"
    if answer := re.search(r"failed with error code \d+.*?Response body: '(.*)'", str(error), re.S):
        return mask_text(f"it answers: {' '.join(answer[1].split())}")
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
        if from_database := getattr(cause, "orig", None):  # What SQLAlchemy has got to say of.
            error = from_database
            break
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return one_line(error)


def _status_of(error: BaseException) -> int | None:
    """Read the status of an exception of MLflow's."""
    # Not told by its class: another sink's thread may be importing MLflow just now, and who imports
    # a part of it meanwhile leaves both with half a module.
    status_of = getattr(error, "get_http_status_code", None)
    return int(status_of()) if status_of else None


def _is_of_a_store(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in _STORES


@contextmanager
def muted(logger_name: str) -> Iterator[None]:
    """Keep a logger of another library silent, errors aside."""
    logger = logging.getLogger(logger_name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


_SECONDS_TO_ASK = 5


@dataclass(frozen=True)
class Answer:
    """What came back, or why nothing did.

    Attributes:
        status: the HTTP status.
        text: the body.
        date: the server's time, as the header says.
        asked: our time, half-way between question and answer, in seconds since 1970.
        error: what has gone wrong instead; one of `requests`' exceptions if it was on the way.
    """

    status: int = 0
    text: str = ""
    date: str | None = None
    asked: float = 0.0
    error: BaseException | None = None


def ask(uri: str, path: str = "/version") -> Answer:
    """Ask a tracking server, with the credentials and certificates that a run would use."""
    start = time.time()
    try:
        response = get_response(uri, path, _SECONDS_TO_ASK)
    except Exception as error:
        # MLflow wraps what `requests` raises in an exception of its own.
        return Answer(error=error.__context__ or error)
    half_way = (start + time.time()) / 2
    return Answer(response.status_code, response.text, response.headers.get("Date"), half_way)
