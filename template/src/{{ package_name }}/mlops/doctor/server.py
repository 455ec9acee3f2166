"""A tracking server's address: is it there, is the way to it safe, do clock and version agree."""

import os
import re
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

from ..backend.client import Answer
from .finding import Finding, failed, ok, reason, warning
from .setup import Setup

# Beyond the first, runs are out of order; beyond the second, clouds and tokens refuse requests.
_SECONDS_OFF, _SECONDS_REFUSED = 30, 300


# MLflow 3.0 brought the models that a run logs, 3.4 the call that takes a timeline: both tried with
# servers of these versions.
_OLDEST, _COMPLETE = (3, 0), (3, 4)


WHERE_IT_STANDS = (
    "The address is server.mlflow_tracking_uri in mlflow.yml, or MLFLOW_TRACKING_URI: correct it."
)


def address(setup: Setup) -> Finding:
    """Look whether something answers."""
    return judge_address(setup.uri, setup.answer)


def encryption(setup: Setup) -> Finding:
    """Look whether the way there is safe from others."""
    unchecked = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    return judge_encryption(setup.uri, setup.answer, unchecked)


def clock(setup: Setup) -> Finding:
    """Compare the server's clock with ours."""
    return judge_clock(setup.answer.date, setup.answer.asked)


def version(setup: Setup) -> Finding:
    """Compare the server's MLflow with ours."""
    from mlflow.version import VERSION

    return judge_versions(setup.answer.text.strip(), VERSION)


def judge_address(uri: str, answer: Answer) -> Finding:
    """Judge whether an MLflow server can be there."""
    host = urlsplit(uri).netloc.rpartition("@")[2]
    if answer.error is not None:
        return _judge_silence(host, answer.error)
    if answer.status == 403 and "Invalid Host header" in answer.text:
        return failed(
            f"the server answers, but not to the name {host}",
            "Start the server with this name in MLFLOW_SERVER_ALLOWED_HOSTS.",
        )
    if answer.status >= 500 or answer.status == 429:
        return failed(f"{host} answers with {answer.status}", "Look at the server's own log.")
    return ok(f"{host} answers")


def _judge_silence(host: str, error: BaseException) -> Finding:
    from requests import exceptions

    text = str(error)
    if isinstance(error, exceptions.SSLError):
        return ok(f"{host} answers")
    if isinstance(error, exceptions.ProxyError):
        return failed(
            f"the proxy on the way to {host} does not answer",
            "Correct HTTP_PROXY and HTTPS_PROXY, or put the host into NO_PROXY.",
        )
    if isinstance(error, exceptions.Timeout) or "timed out" in text:
        return failed(
            f"{host} does not answer within seconds",
            "Is a VPN or a firewall in between, or is the server still starting?",
        )
    if re.search(r"NameResolution|getaddrinfo|Name or service not known", text):
        return failed(
            f"there is no host of the name {host.partition(':')[0]}",
            WHERE_IT_STANDS,
        )
    if isinstance(error, exceptions.ConnectionError) and "refused" in text:
        return failed(
            f"nobody listens at {host}",
            f"Start the server there. {WHERE_IT_STANDS}",
        )
    return failed(
        f"{host} does not answer as an HTTP server does ({reason(error)})",
        WHERE_IT_STANDS,
    )


def judge_encryption(uri: str, answer: Answer, unchecked: bool) -> Finding:
    """Judge whether others can read along.

    Args:
        uri: the server's address.
        answer: what came back from there.
        unchecked: whether MLFLOW_TRACKING_INSECURE_TLS lets any certificate pass.
    """
    if answer.error is not None:
        return _judge_certificate(str(answer.error))
    parts = urlsplit(uri)
    if parts.scheme == "http":
        if is_this_machine(parts.hostname or ""):
            return ok("none, and none is needed on this machine")
        return warning(
            "none: who is in between reads passwords and runs",
            "Give the server a certificate and an address with https://.",
        )
    if unchecked:
        return warning(
            "the certificate is not looked at, because of MLFLOW_TRACKING_INSECURE_TLS",
            "Name the file of its authority in MLFLOW_TRACKING_SERVER_CERT_PATH instead.",
        )
    return ok("the certificate is good")


def _judge_certificate(text: str) -> Finding:
    """Judge by the words of OpenSSL, which are all there is."""
    if "mismatch" in text:  # Of the host's name, or of its number.
        return failed(
            "the certificate is for another name than the address has",
            "Use the name that the certificate is for.",
        )
    if "certificate has expired" in text:
        return failed("the certificate has expired", "Ask who runs the server to renew it.")
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return failed(
            "the certificate is signed by an authority that this machine does not know",
            "Name the file of the authority's certificate in MLFLOW_TRACKING_SERVER_CERT_PATH.",
        )
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text:
        return failed("the server speaks no TLS", "Begin the address with http://.")
    return failed(f"TLS is refused ({reason(Exception(text))})", "Look at the server's own log.")


def is_this_machine(host: str) -> bool:
    """Tell whether a host is the machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def judge_clock(date: str | None, ours: float) -> Finding:
    """Judge how far two clocks are apart.

    Args:
        date: the server's time, as its header says.
        ours: our time then, in seconds since 1970.
    """
    try:
        theirs = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return ok("the server does not tell its time")
    off = ours - (theirs + 0.5)  # The header leaves the fraction of the second out.
    if abs(off) <= _SECONDS_OFF:
        return ok("agrees with the server's")
    ahead = "ahead of" if off > 0 else "behind"
    message = f"this machine is {_duration(abs(off))} {ahead} the server"
    remedy = "Let both set their clocks by the network (NTP)."
    if abs(off) <= _SECONDS_REFUSED:
        return warning(message, remedy)
    return failed(f"{message}: signed requests and tokens will be refused", remedy)


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def judge_versions(server: str, client: str) -> Finding:
    """Judge whether a server takes what this client sends.

    Args:
        server: what the server says of itself.
        client: the version of MLflow that is installed here.
    """
    theirs, ours = (re.match(r"(\d+)\.(\d+)", text) for text in (server, client))
    if theirs is None or ours is None:
        return ok(f"the server does not tell its own; here it is MLflow {client}")
    release = tuple(map(int, theirs.groups()))
    if release < _OLDEST:
        return failed(
            f"the server is MLflow {server}, which takes no models of MLflow {client}",
            "Ask who runs it for MLflow 3.4 or newer.",
        )
    if release < _COMPLETE:
        return warning(
            f"the server is MLflow {server}, which takes no timelines of runs",
            "Ask who runs it for MLflow 3.4 or newer.",
        )
    if release[0] > int(ours[1]):
        return warning(
            f"the server is MLflow {server}, a generation newer than {client} here",
            "Raise mlflow in pyproject.toml, and run `uv sync`.",
        )
    return ok(f"MLflow {server} on the server, {client} here")
