"""Who a call is from, where a proxy in front signs people in by OpenID Connect.

The proxy (oauth2-proxy in oidc.yaml) checks the person, and passes the call on with the person's
name and MLFLOW_PROXY_PASSWORD as HTTP basic authentication. All other calls need the name and the
password of a user, as without a proxy.
"""

import os
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Any

from flask import request
from mlflow.exceptions import MlflowException
from mlflow.server import auth


def authenticate() -> Any:
    """Return who the call is from, or the answer that refuses it.

    A person who comes for the first time gets a user, with the default permission and a random
    password that is not kept. The first user signs in by password alone: a person of the same name
    at the provider is not the admin here.
    """
    login = request.authorization
    name = (login and login.username) or ""
    if login is None or not is_from_proxy(login.password) or not name:
        return auth.authenticate_request_basic_auth()
    if name == auth.auth_config.admin_username:
        return auth.make_basic_auth_response()
    if not auth.store.has_user(name):
        try:
            auth.store.create_user(name, token_urlsafe(32))
        except MlflowException:  # Another call of this person was first.
            if not auth.store.has_user(name, use_primary=True):
                raise
    return login


def is_from_proxy(password: str | None) -> bool:
    """Return whether a password is the proxy's, in a time that does not tell how near it is."""
    expected = os.environ.get("MLFLOW_PROXY_PASSWORD", "")
    return bool(expected) and compare_digest((password or "").encode(), expected.encode())
