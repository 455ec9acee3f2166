"""Asks a tracking server for its version, as MLflow's client would: one call that tells a lot."""

import time
from dataclasses import dataclass
from typing import Any

_SECONDS = 5


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
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    request: Any = http_request
    start = time.time()
    try:
        creds = get_default_host_creds(uri)
        response = request(
            creds, path, "GET", max_retries=0, timeout=_SECONDS, raise_on_status=False
        )
    except Exception as error:
        # MLflow wraps what `requests` raises in an exception of its own.
        return Answer(error=error.__context__ or error)
    half_way = (start + time.time()) / 2
    return Answer(response.status_code, response.text, response.headers.get("Date"), half_way)
