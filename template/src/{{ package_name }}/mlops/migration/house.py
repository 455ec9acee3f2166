"""Moving house, from the command's side: both ends opened, one move at a time, a report."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..backend.client import is_transient, reason_of
from ..config import KedroMlflowConfig
from ..disk import FileLock
from ..errors import TrackingError
from ..project import anchor
from ..redaction import mask_text
from .checking import check
from .move import Move
from .places import open_source, open_target


@dataclass(frozen=True)
class Report:
    """What a move has come to.

    Attributes:
        lines: what a person reads.
        complete: whether all of it has arrived.
    """

    lines: list[str]
    complete: bool


def move_house(
    source: str, config: KedroMlflowConfig, project_path: Path, tell: Callable[[str], None]
) -> Report:
    """Bring runs, models and registered versions of another MLflow to the configured one.

    Args:
        source: its tracking URI; a relative path starts at the project.
        config: mlflow.yml, its places absolute.
        project_path: the project's folder.
        tell: shows a line of progress.

    Raises:
        TrackingError: one end cannot be opened or does not answer any more, or somebody is at it
            already.
    """
    # A move has none of the shipper's own retries; who sets this is obeyed.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    uri = anchor(source, project_path)
    if uri == config.server.mlflow_tracking_uri:
        raise TrackingError(
            f"--from: this project tracks in {uri} already. Say in mlflow.yml (server."
            "mlflow_tracking_uri) or in MLFLOW_TRACKING_URI where to move to."
        )
    lock = project_path / ".kedro_mlflow" / "moving.lock"
    lock.parent.mkdir(exist_ok=True)
    with FileLock(lock) as taken:
        if not taken:
            raise TrackingError("Another process is moving this project's runs already.")
        move = Move(open_source(uri), open_target(config.server), config, tell)
        try:
            move.bring_all()
            tell("All that could go is there. Comparing both ends, file by file ...")
            return report(move)
        except Exception as error:
            if not is_transient(error):
                raise
            raise TrackingError(
                f"Stopped: {reason_of(error)}. What is there stays there: "
                "start the same command again to go on."
            ) from error


def report(move: Move) -> Report:
    """Check a move, and put what was found into a few lines."""
    findings = check(move)
    counts = ", ".join(f"{count} {kind}" for kind, count in findings.counts.items() if count)
    there = mask_text(move.target.uri)
    lines = [f"Compared with {there}: {counts or 'nothing to move'}."]
    if move.left:
        lines.append(f"Stayed here: {move.left} runs that have not ended.")
    problems = [*move.notes, *findings.differences]
    if problems:
        lines += ["Not the same:", *(f"  {mask_text(problem)}" for problem in problems)]
    else:
        lines.append("All the same.")
    return Report(lines, not problems)
