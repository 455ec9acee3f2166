"""What `kedro mlflow doctor` checks, and in which order."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from threading import enumerate as enumerate_threads

from ..backend.access import project_config
from ..config import KedroMlflowConfig, MirrorOptions, ServerOptions
from ..errors import TrackingError, one_line
from ..mlflow_internals import import_mlflow
from ..project import State, is_database, is_server
from ..redaction import mask, secret_values
from ..tracking.shipping.shipper import custom_sink
from ..update.origin import pending
from . import connection, stores
from .example import example
from .setup import Finding, Setup, failed, ok, skipped, warning
from .workflows import workflows

SECONDS = 15
_THREAD = "kedro mlflow doctor"


@dataclass(frozen=True)
class Check:
    """One check, which needs other checks' success, for kinds of tracking URI."""

    name: str
    run: Callable[[Setup], Finding]
    needs: Sequence[str] = ()
    where: Sequence[str] = ("server", "database", "service")


CHECKS = (
    Check("variables", connection.variables),
    Check("address", connection.address, (), ["server"]),
    Check("encryption", connection.encryption, ["address"], ["server"]),
    Check("clock", connection.clock, ["encryption"], ["server"]),
    Check("sign-in", connection.sign_in, ["variables", "encryption"], ["server", "service"]),
    Check("version", connection.version, ["sign-in"], ["server"]),
    Check("database", stores.database, ["variables"], ["database"]),
    Check("tables", stores.tables, ["database"], ["database"]),
    Check("experiment", stores.experiment, ["sign-in", "tables"]),
    Check("artifacts", stores.artifacts, ["experiment"]),
    Check("registry", stores.registry, ["sign-in", "tables"]),
)

_CHECKS_OF_A_MIRROR = ("address", "encryption", "sign-in", "database", "tables")


def examine(project_path: Path, env: str | None) -> Iterator[tuple[str, Finding]]:
    """Check mlflow.yml of a Kedro environment, then what it names; findings hold no secret."""
    state = State.of(project_path)
    try:
        config = project_config(project_path, env)
    except Exception as error:
        unreadable = f"the project's configuration cannot be read ({one_line(error)})"
        finding = failed(unreadable, "Correct the files in conf/.")
        if isinstance(error, TrackingError):  # Our own errors hold their remedy.
            finding = failed(" ".join(str(error).split()))
        yield "settings", finding.masked(secret_values(os.environ))
        yield "journal", stores.journal(state, KedroMlflowConfig())
        yield "refused", stores.refused(state, KedroMlflowConfig())
        return
    uri = config.server.uri
    secrets = secret_values({**os.environ, "uri": uri}, config.redaction.patterns)
    where = env or os.environ.get("KEDRO_ENV") or "local"
    shown = mask("", uri).replace(f"{project_path.as_posix()}/", "")
    yield "settings", ok(f"environment {where}, tracking at {shown}")
    for name, finding in diagnose(checks_of(config), Setup(project_path, config)):
        yield name, finding.masked(secrets)
    if found := example(project_path):
        yield "example", found
    if uncopied := workflows(project_path):
        yield "workflows", uncopied
    if newer := pending(project_path):
        yield "template", ok(f"{newer} is there", "`kedro mlflow update` brings it.")


def checks_of(config: KedroMlflowConfig) -> list[Check]:
    """List the checks of a set-up, in their order."""
    excluded = "registry" if config.model is None else ""
    kind, mirrors = _kind(config.server.uri), enumerate(config.mirrors)
    return [
        *(check for check in CHECKS if kind in check.where and check.name != excluded),
        *(Check(f"mirror {i + 1}", partial(_mirror, i, mirror)) for i, mirror in mirrors),
        Check("journal", lambda setup: stores.journal(State.of(setup.project_path), config)),
        Check("refused", lambda setup: stores.refused(State.of(setup.project_path), config)),
    ]


def _kind(uri: str) -> str:
    return "server" if is_server(uri) else "database" if is_database(uri) else "service"


def _mirror(number: int, options: MirrorOptions, setup: Setup) -> Finding:
    try:
        if sink := custom_sink(number, options):
            return ok(f"{sink.place}, by {options.type}")
    except TrackingError as error:
        return failed(error.message, "No run starts like this: correct it, or remove it.")
    mirror = ServerOptions(
        mlflow_tracking_uri=options.mlflow_tracking_uri,
        mlflow_registry_uri=options.mlflow_registry_uri,
    )
    its_setup = Setup(setup.project_path, setup.config.model_copy(update={"server": mirror}))
    for check in CHECKS:
        if check.name in _CHECKS_OF_A_MIRROR and _kind(mirror.uri) in check.where:
            finding = check.run(its_setup)
            if finding.status == "failed" or finding.not_yet:
                break
    return finding


def diagnose(checks: Sequence[Check], setup: Setup) -> Iterator[tuple[str, Finding]]:
    """Run checks one after the other; at the end, remove what they have written."""
    import_mlflow()  # The first time takes seconds, which are none of a server's.
    why_skipped: dict[str, str] = {}
    with setup.cleanup:
        for check in checks:
            missing = next((why_skipped[name] for name in check.needs if name in why_skipped), "")
            finding = skipped(missing) if missing else within(SECONDS, check, setup)
            if missing or finding.not_yet:
                why_skipped[check.name] = missing or finding.not_yet
            elif finding.status == "failed":
                why_skipped[check.name] = f"needs {check.name}"
            yield check.name, finding
    if setup.left_behind:
        remedy = "Nothing reads it: a user with permission to delete can remove it."
        yield "left behind", warning(", ".join(setup.left_behind), remedy)


def within(seconds: float, check: Check, setup: Setup) -> Finding:
    """Run a check, but no longer than some seconds: many libraries retry for minutes."""
    found: SimpleQueue[Finding] = SimpleQueue()

    def run() -> None:
        try:
            found.put(check.run(setup))
        except Exception as error:
            found.put(failed(one_line(error), "This error was not expected here."))

    Thread(target=run, name=_THREAD, daemon=True).start()
    try:
        return found.get(timeout=seconds)
    except Empty:
        return failed(f"no answer within {seconds:g} seconds", "Try again, or ask who runs it.")


def is_waiting() -> bool:
    """Return whether a check still waits, after its time was up."""
    return any(thread.name == _THREAD for thread in enumerate_threads())
