"""A token that expires, from a command that prints one: name `TokenCommand` in mlflow.yml.

    server:
      request_header_provider:
        type: <package>.mlops.TokenCommand
        init_kwargs:
          command: gcloud auth print-identity-token

The token goes into the header of MLflow's calls, and nowhere else.
"""

import binascii
import json
import logging
import os
import shlex
import subprocess
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from dataclasses import dataclass

from mlflow.tracking.request_header.abstract_request_header_provider import RequestHeaderProvider

logger = logging.getLogger(__name__)

# Clocks differ, and a call takes a while; at most half of a token's life is given away for it.
_SECONDS_BEFORE_THE_END = 60.0
_SECONDS_TO_ANSWER = 60
# How long a command that has failed is not run again: each call of MLflow's asks for headers.
_SECONDS_AFTER_A_FAILURE = 10.0


@dataclass(frozen=True)
class _Token:
    value: str
    renewed_from: float
    valid_until: float


class TokenCommand(RequestHeaderProvider):  # type: ignore[misc, unused-ignore]
    """Gives `Authorization: Bearer …`, and runs the command again before the token expires."""

    def __init__(self, command: str | Sequence[str], lifetime: float = 300) -> None:
        """Take the command; it runs at the first call of MLflow's.

        Args:
            command: prints the token and nothing else; not run by a shell. In mlflow.yml,
                ``${oc.env:NAME}`` takes it from an environment variable.
            lifetime: for how many seconds a token is valid that does not say it, as a JWT does.
        """
        self._command = _words(command) if isinstance(command, str) else list(command)
        if not self._command:
            raise TypeError("command is empty")
        self._lifetime = lifetime
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._token: _Token | None = None
        self._failed_at = 0.0

    def in_context(self) -> bool:
        """Return whether there are headers; MLflow asks before each call."""
        return True

    def request_headers(self) -> dict[str, str]:
        """Return the header, or none while the command fails, with one warning."""
        if self._process != os.getpid():  # A lock that was held when this process was forked.
            self._process, self._lock = os.getpid(), threading.Lock()
        with self._lock:
            token = self._token
            if token is None or time.time() >= token.renewed_from:
                token = self._token = self._renew(token)
        return {"Authorization": f"Bearer {token.value}"} if token else {}

    def _renew(self, before: _Token | None) -> _Token | None:
        """Run the command; if it fails, continue with the token before while that is valid."""
        now = time.time()
        valid = before if before and now < before.valid_until else None
        if now - self._failed_at < _SECONDS_AFTER_A_FAILURE:
            return valid
        value, reason = self._run()
        if reason is None:
            self._failed_at = 0.0
            end = expiry_of(value) or now + self._lifetime
            # Where clocks disagree a new token may look expired: once per call is too often.
            end = end if end > now else now + _SECONDS_AFTER_A_FAILURE
            return _Token(value, end - min(_SECONDS_BEFORE_THE_END, (end - now) / 2), end)
        if not self._failed_at:
            # Not its output, nor its arguments: either may hold a secret.
            logger.warning(
                "The token command '%s' of mlflow.yml (server.request_header_provider) %s: run it "
                "yourself to see why.",
                self._command[0],
                reason,
            )
        self._failed_at = now
        return valid

    def _run(self) -> tuple[str, str | None]:
        """Run the command; return the token, or why there is none."""
        try:
            done = subprocess.run(
                self._command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS_TO_ANSWER,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "", f"does not end within {_SECONDS_TO_ANSWER} s"
        except OSError as error:
            return "", f"cannot be started ({error.strerror})"
        if done.returncode != 0:
            return "", f"has ended with the exit code {done.returncode}"
        words = done.stdout.decode(errors="replace").split()
        return (words[0], None) if len(words) == 1 else ("", "does not print a token alone")


def _words(command: str) -> list[str]:
    r"""Split a command; on Windows a backslash is part of a path: `C:\tools\az.cmd account`."""
    if os.name != "nt":
        return shlex.split(command)
    return [word.strip('"') for word in shlex.split(command, posix=False)]


def expiry_of(token: str) -> float | None:
    """Read when a JWT expires (seconds since 1970); none of a token of another kind.

    See RFC 7519, section 4.1.4. The signature is the server's to check.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        return None
