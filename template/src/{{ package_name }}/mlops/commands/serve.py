"""`kedro mlflow serve`: the champion behind an HTTP address."""

import asyncio
import signal
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click
from kedro.framework.startup import ProjectMetadata

from ..backend.access import project_config
from ..errors import TrackingError
from ..registry.versions import CHAMPION
from ..serving.address import bind, take_token, url_of
from ..serving.process import LoadError
from ..serving.reload import follow
from ..serving.source import ModelRegistry, config_without_places, packed_model
from ..serving.supervisor import Supervisor
from ..tracking.process import frozen_afterwards


@click.command("serve")
@click.option("--env", "-e", help="Kedro environment whose mlflow.yml counts.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, help="Port to listen on.")
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that answer."
)
@click.option("--reload-on-promote", is_flag=True, help="Serve a new champion as soon as there is.")
@click.option(
    "--model",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of a model to serve instead; no registry is asked.",
)
@click.option("--no-token", is_flag=True, help="Let in whoever reaches the address.")
@click.option("--metrics-port", type=int, help="Port for Prometheus; without it, none.")
@click.pass_obj
def command(
    metadata: ProjectMetadata,
    env: str | None,
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
        listener = stack.enter_context(bind(host, port))
        token = take_token(listener, is_asked=not no_token)
        # Models that are fetched, and what is counted: nothing of it is left behind.
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="serve-")))
        tempfile.tempdir = str(scratch)
        counts = None if metrics_port is None else scratch
        supervisor = Supervisor(listener, workers, counts)

        async def serve() -> None:
            try:
                # It imports libraries while this process asks the registry: both at once.
                first = await supervisor.start_worker()
                if counts and metrics_port is not None:
                    from ..serving.exposition import Exposition

                    supervisor.exposition = Exposition(counts)
                    host_of_both = listener.getsockname()[0]
                    stack.callback(supervisor.exposition.listen(host_of_both, metrics_port))
                project, following = Path(metadata.project_path), None
                if model:
                    config = config_without_places(project, env)
                    version, found = packed_model(model, config), str(model)
                else:
                    with frozen_afterwards():
                        config = project_config(project, env)
                        registry = ModelRegistry(config, scratch)
                        version, found = registry.fetch(registry.champion()), CHAMPION
                    if reload_on_promote:
                        seconds = config.serving.poll_seconds
                        following = partial(follow, supervisor, registry, seconds)
                address = f"{url_of(listener)}/invocations"
                greeting = f"Serving {version} ({found}) on {address}; Ctrl-C stops it."
                terms = {
                    "token": token,
                    "max_bytes": int(config.serving.max_megabytes * 1e6),
                    "max_rows": config.serving.max_rows,
                }
                await supervisor.serve(version, first, terms, greeting, following)
            except LoadError as error:
                raise TrackingError(f"{version} cannot be served: {error}.") from error
            finally:
                supervisor.kill()

        asyncio.run(serve())
