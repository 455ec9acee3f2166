"""Who are we to the tracking server, and does it let us in?"""

import json
import os
from collections.abc import Mapping

from ..backend.client import Answer, ask
from ..config import KedroMlflowConfig
from ..project import is_server
from .finding import Finding, failed, ok, reason
from .server import WHERE_IT_STANDS
from .setup import Setup

_SET_LOGIN = (
    "Put MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD into .env, or MLFLOW_TRACKING_TOKEN."
)


def sign_in(setup: Setup) -> Finding:
    """Ask for something that only those get who are let in."""
    shown = credential(setup.config, os.environ)
    if is_server(setup.uri) and setup.answer.status in (401, 403):
        return judge_refusal(setup.answer.status, shown)
    try:
        setup.client.search_experiments(max_results=1)
    except Exception as error:
        if is_server(setup.uri):
            return failed(
                f"there is an answer, but not MLflow's ({reason(error)})", WHERE_IT_STANDS
            )
        return failed(
            f"the service does not let us in ({reason(error)})",
            "Are the variables set and right that say who we are? .env.example lists them.",
        )
    if not is_server(setup.uri):
        return ok("let in")
    return judge_welcome(ask(setup.uri, "/api/2.0/mlflow/users/current"), shown)


def credential(config: KedroMlflowConfig, environ: Mapping[str, str]) -> str:
    """Say what we show to the server; empty for nothing.

    The order is MLflow's: headers of a provider come on top, and a user name wins over a token.
    """
    if provider := config.server.request_header_provider.type:
        return f"the headers of {provider}"
    if environ.get("MLFLOW_TRACKING_USERNAME") and environ.get("MLFLOW_TRACKING_PASSWORD"):
        return "MLFLOW_TRACKING_USERNAME and its password"
    if environ.get("MLFLOW_TRACKING_TOKEN"):
        return "MLFLOW_TRACKING_TOKEN"
    return ""


def judge_refusal(status: int, shown: str) -> Finding:
    """Say why the server does not let us in.

    Args:
        status: 401 or 403.
        shown: what we have shown, as `credential` says.
    """
    if status == 403:
        return failed(
            "the server knows us and lets us see nothing",
            "Ask who runs the server for permissions.",
        )
    if not shown:
        return failed("the server asks who we are", _SET_LOGIN)
    if "TOKEN" in shown:
        return failed(f"the server does not accept {shown}", "Renew it: it may have expired.")
    if "USERNAME" in shown:
        return failed(
            f"the server does not accept {shown}",
            "Correct MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in .env.",
        )
    return failed(f"the server does not accept {shown}", "Look at server.request_header_provider.")


def judge_welcome(answer: Answer, shown: str) -> Finding:
    """Say as whom the server lets us in.

    Args:
        answer: what it says when it is asked who we are.
        shown: what we have shown, as `credential` says.
    """
    try:
        user = json.loads(answer.text)["user"]
        rights = ", an administrator" if user["is_admin"] else ""
    except (ValueError, LookupError, TypeError):  # A server that has no users answers otherwise.
        return ok(f"let in with {shown}" if shown else "the server lets everybody in")
    if "USERNAME" in shown:
        return ok(f"let in as the user of MLFLOW_TRACKING_USERNAME{rights}")
    return ok(f"let in as {user['username']}{rights}")
