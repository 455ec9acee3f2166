"""Runs a project in this process and prints what a run takes until its end, and its end.

Started by logging_models.py with the interpreter of the project, in its folder:
`python ending.py [PIPELINE]`. The last line is JSON.
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
    """Takes the time until the pipeline's end, and of all hooks together from there on."""

    def __init__(self) -> None:
        self._made = self._ended = time.perf_counter()
        self.until_end = self.seconds = 0.0

    def before(self, event: str, *_: Any) -> None:
        """Note when the pipeline has ended."""
        if event == _EVENT:
            self._ended = time.perf_counter()
            self.until_end = self._ended - self._made

    def after(self, _: Any, event: str, *__: Any) -> None:
        """Note when the hooks have ended."""
        if event == _EVENT:
            self.seconds = time.perf_counter() - self._ended


def main(*pipelines: str) -> None:
    """Run these pipelines, or the default one."""
    bootstrap_project(Path.cwd())
    session: Any
    with KedroSession.create(Path.cwd()) as session:
        watch = Stopwatch()
        session._hook_manager.add_hookcall_monitoring(watch.before, watch.after)
        session.run(pipeline_names=list(pipelines) or None)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    times = {"seconds": watch.seconds, "until_end": watch.until_end}
    print(json.dumps({**times, "memory": memory}))


if __name__ == "__main__":
    main(*sys.argv[1:])
