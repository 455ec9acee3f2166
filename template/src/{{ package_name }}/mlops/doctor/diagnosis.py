"""The order of the checks, and which of them need which."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from threading import enumerate as enumerate_threads

from ..config import KedroMlflowConfig, MirrorOptions, ServerOptions
from ..errors import TrackingError
from ..project import State, is_database, is_server
from ..tracking.shipping.shipper import custom_sink
from .artifacts import artifacts
from .database import database, tables
from .experiment import experiment
from .finding import Finding, failed, ok, reason, skipped, warning
from .journals import journal, refused
from .registry import registry
from .server import address, clock, encryption, version
from .setup import Setup
from .sign_in import sign_in
from .variables import judge_variables

SECONDS = 15


_THREAD = "kedro mlflow doctor"


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: what it is about.
        look: what it does.
        needs: the checks without whose success there is nothing to look at.
    """

    name: str
    look: Callable[[Setup], Finding]
    needs: Sequence[str] = ()


def checks_of(config: KedroMlflowConfig) -> list[Check]:
    """List the checks of a set-up, in their order."""
    uri = str(config.server.mlflow_tracking_uri)
    checks = [Check("variables", _variables)]
    if is_server(uri):
        checks += [
            Check("address", address),
            Check("encryption", encryption, ["address"]),
            Check("clock", clock, ["encryption"]),
            Check("sign-in", sign_in, ["variables", "encryption"]),
            Check("version", version, ["sign-in"]),
        ]
    elif is_database(uri):
        checks += [
            Check("database", database, ["variables"]),
            Check("tables", tables, ["database"]),
        ]
    else:
        checks += [Check("sign-in", sign_in, ["variables"])]
    door = checks[-1].name if is_database(uri) else "sign-in"
    checks += [
        Check("experiment", experiment, [door]),
        Check("artifacts", artifacts, ["experiment"]),
    ]
    if config.model:
        checks += [Check("registry", registry, [door])]
    checks += [Check(f"mirror {n + 1}", _mirror(n, m)) for n, m in enumerate(config.mirrors)]
    return [
        *checks,
        Check("journal", lambda setup: journal(State.of(setup.project_path).journals)),
        Check("refused", lambda setup: refused(State.of(setup.project_path).journals)),
    ]


def diagnose(checks: Sequence[Check], setup: Setup) -> Iterator[tuple[str, Finding]]:
    """Look at one thing after the other, and remove in the end what was written for it."""
    nothing_there: dict[str, str] = {}
    with setup.undo:
        for check in checks:
            without = next(
                (nothing_there[name] for name in check.needs if name in nothing_there), ""
            )
            finding = skipped(without) if without else within(SECONDS, check, setup)
            if without or finding.ends:
                nothing_there[check.name] = without or finding.ends
            elif finding.status == "failed":
                nothing_there[check.name] = f"needs {check.name}"
            yield check.name, finding
    if setup.left:
        yield (
            "left behind",
            warning(
                ", ".join(setup.left),
                "Whoever may delete there can remove it; nothing reads it.",
            ),
        )


def within(seconds: float, check: Check, setup: Setup) -> Finding:
    """Look, but no longer than some seconds: many a library retries for minutes."""
    found: SimpleQueue[Finding] = SimpleQueue()

    def look() -> None:
        try:
            found.put(check.look(setup))
        except Exception as error:
            found.put(failed(reason(error), "This check did not expect that."))

    Thread(target=look, name=_THREAD, daemon=True).start()
    try:
        return found.get(timeout=seconds)
    except Empty:
        return failed(f"no answer within {seconds:g} seconds", "Try again, or ask who runs it.")


def waits() -> bool:
    """Tell whether a check is still waiting, after its time was up."""
    return any(thread.name == _THREAD for thread in enumerate_threads())


def _variables(setup: Setup) -> Finding:
    from dotenv import dotenv_values

    return judge_variables(
        setup.uri,
        setup.config.tracking.experiment.create_experiment_kwargs.artifact_location,
        os.environ,
        dotenv_values(setup.project_path / ".env"),
    )


def _mirror(number: int, place: MirrorOptions) -> Callable[[Setup], Finding]:
    """Look whether a mirror is there and lets us in."""

    def look(setup: Setup) -> Finding:
        try:
            if sink := custom_sink(number, place):
                return ok(f"{sink.place}, by {place.type}")
        except TrackingError as error:
            return failed(error.message, "Runs do not start like this: mend it, or leave it out.")
        server = ServerOptions(
            mlflow_tracking_uri=place.mlflow_tracking_uri,
            mlflow_registry_uri=place.mlflow_registry_uri,
        )
        mirror = Setup(setup.project_path, setup.config.model_copy(update={"server": server}))
        looks = [sign_in]
        if is_server(mirror.uri):
            looks = [address, encryption, sign_in]
        elif is_database(mirror.uri):
            looks = [database, tables]
        for look in looks:
            finding = look(mirror)
            if finding.status == "failed" or finding.ends:
                break
        return finding

    return look
