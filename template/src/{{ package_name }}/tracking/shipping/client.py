"""MLflow's client, opened without touching the process's own tracking and registry URIs."""

import os
import ssl
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from ..config import PlaceOptions
from ..disk import refusal
from ..errors import TrackingError
from ..quiet import quieten_mlflow
from ..redaction import mask_text
from ..uris import is_server, public

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SECONDS_TO_ANSWER = 5


def connect(server: PlaceOptions) -> "MlflowClient":
    """Open a client of the tracking server and the registry that mlflow.yml names."""
    # MLflow's own retries add up to minutes in which nothing can be said or stopped; the shipper
    # has retries of its own. Who sets these variables is obeyed.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    # Our own lines tell where a run's page is, and repeat no password of the tracking URI.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    import mlflow

    quieten_mlflow()
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
    """Stop here, within seconds, when the tracking server does not answer.

    Raises:
        TrackingError: it does not.
    """
    if is_server(str(server.mlflow_tracking_uri)) and not is_reachable(server):
        raise TrackingError(
            f"MLflow at {server.mlflow_tracking_uri} cannot be reached. Start it, or set "
            "shipping.on_unreachable to 'offline' in mlflow.yml to run without it."
        )


def is_transient(error: Exception) -> bool:
    """Tell whether the same call may go through later: no answer, 429, or a server's own 5xx."""
    # Not told by its class: another sink's thread may be importing MLflow just now, and who imports
    # a part of it meanwhile leaves both with half a module.
    if status_of := getattr(error, "get_http_status_code", None):
        status = int(status_of())
        return status == 429 or status in (500, 502, 503, 504)
    # What `requests` raises for lost connections and time-outs is an OSError, as Python's own are;
    # the disk's errors are OSErrors with a number: a file that is missing will not come again.
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return isinstance(error, OSError) and (error.errno is None or refusal(error) is not None)


def reason_of(error: BaseException) -> str:
    """Say in a line, without secrets, why a call has failed."""
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, OSError) and cause.errno is None:
            return "it does not answer"
        if from_database := getattr(cause, "orig", None):  # What SQLAlchemy has got to say of.
            error = from_database
            break
        cause = cause.__cause__ or cause.__context__
    return mask_text((str(error) or type(error).__name__).splitlines()[0])
