"""Webhooks of a server's registry: those that mlflow.yml names, and no others are touched."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_args

from ..config import WebhookOptions
from ..errors import TrackingError, one_line
from ..project import PACKAGE
from ..redaction import mask
from .client import pages

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.webhook import Webhook

# The server encrypts secrets by it. Without one it makes another key at each start.
_KEY = "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"
# How the descriptions of this project's own webhooks begin.
_OURS = f"From mlflow.yml of {PACKAGE}: change it there."
_SIGNED = " Signed."


def require_key(wanted: Sequence[WebhookOptions]) -> None:
    """Raise a TrackingError if this process, which is the server, cannot keep their secrets."""
    from cryptography.fernet import Fernet

    if not any(each.secret_env for each in wanted):
        return
    give = (
        "give it what `openssl rand -base64 32 | tr +/ -_` prints, and keep it: it must not change"
    )
    if not (key := os.environ.get(_KEY)):
        raise TrackingError(f"{_KEY} is not set, and webhooks of mlflow.yml have secrets: {give}.")
    try:
        Fernet(key)
    except ValueError as error:
        raise TrackingError(f"{_KEY} is no key: {give}.") from error


def register(client: "MlflowClient", wanted: Sequence[WebhookOptions]) -> Iterator[str]:
    """Create, change or delete this project's webhooks, and say what was done, a line for each.

    A TrackingError says which one cannot be registered, and why.
    """
    events = _events()
    for each in wanted:
        if unknown := [event for event in each.events if event not in events]:
            raise _refusal(each, f"there is no event {unknown[0]} (there are: {', '.join(events)})")
        _secret_of(each)
    ours: dict[str, list[Webhook]] = {}
    for hook in filter(_is_ours, list(_all(client))):
        ours.setdefault(hook.name, []).append(hook)
    for each in wanted:
        found, *others = ours.pop(each.name, [None])
        with _refusals(each):
            done = _register(client, each, found)
            for hook in filter(None, others):  # Of a change that was killed.
                client.delete_webhook(hook.webhook_id)
        yield f"Webhook {each.name} {done}."
    for name, hooks in ours.items():
        for hook in hooks:
            with _refusals(hook):
                client.delete_webhook(hook.webhook_id)
        yield f"Webhook {name} deleted: mlflow.yml does not name it any more."


def _register(client: "MlflowClient", wanted: WebhookOptions, found: "Webhook | None") -> str:
    secret = _secret_of(wanted)
    about = f"{_OURS}{_SIGNED if secret else ''}"
    events = list(dict.fromkeys(wanted.events))  # MLflow takes none twice.
    given: dict[str, Any] = {"url": wanted.url, "events": events, "secret": secret}
    if found is None:
        client.create_webhook(wanted.name, description=about, **given)
        return "registered"
    if found.description != about:  # An update cannot take a secret away.
        client.create_webhook(wanted.name, description=about, **given)
        client.delete_webhook(found.webhook_id)
        return "changed"
    same = (found.url, {str(event) for event in found.events}) == (wanted.url, {*wanted.events})
    if secret or not same:  # A server does not tell its secrets.
        client.update_webhook(found.webhook_id, **given)
    return "as before" if same else "changed"


@contextmanager
def _refusals(hook: "WebhookOptions | Webhook") -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise _refusal(
            hook,
            f"{one_line(error).rstrip('.')}. The server takes plain HTTP with "
            "MLFLOW_WEBHOOK_ALLOWED_SCHEMES=https,http and addresses of its own network with "
            "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true",
        ) from error


def _all(client: "MlflowClient") -> "Iterator[Webhook]":
    from cryptography.fernet import InvalidToken
    from mlflow.exceptions import MlflowException

    try:
        yield from pages(client.list_webhooks)
    except InvalidToken as error:
        raise TrackingError(
            f"The webhooks of this server were encrypted by another key: give it back to {_KEY}."
        ) from error
    except (MlflowException, NotImplementedError) as error:
        raise TrackingError(
            f"Webhooks cannot be registered there: {one_line(error).rstrip('.')}. It needs MLflow "
            "3.3 or newer with a database, and the login of an admin."
        ) from error


def _secret_of(wanted: WebhookOptions) -> str | None:
    if wanted.secret_env is None:
        return None
    if secret := os.environ.get(wanted.secret_env):
        return secret
    raise _refusal(wanted, f"its secret, the environment variable {wanted.secret_env}, is not set")


def _refusal(hook: "WebhookOptions | Webhook", reason: str) -> TrackingError:
    url = mask("", hook.url)
    return TrackingError(f"mlflow.yml: server.webhooks: {hook.name} ({url}): {reason}.")


def _is_ours(hook: "Webhook") -> bool:
    return (hook.description or "").removesuffix(_SIGNED) == _OURS


def _events() -> list[str]:
    from mlflow.entities.webhook import WebhookEventStr

    return [*get_args(WebhookEventStr)]
