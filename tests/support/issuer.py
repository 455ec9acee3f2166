"""Prints a token, as a token command: `issuer.py FOLDER SECONDS [NAME]`; so long it is good.

Stands in for `gcloud auth print-identity-token` and its like. Whoever knows the folder's key can
check a token: see `bearer`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import sys
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any


def issue(folder: Path, seconds: float, name: str = "CANARY") -> str:
    """Make a token, a JWT, for somebody, and note which process has asked for it."""
    with (folder / "issued").open("a") as issued:
        issued.write(f"{os.getppid()}\n")
    claims = {"sub": name, "exp": time.time() + seconds}
    parts = [_encode(json.dumps(part).encode()) for part in ({"alg": "HS256"}, claims)]
    return ".".join([*parts, _signature(folder, ".".join(parts))])


def issued(folder: Path) -> list[str]:
    """The processes that have asked for a token."""
    path = folder / "issued"
    return path.read_text().split() if path.exists() else []


def bearer(folder: Path) -> Callable[[Any], int | None]:
    """Let those through a proxy who bring a token that is still good."""

    def guard(request: Any) -> int | None:
        kind, _, token = (request.headers.get("Authorization") or "").partition(" ")
        signed, _, signature = token.rpartition(".")
        if kind != "Bearer" or signature != _signature(folder, signed):
            return 401
        return None if time.time() < _claims(token)["exp"] else 401

    return guard


def subject(token: str) -> str:
    """Whom a token was made for."""
    return str(_claims(token)["sub"])


def _claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def _signature(folder: Path, signed: str) -> str:
    key = (folder / "key").read_bytes()
    return _encode(hmac.new(key, signed.encode(), hashlib.sha256).digest())


def _encode(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


if __name__ == "__main__":
    print(issue(Path(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:]))
