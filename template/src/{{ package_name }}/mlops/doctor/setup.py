"""What is examined, and what checks find out for those after them."""

import hashlib
import platform
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from ..backend.client import Answer, ask, connect
from ..config import KedroMlflowConfig

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Begins the name of everything that the checks write, for as long as they need it.
MARK = "kedro-mlflow-doctor"


@dataclass
class Setup:
    """A project, its mlflow.yml, and what has been found out.

    Attributes:
        project_path: the project's folder.
        config: mlflow.yml, its places absolute.
        name: names what the checks write, like nothing else.
        folder: names the folder of the file that is written, the same each time: who may write and
            not delete leaves one file, not many.
        artifact_root: where files of the experiment go, once that is known.
        owns_root: whether nothing but what the checks write is there.
        left: what could not be removed again.
        undo: removes what the checks have written.
    """

    project_path: Path
    config: KedroMlflowConfig
    name: str = field(default_factory=lambda: f"{MARK}-{uuid4().hex[:8]}")
    artifact_root: str = ""
    owns_root: bool = False
    folder: str = field(init=False)
    left: list[str] = field(default_factory=list)
    undo: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        """Name the folder after where this project is."""
        here = f"{platform.node()} {self.project_path}".encode()
        self.folder = f"{MARK}-{hashlib.sha256(here).hexdigest()[:8]}"

    @property
    def uri(self) -> str:
        """The tracking URI."""
        return str(self.config.server.mlflow_tracking_uri)

    @cached_property
    def client(self) -> "MlflowClient":
        """MLflow's client, the one that runs use."""
        return connect(self.config.server)

    @cached_property
    def answer(self) -> Answer:
        """What the tracking server answers when it is asked for its version."""
        return ask(self.uri)

    def remove_later(self, what: str, remove: Callable[[], object]) -> None:
        """Remove something at the end; if that is not possible, remember what is left."""

        def attempt() -> None:
            try:
                remove()
            except Exception:
                self.left.append(what)

        self.undo.callback(attempt)
