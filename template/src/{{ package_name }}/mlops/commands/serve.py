"""`kedro mlflow serve`: the champion behind an HTTP address."""

import asyncio
import errno
import os
import signal
import socket
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click

from ..callers import is_this_machine, token_of
from ..errors import TrackingError
from ..model.environment import hide_from_children, variables
from ..registry.versions import CHAMPION
from ..serving import champion
from ..serving.exposition import exposed
from ..serving.server import LoadError, Supervisor
from ..tracking.process import frozen_afterwards
from . import Project, for_project

_TOKEN = "SERVING_TOKEN"
_OTHERWISE = ", or say --no-token if something in front asks them"


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, help="Port to listen on.")
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that answer."
)
@click.option(
    "--reload-on-promote", is_flag=True, help="Switch to a new champion without restarting."
)
@click.option(
    "--model",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of a model to serve instead; no registry is asked.",
)
@click.option("--no-token", is_flag=True, help="Disable token authentication.")
@click.option("--metrics-port", type=int, help="Port for Prometheus; without it, none.")
@for_project
def command(
    project: Project,
    host: str,
    port: int,
    workers: int,
    reload_on_promote: bool,
    model: Path | None,
    no_token: bool,
    metrics_port: int | None,
) -> None:
    """Serve the champion: POST rows to /invocations, ask /ping whether it is up.

    Callers must show the token that the variable SERVING_TOKEN holds. Without one, only this
    machine is served.
    """
    if model and reload_on_promote:
        raise click.UsageError("--model is one version for good: leave out --reload-on-promote.")
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: sys.exit(0))
    with ExitStack() as stack:
        listener = stack.enter_context(_bind(host, port))
        token = _take_token(listener, is_asked=not no_token)
        hide_from_children()
        # For downloaded models and for counts: nothing of it is left behind.
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="serve-")))
        tempfile.tempdir = str(scratch)
        supervisor = Supervisor(listener, workers, None if metrics_port is None else scratch)

        async def serve() -> None:
            try:
                # It imports libraries while this process asks the registry: both at once.
                first = supervisor.start_worker()
                if metrics_port is not None:
                    address = listener.getsockname()[0]
                    stack.enter_context(exposed(supervisor, scratch, address, metrics_port))
                following = None
                if model:
                    config = champion.config_without_registry(project.path, project.env)
                    version, found = champion.packed_model(model, config), str(model)
                else:
                    with frozen_afterwards():
                        config = project.config
                        version = champion.fetch(champion.find(config), config)
                        found = CHAMPION
                    if reload_on_promote:
                        following = partial(champion.follow, supervisor, config, scratch)
                url = f"{_url_of(listener)}/invocations"
                greeting = f"Serving {version} ({found}) on {url}; Ctrl-C stops it."
                named = config.model.environment if config.model else ()
                settings = {"token": token, "environment": variables(named)}
                settings |= config.serving.model_dump()
                await supervisor.serve(version, first, settings, greeting, following)
            except LoadError as error:
                raise TrackingError(f"{version} cannot be served: {error}.") from error
            finally:
                supervisor.kill()

        asyncio.run(serve())


def _bind(host: str, port: int) -> socket.socket:
    """Take the address, without listening yet."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise TrackingError(f"--host {host}: no such address ({error}).") from error
    # localhost is both; most callers try this one first.
    family, *_, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        text = f"{host}:{port} cannot be listened at: {error.strerror}."
        if error.errno == errno.EADDRINUSE:
            text = f"Something listens at {host}:{port} already: choose another --port."
        raise TrackingError(text) from error
    return listener


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _take_token(listener: socket.socket, is_asked: bool) -> str | None:
    """Return the token that callers must show, and remove it from the environment."""
    try:
        if not is_asked:
            return None
        is_local = is_this_machine(listener.getsockname()[0])
        return token_of(_TOKEN, _url_of(listener), is_local, _OTHERWISE)
    finally:
        os.environ.pop(_TOKEN, None)
