"""Checks of the tracking server: variables, address, encryption, clock, sign-in and version."""

import json
import os
import re
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from ..callers import is_this_machine
from ..errors import one_line
from ..project import is_server
from .setup import Case, Finding, Setup, ask, failed, first_of, ok, warning

# By the beginning of a tracking URI or an artifact location: variables of which none works without
# the others, and further ones that are read.
_TOGETHER = {
    r"https?:": ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
    r"databricks(://|$)": ("DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET"),
    r"arn:|s3:": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    r"azureml:": ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"),
}
_OTHERS = {
    r"https?:": ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_SERVER_CERT_PATH"),
    r"databricks(://|$)": ("DATABRICKS_HOST", "DATABRICKS_TOKEN", "DATABRICKS_CONFIG_PROFILE"),
    r"arn:|s3:": ("AWS_PROFILE", "MLFLOW_S3_ENDPOINT_URL"),
    r"wasbs:": ("AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_CONNECTION_STRING"),
    r"gs:": ("GOOGLE_APPLICATION_CREDENTIALS",),
}


def variables(setup: Setup) -> Finding:
    """Check which environment variables are set; no value is ever shown."""
    from dotenv import dotenv_values

    location = setup.config.tracking.experiment.create_experiment_kwargs.artifact_location
    missing, read = [], ["MLFLOW_TRACKING_URI"]
    for beginning in _TOGETHER | _OTHERS:
        if not any(re.match(beginning, each) for each in (setup.uri, location or "")):
            continue
        together = _TOGETHER.get(beginning, ())
        read = [*together, *read, *_OTHERS.get(beginning, ())]
        if together[:1] == ("AZURE_CLIENT_SECRET",) and not os.environ.get(together[0]):
            continue  # A managed identity has a client id at most.
        if any(map(os.environ.get, together)):
            missing += [name for name in together if not os.environ.get(name)]
    if missing:
        remedy = "Put what is missing into .env: .env.example explains each variable."
        return failed(f"{' and '.join(missing)} not set", remedy)
    dotenv = dotenv_values(setup.project_path / ".env")
    hidden = [name for name, value in dotenv.items() if value and os.environ.get(name) != value]
    if hidden:
        message = f"{', '.join(hidden)}: exported with another value than in .env, and overrides it"
        return warning(message, "Unset what was exported, if you mean the value in .env.")
    found = [name for name in read if os.environ.get(name)]
    return ok(f"{', '.join(found)} set" if found else "none is needed")


_ADDRESS = "server.mlflow_tracking_uri in mlflow.yml, or MLFLOW_TRACKING_URI"
_CORRECT = f"Correct {_ADDRESS}."
_START = f"Start it, or correct {_ADDRESS}."
_LOG = "Read the server's own log."
_SLOW = "Check for a VPN or a firewall in between. The server may also be starting."

# By the exception.
_NO_ANSWER: list[Case] = [
    ("^ProxyError", "the proxy does not answer", "Correct HTTP_PROXY, HTTPS_PROXY or NO_PROXY."),
    (r"^\w*Timeout|timed out", "{host} does not answer within seconds", _SLOW),
    ("NameResolution|getaddrinfo|name or service not known", "there is no host {name}", _CORRECT),
    ("^ConnectionError.*refused", "no server listens at {host}", _START),
    ("", "{host} does not answer as an HTTP server does ({reason})", _CORRECT),
]


def address(setup: Setup) -> Finding:
    """Check whether a server answers."""
    host, answer = urlsplit(setup.uri).netloc.rpartition("@")[2], setup.answer
    if (error := answer.error) and type(error).__name__ != "SSLError":
        values = {"host": host, "name": host.partition(":")[0], "reason": one_line(error)}
        return first_of(_NO_ANSWER, f"{type(error).__name__}: {error}", **values)
    if answer.status == 403 and "Invalid Host header" in answer.text:
        remedy = "Start the server with this name in MLFLOW_SERVER_ALLOWED_HOSTS."
        return failed(f"the server answers, but not to the name {host}", remedy)
    if answer.status >= 500 or answer.status == 429:
        return failed(f"{host} answers with {answer.status}", _LOG)
    return ok(f"{host} answers")


_AUTHORITY = "Name the file of its authority in MLFLOW_TRACKING_SERVER_CERT_PATH."

# By the words of OpenSSL, which are all that there is; a mismatch is of host name or IP address.
_NO_TLS: list[Case] = [
    ("mismatch", "the certificate is for another name", "Use its name in the address."),
    ("certificate has expired", "the certificate has expired", "Ask who runs it for a new one."),
    ("CERTIFICATE_VERIFY_FAILED", "the certificate's authority is unknown here", _AUTHORITY),
    ("WRONG_VERSION|record layer", "the server speaks no TLS", "Use an http:// address."),
    ("", "TLS is refused ({reason})", _LOG),
]


def encryption(setup: Setup) -> Finding:
    """Check whether the connection is encrypted, and with a good certificate."""
    if error := setup.answer.error:
        return first_of(_NO_TLS, str(error), reason=one_line(error))
    parts = urlsplit(setup.uri)
    if parts.scheme == "http" and is_this_machine(parts.hostname or ""):
        return ok("none, and none is needed on this machine")
    if parts.scheme == "http":
        remedy = "Give the server a certificate and an address with https://."
        return warning("none: others on the network can read passwords and runs", remedy)
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        message = "the certificate is not checked, because of MLFLOW_TRACKING_INSECURE_TLS"
        return warning(message, _AUTHORITY)
    return ok("the certificate is good")


# Beyond the first, runs are out of order; beyond the second, clouds and tokens refuse requests.
_SECONDS_OFF, _SECONDS_REFUSED = 30, 300


def clock(setup: Setup) -> Finding:
    """Compare the server's clock with this machine's."""
    try:
        theirs = parsedate_to_datetime(setup.answer.date or "").timestamp()
    except ValueError:
        return ok("the server does not tell its time")
    off = setup.answer.asked - (theirs + 0.5)  # The header leaves the fraction of the second out.
    if abs(off) <= _SECONDS_OFF:
        return ok("agrees with the server's")
    units = (("days", 86400), ("hours", 3600), ("minutes", 60), ("seconds", 1))
    unit, length = next(each for each in units if abs(off) >= 2 * each[1])
    ahead = "ahead of" if off > 0 else "behind"
    message = f"this machine is {abs(off) / length:.0f} {unit} {ahead} the server"
    remedy = "Let both set their clocks by the network (NTP)."
    if abs(off) <= _SECONDS_REFUSED:
        return warning(message, remedy)
    return failed(f"{message}: signed requests and tokens will be refused", remedy)


_LOGIN = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD into .env, or MLFLOW_TRACKING_TOKEN"
_REJECTED = "the server does not accept {credential}"

# By status and credential.
_NO_ACCESS: list[Case] = [
    ("^403", "the server knows us and lets us see nothing", "Ask who runs it for permissions."),
    ("^401 $", "the server asks who we are", f"Put {_LOGIN}."),
    ("^401 MLFLOW_TRACKING_TOKEN", _REJECTED, "Renew it: it may have expired."),
    ("^401 MLFLOW", _REJECTED, "Correct MLFLOW_TRACKING_USERNAME and its password in .env."),
    ("", _REJECTED, "Check server.request_header_provider in mlflow.yml."),
]


def sign_in(setup: Setup) -> Finding:
    """Ask for something that only users with access get."""
    credential, on_server = _credential(setup), is_server(setup.uri)
    if on_server and (status := setup.answer.status) in (401, 403):
        return first_of(_NO_ACCESS, f"{status} {credential}", credential=credential)
    try:
        setup.client.search_experiments(max_results=1)
    except Exception as error:
        reason = one_line(error)
        if on_server:
            return failed(f"there is an answer, but not MLflow's ({reason})", _CORRECT)
        remedy = "Check the variables of the sign-in: .env.example lists them."
        return failed(f"the sign-in failed ({reason})", remedy)
    if not on_server:
        return ok("signed in")
    try:
        user = json.loads(ask(setup.uri, "/api/2.0/mlflow/users/current").text)["user"]
        rights = ", an administrator" if user["is_admin"] else ""
    except (ValueError, LookupError, TypeError):  # A server without users answers otherwise.
        no_users = f"signed in with {credential}"
        return ok(no_users if credential else "the server asks for no sign-in")
    by_name = "USERNAME" in credential
    name = "the user of MLFLOW_TRACKING_USERNAME" if by_name else user["username"]
    return ok(f"signed in as {name}{rights}")


def _credential(setup: Setup) -> str:
    """Name what we show to the server; empty for nothing.

    The order is MLflow's: headers of a provider come on top, and a user name wins over a token.
    """
    if provider := setup.config.server.request_header_provider.type:
        return f"the headers of {provider}"
    if all(map(os.environ.get, ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"))):
        return "MLFLOW_TRACKING_USERNAME and its password"
    return "MLFLOW_TRACKING_TOKEN" if os.environ.get("MLFLOW_TRACKING_TOKEN") else ""


# MLflow 3.0 brought the models that a run logs, 3.4 the call that takes a timeline: both tried with
# servers of these versions.
_OLDEST, _COMPLETE = (3, 0), (3, 4)


def version(setup: Setup) -> Finding:
    """Compare the server's version of MLflow with the one that is installed."""
    from mlflow.version import VERSION as INSTALLED

    server = setup.answer.text.strip()
    theirs, ours = (re.match(r"(\d+)\.(\d+)", text) for text in (server, INSTALLED))
    if theirs is None or ours is None:
        return ok(f"the server does not tell its version; MLflow {INSTALLED} here")
    release = tuple(map(int, theirs.groups()))
    message = f"the server is MLflow {server}"
    remedy = "Ask who runs it for MLflow 3.4 or newer."
    if release < _OLDEST:
        return failed(f"{message}, which takes no models of MLflow {INSTALLED}", remedy)
    if release < _COMPLETE:
        return warning(f"{message}, which takes no timelines of runs", remedy)
    if release[0] > int(ours[1]):
        remedy = "Raise mlflow in pyproject.toml, and run `uv sync`."
        return warning(f"{message}, a generation newer than {INSTALLED} here", remedy)
    return ok(f"MLflow {server} on the server, {INSTALLED} here")
