"""Runs a project in this process and prints what the end of the run takes, as a line of JSON.

Started by logging_models.py with the interpreter of the project, in its folder:
`python ending.py [PIPELINE]`.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

_EVENT = "after_pipeline_run"


class Stopwatch:
    """Takes the time of all hooks together, from the pipeline's end on."""

    def __init__(self) -> None:
        self.seconds = self._started = 0.0

    def before(self, event: str, *_: Any) -> None:
        """Start the clock."""
        if event == _EVENT:
            self._started = time.perf_counter()

    def after(self, _: Any, event: str, *__: Any) -> None:
        """Stop it."""
        if event == _EVENT:
            self.seconds = time.perf_counter() - self._started


def main(*pipelines: str) -> None:
    """Run these pipelines, or the default one."""
    bootstrap_project(Path.cwd())
    watch = Stopwatch()
    session: Any
    with KedroSession.create(Path.cwd()) as session:
        session._hook_manager.add_hookcall_monitoring(watch.before, watch.after)
        session.run(pipeline_names=list(pipelines) or None)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": watch.seconds, "memory": memory}))


if __name__ == "__main__":
    main(*sys.argv[1:])
