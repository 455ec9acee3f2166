"""Migrate runs to another MLflow: with their models, files, traces and registered versions, once.

    endpoints.py          both ends, and which thing of the source is which at the target
    transfer.py           the order in which things are copied
    tracked_runs.py       a run: params, metrics, tags, inputs, files, outputs
    logged_models.py      a logged model with its files
    registered_models.py  a registered model: versions and aliases
    traces.py             a trace, such as a run's timeline
    files.py              files of a run or a model, one at a time
    verification.py       both ends compared, by counts and digests

What was copied has a tag that names what it was before: a migration that was stopped, or is started
twice, finds at the target itself what it has done.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..backend.client import is_transient, reason_of
from ..config import KedroMlflowConfig
from ..disk import FileLock
from ..errors import TrackingError
from ..project import State, anchor
from ..redaction import mask_text
from .endpoints import Migration, open_source, open_target
from .transfer import copy_all
from .verification import compare


@dataclass(frozen=True)
class Report:
    """The result of a migration.

    Attributes:
        lines: for the terminal.
        complete: whether everything was copied as it is.
    """

    lines: list[str]
    complete: bool


def migrate(
    source: str, config: KedroMlflowConfig, project_path: Path, tell: Callable[[str], None]
) -> Report:
    """Copy runs, models and registered versions of another MLflow to the configured one.

    Args:
        source: its tracking URI; a relative path starts at the project.
        config: mlflow.yml, resolved.
        project_path: the project's folder.
        tell: shows a line of progress.

    Raises:
        TrackingError: one end cannot be opened or stops answering, or another process migrates.
    """
    # A migration has none of the shipper's own retries; a variable that is set counts.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    uri = anchor(source, project_path)
    if uri == config.server.uri:
        raise TrackingError(
            f"--from: this project tracks in {uri} already. Name the MLflow to migrate to in "
            "mlflow.yml (server.mlflow_tracking_uri) or in MLFLOW_TRACKING_URI."
        )
    lock = State.of(project_path).folder / "moving.lock"
    lock.parent.mkdir(exist_ok=True)
    with FileLock(lock) as taken:
        if not taken:
            raise TrackingError("Another process is migrating this project's runs already.")
        migration = Migration(open_source(uri), open_target(config.server), config, tell)
        try:
            unfinished = copy_all(migration)
            tell("Everything is copied. Comparing both ends, file by file ...")
            return _report(migration, unfinished)
        except Exception as error:
            if not is_transient(error):
                raise
            raise TrackingError(
                f"Stopped: {reason_of(error)}. What was copied stays: run the same command again "
                "to continue."
            ) from error


def _report(migration: Migration, unfinished: int) -> Report:
    comparison = compare(migration)
    counts = ", ".join(f"{count} {kind}" for kind, count in comparison.counts.items() if count)
    target = mask_text(migration.target.uri)
    lines = [f"Compared with {target}: {counts or 'nothing to migrate'}."]
    if unfinished:
        lines.append(f"Not copied: {unfinished} runs that have not ended.")
    problems = [*migration.problems, *comparison.differences]
    if problems:
        lines += ["Not the same:", *(f"  {mask_text(problem)}" for problem in problems)]
    else:
        lines.append("All the same.")
    return Report(lines, not problems)
