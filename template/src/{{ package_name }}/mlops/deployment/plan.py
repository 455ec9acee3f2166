"""A deployment is a plan: steps that are printed first, and then taken."""

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
    """

    project: Path
    config: KedroMlflowConfig
    options: Any
    version: "ModelVersion"
    env: str | None


@dataclass(frozen=True)
class Step:
    """One thing that a deployment does.

    Attributes:
        purpose: what for, in a sentence.
        exactly: the command or the call, as it is carried out.
        take: carries it out; raises a `TrackingError` when it fails.
    """

    purpose: str
    exactly: str
    take: Callable[[], object]


def command(
    purpose: str, *words: str, folder: Path, variables: Mapping[str, str] | None = None
) -> Step:
    """Make a step of a command; what it prints goes to the screen.

    Args:
        purpose: what for, in a sentence.
        words: the program and its arguments. No secret is among them: other users see them.
        folder: the working directory.
        variables: what the command is told by the environment, beside this process's own. They are
            printed, so no secret is among them either.
    """
    settings = [f"{name}={shlex.quote(value)}" for name, value in (variables or {}).items()]
    exactly = " ".join([*settings, shlex.join(words)])
    return Step(purpose, exactly, partial(_run, words, folder, variables or {}))


def _run(words: tuple[str, ...], folder: Path, variables: Mapping[str, str]) -> None:
    try:
        code = subprocess.run(
            words, cwd=folder, env=os.environ | dict(variables), check=False
        ).returncode
    except OSError as error:
        raise TrackingError(f"`{words[0]}` cannot be started: {error.strerror}.") from error
    if code:
        raise TrackingError(
            f"`{shlex.join(words)}` ended with exit code {code}: what it says stands above."
        )
