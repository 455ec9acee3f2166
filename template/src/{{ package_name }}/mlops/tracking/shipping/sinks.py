"""The sinks of a run: the tracking server, and those that mirror it."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from ...backend.access import instantiate
from ...config import ExperimentOptions, KedroMlflowConfig, MirrorOptions
from ..listeners import RunListener
from .mlflow_sink import MlflowSink
from .sink import Sink


def sinks_of(
    folder: Path,
    config: KedroMlflowConfig,
    experiment: ExperimentOptions,
    listeners: Sequence[RunListener] = (),
    resumed: bool = False,
) -> list[Sink]:
    """Make the sinks of the run in a folder: the tracking server first, then its mirrors.

    Args:
        folder: the run's journal.
        config: mlflow.yml, resolved.
        experiment: the experiment that the run belongs to.
        listeners: what takes part in the delivery.
        resumed: whether another process has begun to deliver the run.

    Raises:
        TrackingError: a mirror's class cannot be loaded or made, or is no sink.
    """
    capture = config.tracking.capture
    server = MlflowSink(config.server, experiment, capture, listeners)
    server.attach("server", folder, resumed)
    sinks: list[Sink] = [server]
    for number, mirror in enumerate(config.mirrors):
        sink = custom_sink(number, mirror) or MlflowSink(
            mirror, experiment, capture, listeners, mirror=True
        )
        sink.attach(_name(mirror), folder, resumed)
        sinks.append(sink)
    return sinks


def custom_sink(number: int, mirror: MirrorOptions) -> Sink | None:
    """Make the sink of a mirror that is a class of the project's own; none for a server."""
    if mirror.type is None:
        return None
    sink: Sink = instantiate(f"mirrors.{number}.type", mirror.type, Sink, mirror.init_kwargs)
    return sink


def _name(mirror: MirrorOptions) -> str:
    """Name a mirror by what it is: its place in mlflow.yml may change before a run is delivered."""
    content = json.dumps(mirror.model_dump(), sort_keys=True, default=str)
    return f"mirror-{sha256(content.encode()).hexdigest()[:8]}"
