"""What an error of a call means: try again, give up, or keep the run until somebody lets us in."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable
from http.client import responses
from typing import Any

import pytest
import requests
from botocore.exceptions import EndpointConnectionError
from mlflow.exceptions import MlflowException, RestException
from mlflow.utils.request_utils import augmented_raise_for_status
from mlflow.utils.rest_utils import verify_rest_response
from sqlalchemy.exc import OperationalError

from tests.support.rooms import Rooms


def answered(status: int, code: str = "INTERNAL_ERROR") -> MlflowException:
    """What MLflow's client makes of a server's answer."""
    error = RestException({"error_code": code, "message": "no"})
    error.get_http_status_code = lambda: status  # type: ignore[method-assign]
    return error


def of_a_call(status: int, body: str) -> Exception:
    """What MLflow's client raises for an answer to a call of its API."""
    return raised_for(status, body, lambda response: verify_rest_response(response, "/api"))


def of_a_file(status: int, body: str) -> Exception:
    """What MLflow's client raises for an answer to a file that it uploads."""
    return raised_for(status, body, augmented_raise_for_status)


def raised_for(status: int, body: str, check: Callable[[requests.Response], Any]) -> Exception:
    response = requests.Response()
    response.status_code, response._content = status, body.encode()
    with pytest.raises((MlflowException, requests.HTTPError)) as raised:
        check(response)
    return raised.value


# Of MLflow itself, of a gateway before it, of a plain web server.
BODIES = [
    '{"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}',
    '{"message": "Request Too Long"}',
    "<html>no</html>",
    "",
]
ANSWERS = [(raised, body) for raised in (of_a_call, of_a_file) for body in BODIES]
NETWORK = [
    ConnectionResetError("Connection reset by peer"),
    ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
    TimeoutError("timed out"),
    requests.ConnectionError("Max retries exceeded"),
    requests.Timeout("Read timed out"),
    EndpointConnectionError(endpoint_url="http://s3"),
    *(answered(status) for status in (429, 500, 502, 503, 504)),
]
FULL_OR_LOCKED = [OSError(number, "no") for number in (errno.ENOSPC, errno.EROFS, errno.EACCES)]
LASTING = [
    FileNotFoundError(errno.ENOENT, "No such file or directory"),
    IsADirectoryError(errno.EISDIR, "Is a directory"),
    ValueError("no"),
    answered(400),
    answered(404),
    answered(501),
]
NOBODY_LETS_US_IN = [answered(401)]
UNTRUSTED = [
    ssl.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"),
    requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED"),
]


def name_of(error: Exception) -> str:
    return f"{type(error).__name__} {error}"[:50]


@pytest.mark.parametrize("error", [*NETWORK, *FULL_OR_LOCKED], ids=name_of)
def test_what_the_network_or_a_full_disk_refuses_is_tried_again(
    mlops: Rooms, error: Exception
) -> None:
    assert mlops("backend.client").is_transient(error)


@pytest.mark.parametrize("error", [*LASTING, *NOBODY_LETS_US_IN, *UNTRUSTED], ids=name_of)
def test_what_would_fail_again_is_not(mlops: Rooms, error: Exception) -> None:
    assert not mlops("backend.client").is_transient(error)


@pytest.mark.parametrize("error", LASTING, ids=name_of)
def test_what_is_refused_for_good_holds_up_nothing_else(mlops: Rooms, error: Exception) -> None:
    assert mlops("backend.client").is_final(error)


@pytest.mark.parametrize(("raised", "body"), ANSWERS)
@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 413, 414, 415, 422, 431, 451, 501])
def test_an_answer_is_known_by_its_status_whatever_mlflow_makes_of_it(
    mlops: Rooms, raised: Callable[[int, str], Exception], body: str, status: int
) -> None:
    client, error = mlops("backend.client"), raised(status, body)
    assert not client.is_transient(error)
    assert client.is_final(error)


@pytest.mark.parametrize(("raised", "body"), ANSWERS)
@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 507, 520, 524])
def test_an_answer_that_means_later_is_tried_again(
    mlops: Rooms, raised: Callable[[int, str], Exception], body: str, status: int
) -> None:
    assert mlops("backend.client").is_transient(raised(status, body))


@pytest.mark.parametrize(("raised", "body"), ANSWERS)
def test_a_missing_password_is_neither(
    mlops: Rooms, raised: Callable[[int, str], Exception], body: str
) -> None:
    client, error = mlops("backend.client"), raised(401, body)
    assert not client.is_transient(error)
    assert not client.is_final(error)


@pytest.mark.parametrize(
    "error",
    [*NOBODY_LETS_US_IN, *UNTRUSTED, EndpointConnectionError(endpoint_url="http://s3")],
    ids=name_of,
)
def test_a_missing_password_or_a_store_that_is_away_refuses_nothing_for_good(
    mlops: Rooms, error: Exception
) -> None:
    assert not mlops("backend.client").is_final(error)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (answered(401), "it does not let you in: `uv run kedro mlflow doctor` says why"),
        (requests.ConnectionError("Max retries"), "it does not answer"),
        (ConnectionError("cut off"), "it does not answer"),
        (
            MlflowException(
                "API request to /x failed with error code 400 != 200. Response body: 'Not\n you'"
            ),
            "it answers: Not you",
        ),
        (of_a_file(413, "<html>no</html>"), f"it answers: 413 {responses[413]}"),
        (of_a_call(413, ""), f"it answers: 413 {responses[413]}"),
        (of_a_call(403, "not you"), "it answers: not you"),
        (
            ssl.SSLError("CERTIFICATE_VERIFY_FAILED"),
            "its certificate is not trusted: name the file of its authority in "
            "MLFLOW_TRACKING_SERVER_CERT_PATH",
        ),
        (OperationalError("select 1", {}, ValueError("no such table")), "no such table"),
        (ValueError("wrong http://eve:CANARY@host"), "wrong http://********@host"),
    ],
    ids=lambda part: name_of(part) if isinstance(part, Exception) else "",
)
def test_the_reason_is_one_line_without_a_secret(
    mlops: Rooms, error: Exception, reason: str
) -> None:
    said = mlops("backend.client").reason_of(error)
    assert said.removeprefix("ValueError: ") == reason


def test_only_what_others_have_written_is_cut(mlops: Rooms) -> None:
    errors, long = mlops("errors"), "a word " * 100
    assert errors.one_line(ValueError(long)) == f"{long[:200]}..."
    assert errors.one_line(errors.TrackingError(long)) == long.strip()
    assert errors.one_line(ValueError("\n first \n second")) == "first"
    assert (
        errors.one_line(ValueError("2 faults:\n - first\n - second"))
        == "2 faults: - first - second"
    )
    assert errors.one_line(ValueError()) == "ValueError"


def test_a_cause_that_did_not_answer_is_the_reason(mlops: Rooms) -> None:
    error = MlflowException("API request failed")
    error.__cause__ = requests.ConnectionError("Max retries")
    assert mlops("backend.client").reason_of(error) == "it does not answer"


def test_what_does_not_open_says_why_itself(mlops: Rooms) -> None:
    client = mlops("backend.client")
    error = MlflowException("not now")
    error.__cause__ = client.UnreachableError("the database does not open: no such folder")
    assert client.reason_of(error) == "the database does not open: no such folder"
    error.__cause__, error.__context__ = None, client.UnreachableError("no such folder")
    error.__suppress_context__ = True
    assert client.reason_of(error) == "not now"
    error.__suppress_context__ = False
    assert client.reason_of(error) == "no such folder"


def test_what_is_missing_is_known_by_mlflows_codes(mlops: Rooms) -> None:
    client = mlops("backend.client")
    for code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE"):
        assert client.is_missing(RestException({"error_code": code, "message": "no"}))
    assert not client.is_missing(RestException({"error_code": "INTERNAL_ERROR", "message": "no"}))
    assert not client.is_missing(KeyError("x"))
