"""What is in front of a tracking server, in a company or at a managed service.

Tokens, signatures, a certificate of its own: checked before a call reaches the MLflow server.
"""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.support import issuer
from tests.support.proxy import Answerer, Guard, Request, basic, proxy_of
from tests.support.servers import ADMIN_PASSWORD, PROXY_PASSWORD, TrackingServer

_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request, "
    r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})"
)


@dataclass
class Door:
    """A guard that remembers who came.

    Attributes:
        guard: decides.
        let_in: what it has let through.
        refused: what it has not.
    """

    guard: Guard
    let_in: list[Request] = field(default_factory=list)
    refused: list[Request] = field(default_factory=list)

    def __call__(self, request: Request) -> int | None:
        """Decide, and remember."""
        status = self.guard(request)
        (self.let_in if status is None else self.refused).append(request)
        return status


def sigv4(key: str, secret: str, region: str, service: str) -> Guard:
    """Let calls through that this key has signed (AWS Signature Version 4): others get 403."""
    signer = SigV4Auth(Credentials(key, secret), service, region)

    def guard(request: Request) -> int | None:
        found = _SIGNED.fullmatch(request.headers.get("Authorization") or "")
        if found is None or found.group(1, 2, 3) != (key, region, service):
            return 403
        digest = hashlib.sha256(request.body).hexdigest()
        if request.headers["X-Amz-Content-SHA256"] != digest:
            return 403
        names = found[4].split(";")
        url = f"http://{request.headers['Host']}{request.path}"
        again = AWSRequest(request.method, url, {name: request.headers[name] for name in names})
        again.context["timestamp"] = request.headers["X-Amz-Date"]
        to_sign = signer.string_to_sign(again, signer.canonical_request(again))
        return None if signer.signature(to_sign, again) == found[5] else 403

    return guard


def bearer(token: str) -> Guard:
    """Let calls through that show this token; others get 401."""
    expected = f"Bearer {token}"
    return lambda request: None if request.headers.get("Authorization") == expected else 401


def identity(token: str, secret: str) -> Answerer:
    """Answer as the endpoint does from which Azure's machines have their tokens."""

    def answer(request: Request) -> tuple[int, bytes]:
        if request.headers.get("X-IDENTITY-HEADER") != secret:
            return 403, b"{}"
        expires = str(int(time.time()) + 3600)
        content = {"access_token": token, "expires_on": expires, "token_type": "Bearer"}
        return 200, json.dumps(content).encode()

    return answer


class Tokens:
    """Lets one token in, as the server's admin.

    Attributes:
        accepted: the token.
    """

    def __init__(self, accepted: str) -> None:
        self.accepted = accepted

    def __call__(self, request: Request) -> int | None:
        """Change a request with this token into the admin's; refuse any other."""
        if request.headers.get("Authorization") != f"Bearer {self.accepted}":
            return 401
        del request.headers["Authorization"]
        request.headers["Authorization"] = basic("admin", ADMIN_PASSWORD)
        return None


def oauth2_proxy(folder: Path) -> Guard:
    """Stand in for oauth2-proxy, as oidc.yaml sets it up, for programs that bring a token.

    It cannot be installed where the tests run. A good token of `issuer.py` becomes the person's
    name with the proxy's password, whatever login the call has brought; any other call is refused.
    """
    is_good = issuer.bearer(folder)

    def guard(request: Request) -> int | None:
        if (status := is_good(request)) is not None:
            return status
        name = issuer.subject(request.headers["Authorization"].partition(" ")[2])
        del request.headers["Authorization"]
        request.headers["Authorization"] = basic(name, PROXY_PASSWORD)
        return None

    return guard


@contextmanager
def tls_of(server: TrackingServer, authority: trustme.CA) -> Iterator[str]:
    """Serve a tracking server's answers with a certificate of this authority; the address."""
    with proxy_of(server.url) as proxy:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        proxy.socket = context.wrap_socket(proxy.socket, server_side=True)
        yield proxy.url.replace("http:", "https:")
