"""`make bench`: all figures, side by side in one run, as the tables of docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version

from . import copying, project, report, running, starting
from .measure import FailedCommandError
from .report import Table

PAGE = project.REPOSITORY / "docs" / "benchmarks.md"

SUBJECTS = ("copying", "starting", "running")


def main() -> int:
    """Measure; 0 whether the bounds hold or not, 1 when something could not be measured."""
    options = _options()
    _warn_if_busy()
    try:
        _progress("installing the project")
        rendered = project.rendered()
        measures: dict[str, Callable[[], Table]] = {
            "copying": lambda: copying.measure(options.repetitions, rendered),
            "starting": lambda: starting.measure(options.repetitions, rendered),
            "running": lambda: running.measure(options.repetitions, rendered),
        }
        tables = []
        for subject in options.subjects or SUBJECTS:
            _progress(subject)
            tables.append(measures[subject]())
    except (FailedCommandError, subprocess.CalledProcessError) as failure:
        print(failure, file=sys.stderr)
        return 1
    versions = rendered.versions("kedro", "mlflow") | {"copier": version("copier")}
    figures = report.markdown(tables, report.circumstances(options.repetitions, versions))
    print(f"{figures}\n\n{report.verdict(tables)}")
    if options.subjects:
        print(f"Not written into {PAGE.name}: some subjects alone were measured.")
    else:
        report.write(PAGE, figures)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "subjects", nargs="*", help="copying, starting, running: all unless some are named"
    )
    parser.add_argument(
        "--repetitions", "-n", type=int, default=9, help="of each command (default: 9)"
    )
    options = parser.parse_args()
    if unknown := sorted(set(options.subjects) - set(SUBJECTS)):
        parser.error(f"no such subject: {', '.join(unknown)}")
    if options.repetitions < 1:
        parser.error("at least one repetition")
    return options


def _warn_if_busy() -> None:
    load = os.getloadavg()[0]
    if load > 0.5:
        _progress(f"this machine is busy (load {load:.1f}): the figures will vary")


def _progress(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
