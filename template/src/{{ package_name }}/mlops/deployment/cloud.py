"""What the managed services share: steps of API calls, waiting, and options without secrets."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import click

from ..errors import TrackingError
from ..redaction import is_secret, mask
from .steps import Step

_LONGEST_PAUSE = 10.0


def api_step(
    purpose: str,
    client: str,
    method: Callable[..., object],
    api_errors: Callable[[], AbstractContextManager[None]],
    **arguments: Any,
) -> Step:
    """Make a step of an API call.

    Args:
        purpose: what for, in a sentence.
        client: the expression that makes the client, as it is printed.
        method: the method that is called.
        api_errors: turns errors of the service into a `TrackingError`.
        arguments: the method's, without secrets: they are printed.
    """

    def run() -> None:
        with api_errors():
            method(**arguments)

    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return Step(purpose, f"{client}.{method.__name__}({given})", run)


def wait_step(
    endpoint: str,
    command: str,
    state_after: Callable[[float], str | None],
    api_errors: Callable[[], AbstractContextManager[None]],
    seconds: float,
) -> Step:
    """Make a step that waits until an endpoint serves what was deployed.

    Args:
        endpoint: its name.
        command: the call that asks for its state, as it is printed.
        state_after: takes the seconds that have passed, and returns the state for the screen; none
            when there is no more to wait for.
        api_errors: turns errors of the service into a `TrackingError`.
        seconds: how long to wait. The service continues what takes longer.
    """

    def run() -> None:
        with api_errors():
            _wait(f"The endpoint '{endpoint}'", state_after, seconds)

    return Step(f"Wait until it is ready, for {seconds:g} seconds at most.", command, run)


def _wait(what: str, state_after: Callable[[float], str | None], seconds: float) -> None:
    began = time.monotonic()
    pause, printed = 0.5, ""
    while (state := state_after(time.monotonic() - began)) is not None:
        minutes = int(time.monotonic() - began) // 60
        line = f"   {state}, {minutes} min" if minutes else f"   {state}"
        if line != printed:
            click.echo(line)
            printed = line
        if time.monotonic() - began >= seconds:
            raise TrackingError(
                f"{what} is still {state} after {seconds:g} seconds, and continues without this "
                "command: deploy again to check, or raise deployment.timeout in mlflow.yml."
            )
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def require_values(options: object, variables: Mapping[str, str]) -> None:
    """Require values for options, given the environment variable that each comes from.

    Raises:
        TrackingError: an option has none.
    """
    for name, variable in variables.items():
        if not getattr(options, name):
            raise TrackingError(
                f"mlflow.yml: deployment.{name} has no value: give {variable} one in the "
                "environment or in .env (see .env.example), or write it there."
            )


def refuse_secrets(environment: Mapping[str, str], remedy: str) -> None:
    """Refuse variables that look like secrets: everybody with access to the endpoint reads them.

    Raises:
        TrackingError: it names the variable, and the remedy.
    """
    for name, value in environment.items():
        if is_secret(name) or mask(name, value) != value:
            raise TrackingError(
                f"mlflow.yml: deployment.environment.{name} looks like a secret, and everybody "
                f"who sees the endpoint can read it: {remedy}."
            )
