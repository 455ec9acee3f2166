"""What each check gets, the set-up that is examined, and what it returns: a finding."""

import hashlib
import platform
import re
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from ..backend.client import connect
from ..config import KedroMlflowConfig
from ..mlflow_internals import get_response
from ..redaction import mask_text

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SECONDS_TO_ANSWER = 5
# The name of everything that the checks write begins with it.
MARK = "kedro-mlflow-doctor"


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    # With a warning, runs are tracked; after a failure they are not, or not completely.
    status: Literal["ok", "warning", "failed", "skipped"]
    message: str  # A sentence without a full stop.
    remedy: str = ""  # Whole sentences.
    not_yet: str = ""  # Why the checks that need this one are skipped, although nothing is wrong.

    def masked(self, secrets: Collection[str]) -> "Finding":
        """Mask these values in the message, which may quote a server or a library."""
        return replace(self, message=mask_text(self.message, secrets))


ok = partial(Finding, "ok")
warning = partial(Finding, "warning")
failed = partial(Finding, "failed")
skipped = partial(Finding, "skipped")

# A pattern of what a server or a library says; the message and the remedy that it leads to.
Case = tuple[str, str, str]


def first_of(cases: Sequence[Case], text: str, **values: object) -> Finding:
    """Return the failure of the first case whose pattern is in a text, with values filled in."""
    flags = re.DOTALL | re.IGNORECASE
    message, remedy = next(rest for pattern, *rest in cases if re.search(pattern, text, flags))
    return failed(message.format(**values), remedy.format(**values))


@dataclass(frozen=True)
class Answer:
    """What a tracking server has answered, or why there is no answer."""

    status: int = 0
    text: str = ""
    date: str | None = None  # The server's time, as the header says.
    asked: float = 0.0  # Our time, half-way between question and answer.
    error: BaseException | None = None  # One of `requests`' exceptions if it was on the way.


def ask(uri: str, path: str = "/version") -> Answer:
    """Ask a tracking server, with the credentials and certificates that a run would use."""
    start = time.time()
    try:
        response = get_response(uri, path, _SECONDS_TO_ANSWER)
    except Exception as error:
        # MLflow wraps what `requests` raises in an exception of its own.
        return Answer(error=error.__context__ or error)
    half_way = (start + time.time()) / 2
    return Answer(response.status_code, response.text, response.headers.get("Date"), half_way)


@dataclass
class Setup:
    """A project and its mlflow.yml, and what a check finds out for those after it."""

    project_path: Path
    config: KedroMlflowConfig
    name: str = field(default_factory=lambda: f"{MARK}-{uuid4().hex[:8]}")  # Of what is created.
    artifact_root: str = ""  # Where files of the experiment go, once that is known.
    owns_root: bool = False  # Whether only the checks write there.
    left_behind: list[str] = field(default_factory=list)
    cleanup: ExitStack = field(default_factory=ExitStack)

    @property
    def uri(self) -> str:
        """The tracking URI."""
        return self.config.server.uri

    @property
    def folder(self) -> str:
        """The folder of the file that is written: always the same, in case we may not delete it."""
        here = f"{platform.node()} {self.project_path}".encode()
        return f"{MARK}-{hashlib.sha256(here).hexdigest()[:8]}"

    @cached_property
    def client(self) -> "MlflowClient":
        """MLflow's client, as runs use it."""
        return connect(self.config.server)

    @cached_property
    def answer(self) -> Answer:
        """What the tracking server answers when it is asked for its version."""
        return ask(self.uri)

    def remove_later(self, what: str, remove: Callable[..., object], *names: str | None) -> None:
        """Call `remove` with these names at the end; remember what is left if that fails."""

        def attempt() -> None:
            try:
                remove(*names)
            except Exception:
                self.left_behind.append(what)

        self.cleanup.callback(attempt)
