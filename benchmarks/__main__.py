"""`make bench`: all figures, side by side in one run, as the tables of docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from functools import partial
from importlib.metadata import version

from . import (
    classifying,
    copying,
    cpu_bound,
    hostile,
    image,
    loading,
    logging_models,
    monitoring,
    orchestration,
    predicting,
    project,
    report,
    resilience,
    running,
    scaling,
    serving,
    starting,
    threads,
    tracking,
    tuning,
    updating,
)
from .measure import FailedCommandError, TookTooLongError

PAGE = project.REPOSITORY / "docs" / "benchmarks.md"

SUBJECTS = {
    "copying": copying.measure,
    "updating": updating.measure,
    "starting": starting.measure,
    "running": running.measure,
    "tracking": tracking.measure,
    "threads": threads.measure,
    "cpu_bound": cpu_bound.measure,
    "scaling": scaling.measure,
    "resilience": resilience.measure,
    "predicting": predicting.measure,
    "serving": serving.measure,
    "classifying": classifying.measure,
    "logging": logging_models.measure,
    "loading": loading.measure,
    "image": image.measure,
    "hostile": hostile.measure,
    "orchestration": orchestration.measure,
    "tuning": tuning.measure,
    "monitoring": monitoring.measure,
}


def main() -> int:
    """Measure; 0 whether the bounds hold or not, 1 when something could not be measured."""
    options = _options()
    _warn_if_busy()
    try:
        _progress("installing the project")
        rendered = project.rendered()
        versions = rendered.versions("kedro", "mlflow") | {"copier": version("copier")}
        tables = []
        subjects = SUBJECTS | {"loading": partial(loading.measure, minutes=options.minutes)}
        for subject in options.subjects or SUBJECTS:
            _progress(subject)
            table = subjects[subject](options.repetitions, rendered)
            figures = report.markdown(table, report.circumstances(options.repetitions, versions))
            print(f"{figures}\n", flush=True)
            report.write(PAGE, subject, figures)
            tables.append(table)
    except (FailedCommandError, TookTooLongError, subprocess.CalledProcessError) as failure:
        print(failure, file=sys.stderr)
        return 1
    print(report.verdict(tables))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "subjects", nargs="*", help=f"{', '.join(SUBJECTS)}: all unless some are named"
    )
    parser.add_argument(
        "--repetitions", "-n", type=int, default=9, help="of each command (default: 9)"
    )
    parser.add_argument(
        "--minutes", type=float, default=loading.MINUTES, help="of loading (default: 10)"
    )
    options = parser.parse_args()
    if unknown := sorted(set(options.subjects) - SUBJECTS.keys()):
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
