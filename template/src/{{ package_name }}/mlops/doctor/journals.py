"""Runs that MLflow has not taken yet, and what it has refused for good."""

from pathlib import Path

from ..disk import FileLock
from .finding import Finding, ok, warning


def journal(journals: Path) -> Finding:
    """Count the runs that wait on disk.

    Args:
        journals: the folder that holds a folder a run.
    """
    folders = [path.parent for path in sorted(journals.glob("*/run.json"))]
    waiting = [folder.name for folder in folders if not _is_running(folder)]
    if not waiting:
        running = len(folders)
        return ok(f"no run waits, {running} under way" if running else "no run waits")
    runs = "1 run waits" if len(waiting) == 1 else f"{len(waiting)} runs wait"
    return warning(
        f"{runs} to be delivered, from {waiting[0]} on", "Run `uv run kedro mlflow sync`."
    )


def _is_running(folder: Path) -> bool:
    try:
        with FileLock(folder / "lock") as taken:
            return not taken
    except OSError:  # A disk that is read-only: no run writes there.
        return False


def refused(journals: Path) -> Finding:
    """Count the runs of which MLflow has refused something."""
    folder = journals.with_name("refused")
    lists = sorted(folder.glob("*")) if folder.is_dir() else []
    if not lists:
        return ok("nothing")
    return warning(
        f"something of {len(lists)} {'run' if len(lists) == 1 else 'runs'}",
        f"{folder.parent.name}/{folder.name}/ says what, and why; delete it once you have read it.",
    )
