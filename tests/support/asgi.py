"""A server's application asked in this process, as uvicorn asks it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

from tests.support.serving import JSON, Answer


@dataclass(frozen=True)
class Asked:
    """An application that answers as `Served` does, which runs elsewhere."""

    app: Any

    def ask(
        self, path: str, body: Any = None, kind: str | None = JSON, method: str = "", **headers: str
    ) -> Answer:
        """Send a request, of this content type; a body that is no bytes goes as JSON."""
        if kind is not None:
            headers["Content_Type"] = kind
        scope = {
            "type": "http",
            "path": path,
            "method": method or ("GET" if body is None else "POST"),
            "headers": [
                (name.lower().replace("_", "-").encode(), value.encode("latin-1"))
                for name, value in headers.items()
            ],
        }
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return asyncio.run(self._answer(scope, content))

    async def _answer(self, scope: Mapping[str, Any], content: bytes) -> Answer:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start, rest = sent
        answered = Message()
        for name, value in start["headers"]:
            answered[name.decode()] = value.decode("latin-1")
        assert int(answered["content-length"]) == len(rest["body"])
        return Answer(start["status"], answered, rest["body"])
