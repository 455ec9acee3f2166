"""A deployment is a list of steps: each is printed, then run."""

import os
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import KedroMlflowConfig
from ..errors import TrackingError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class Deployment:
    """What is to be deployed.

    Attributes:
        project: the project's folder.
        config: mlflow.yml of the Kedro environment that was asked for.
        options: what it says of the target, as the target's own class.
        version: the version of the registered model.
        env: the Kedro environment; none for the default one.
        commit: whether to commit what is to run, and leave it to the cluster to fetch that.
    """

    project: Path
    config: KedroMlflowConfig
    options: Any
    version: "ModelVersion"
    env: str | None
    commit: bool = False


@dataclass(frozen=True)
class Step:
    """One thing that a deployment does.

    Attributes:
        purpose: what for, in a sentence.
        command: the command or the API call, as it is printed.
        run: runs it; raises a `TrackingError` when it fails.
    """

    purpose: str
    command: str
    run: Callable[[], object]


def program_step(
    purpose: str, *words: str, folder: Path, variables: Mapping[str, str] | None = None
) -> Step:
    """Make a step of a program; what it prints goes to the screen.

    Args:
        purpose: what for, in a sentence.
        words: the program and its arguments, without secrets: other users of the machine see them.
        folder: the working directory.
        variables: environment variables beside this process's own, without secrets: they are
            printed.
    """
    settings = [f"{name}={shlex.quote(value)}" for name, value in (variables or {}).items()]
    command = " ".join([*settings, shlex.join(words)])
    return Step(purpose, command, partial(_run, words, folder, variables or {}))


def _run(words: tuple[str, ...], folder: Path, variables: Mapping[str, str]) -> None:
    try:
        code = subprocess.run(
            words, cwd=folder, env=os.environ | dict(variables), check=False
        ).returncode
    except OSError as error:
        raise TrackingError(f"`{words[0]}` cannot be started: {error.strerror}.") from error
    if code:
        raise TrackingError(
            f"`{shlex.join(words)}` ended with exit code {code}: see its messages above."
        )
