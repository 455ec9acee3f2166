"""What deployments to managed services share: calls that are printed, waiting, no secrets."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import click

from ..errors import TrackingError
from ..redaction import is_secret, mask
from .plan import Step

_LONGEST_PAUSE = 10.0


def call(
    purpose: str,
    client: str,
    method: Callable[..., object],
    explained: Callable[[], AbstractContextManager[None]],
    **arguments: Any,
) -> Step:
    """Make a step of a call.

    Args:
        purpose: what for, in a sentence.
        client: how its client is made, as it is printed.
        method: the method that is called.
        explained: turns what the service refuses into a `TrackingError`.
        arguments: what it is called with, and what is printed: no secret is among it.
    """

    def take() -> None:
        with explained():
            method(**arguments)

    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return Step(purpose, f"{client}.{method.__name__}({given})", take)


def wait(what: str, look: Callable[[float], str | None], seconds: float) -> None:
    """Look again and again, until there is nothing to wait for any more.

    Args:
        what: what is waited for; it begins a sentence.
        look: tells the state for the screen, or none once all is well; it is given the seconds
            that have passed.
        seconds: how long to wait.

    Raises:
        TrackingError: it takes longer. What the service has begun goes on.
    """
    began = time.monotonic()
    pause, said = 0.5, ""
    while (state := look(time.monotonic() - began)) is not None:
        minutes = int(time.monotonic() - began) // 60
        line = f"   {state}, {minutes} min" if minutes else f"   {state}"
        if line != said:
            click.echo(line)
            said = line
        if time.monotonic() - began >= seconds:
            raise TrackingError(
                f"{what} is still {state} after {seconds:g} seconds, and goes on without this "
                "command: deploy again to look, or raise deployment.timeout in mlflow.yml."
            )
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def require_values(options: object, variables: Mapping[str, str]) -> None:
    """Stop here when an option that the target cannot do without has no value.

    Args:
        options: what mlflow.yml says of the target.
        variables: the environment variable that gives an option its value, by the option's name.

    Raises:
        TrackingError: it names the first that has none.
    """
    for name, variable in variables.items():
        if not getattr(options, name):
            raise TrackingError(
                f"mlflow.yml: deployment.{name} has no value: give {variable} one in the "
                "environment or in .env (see .env.example), or write it there."
            )


def refuse_secrets(environment: Mapping[str, str], remedy: str) -> None:
    """Stop here when a variable for the service looks like a secret: anybody there can read it.

    Raises:
        TrackingError: it names the variable, and the remedy.
    """
    for name, value in environment.items():
        if is_secret(name) or mask(name, value) != value:
            raise TrackingError(
                f"mlflow.yml: deployment.environment.{name} looks like a secret, and who may look "
                f"at the endpoint may read it: {remedy}."
            )
