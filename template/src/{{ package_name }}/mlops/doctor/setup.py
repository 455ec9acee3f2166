"""What each check gets, the set-up that is examined, and what it returns: a finding."""

import hashlib
import platform
import re
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from ..backend.client import Answer, ask, connect
from ..config import KedroMlflowConfig
from ..redaction import mask_text

if TYPE_CHECKING:
    from mlflow import MlflowClient

# The name of everything that the checks write begins with it.
MARK = "kedro-mlflow-doctor"


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        status: with a warning runs are tracked; after a failure they are not, or not completely.
        message: the state, in a sentence without a full stop.
        remedy: what to do about it, in whole sentences; empty when there is nothing to do.
        not_yet: why the checks that need this one are skipped, although nothing is wrong.
    """

    status: Literal["ok", "warning", "failed", "skipped"]
    message: str
    remedy: str = ""
    not_yet: str = ""

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


@dataclass
class Setup:
    """A project and its mlflow.yml, and what a check finds out for those after it.

    Attributes:
        project_path: the project's folder.
        config: mlflow.yml, resolved.
        name: the name of what the checks create; unique.
        artifact_root: where files of the experiment go, once that is known.
        owns_root: whether only the checks write there.
        left_behind: what could not be removed again.
        cleanup: removes what the checks have written.
    """

    project_path: Path
    config: KedroMlflowConfig
    name: str = field(default_factory=lambda: f"{MARK}-{uuid4().hex[:8]}")
    artifact_root: str = ""
    owns_root: bool = False
    left_behind: list[str] = field(default_factory=list)
    cleanup: ExitStack = field(default_factory=ExitStack)

    @property
    def uri(self) -> str:
        """The tracking URI."""
        return self.config.server.uri

    @property
    def folder(self) -> str:
        """The folder of the file that is written.

        The same each time: with permission to write and not to delete, one file stays, not many.
        """
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

    def remove_later(self, what: str, remove: Callable[[], object]) -> None:
        """Remove something at the end; remember it if that is not possible."""

        def attempt() -> None:
            try:
                remove()
            except Exception:
                self.left_behind.append(what)

        self.cleanup.callback(attempt)
