"""The sinks of a run: the tracking server, and those that mirror it."""

from collections.abc import Sequence
from pathlib import Path

from ..config import ExperimentOptions, KedroMlflowConfig
from .mlflow_sink import MlflowSink


def sinks_of(
    folder: Path, config: KedroMlflowConfig, experiment: ExperimentOptions, resumed: bool = False
) -> Sequence[MlflowSink]:
    """Make the sinks that mlflow.yml names for the run in a folder; the first is the server's own.

    Args:
        folder: the run's journal.
        config: mlflow.yml, its places absolute.
        experiment: the experiment that the run belongs to.
        resumed: whether another process has begun to deliver the run.
    """
    capture = config.tracking.capture
    server = MlflowSink("server", folder, config.server, experiment, capture, resumed=resumed)
    mirrors = [
        MlflowSink(
            f"mirror-{number}", folder, mirror, experiment, capture, mirror=True, resumed=resumed
        )
        for number, mirror in enumerate(config.mirrors, start=1)
    ]
    return [server, *mirrors]
