"""The sinks of a run: the tracking server, and those that mirror it."""

import json
from functools import partial
from hashlib import sha256
from pathlib import Path

from ..classes import made
from ..config import ExperimentOptions, KedroMlflowConfig, MirrorOptions
from .mlflow_sink import MlflowSink, Promote
from .sink import Sink


def sinks_of(
    folder: Path, config: KedroMlflowConfig, experiment: ExperimentOptions, resumed: bool = False
) -> tuple[MlflowSink, list[Sink]]:
    """Make the sinks that mlflow.yml names for the run in a folder.

    Args:
        folder: the run's journal.
        config: mlflow.yml, its places absolute.
        experiment: the experiment that the run belongs to.
        resumed: whether another process has begun to deliver the run.

    Returns:
        The tracking server that the run belongs to, and its mirrors.

    Raises:
        TrackingError: a mirror's class cannot be loaded or made, or is no sink.
    """
    capture = config.tracking.capture
    server = MlflowSink(config.server, experiment, capture, promote=_promotion(config, folder))
    server.attach("server", folder, resumed)
    mirrors: list[Sink] = []
    for number, mirror in enumerate(config.mirrors):
        sink = custom_sink(number, mirror) or MlflowSink(mirror, experiment, capture, mirror=True)
        sink.attach(_name(mirror), folder, resumed)
        mirrors.append(sink)
    return server, mirrors


def _promotion(config: KedroMlflowConfig, folder: Path) -> Promote | None:
    """Let the run's version become the champion at the run's end, if mlflow.yml wants that."""
    if not (config.promotion.auto and config.model):
        return None
    from ..promotion.promote import promote_at_end

    return partial(promote_at_end, config, folder.parents[1])


def custom_sink(number: int, mirror: MirrorOptions) -> Sink | None:
    """Make the sink of a mirror that is a class of the project's own; none for a server."""
    if mirror.type is None:
        return None
    sink: Sink = made(f"mirrors.{number}.type", mirror.type, Sink, mirror.init_kwargs)
    return sink


def _name(mirror: MirrorOptions) -> str:
    """Name a mirror by what it is: its place in mlflow.yml may change before a run is delivered."""
    content = json.dumps(mirror.model_dump(), sort_keys=True, default=str)
    return f"mirror-{sha256(content.encode()).hexdigest()[:8]}"
