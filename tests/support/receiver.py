"""What a webhook calls: an HTTP server that is not well at first, and checks who has signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.answering import answering


@dataclass(frozen=True)
class Call:
    """One request, and what was answered."""

    headers: Mapping[str, str]
    body: bytes
    status: int

    @property
    def delivery(self) -> str:
        return self.headers["X-MLflow-Delivery-Id"]

    @property
    def content(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def is_signed_with(self, secret: str) -> bool:
        """Check the signature as docs/environments.md says."""
        signed = f"{self.delivery}.{self.headers['X-MLflow-Timestamp']}.".encode() + self.body
        digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
        expected = f"v1,{base64.b64encode(digest).decode()}"
        return hmac.compare_digest(expected, self.headers["X-MLflow-Signature"])


@dataclass
class Receiver:
    """Where it answers, and whatever has called it."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)

    def about(self, model: str, count: int) -> list[Call]:
        """Wait for so many calls about a registered model."""
        deadline = time.monotonic() + 60
        while True:
            found = [call for call in self.calls if call.content["data"].get("name") == model]
            if len(found) >= count or time.monotonic() > deadline:
                return found
            time.sleep(0.1)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Answer 503 to the first call of each delivery, and 200 to the next."""
    receiver = Receiver()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            delivery = self.headers["X-MLflow-Delivery-Id"]
            is_known = delivery in [call.delivery for call in receiver.calls]
            call = Call(dict(self.headers), body, 200 if is_known else 503)
            receiver.calls.append(call)
            self.send_response(call.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with answering(Hook) as url:
        receiver.url = f"{url}/hook"
        yield receiver
