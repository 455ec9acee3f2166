"""Runs a project's pipeline in this process and prints what it took, as a line of JSON.

Started by scaling.py with the interpreter of the project, in its folder.
"""

import json
import logging
import resource
import sys
import time
from functools import wraps
from pathlib import Path
from typing import Any

from kedro.framework.project import settings
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

# What the hook does when a node starts and when it ends.
_EVENTS = ("before_node_run", "after_node_run")


class Stopwatch:
    """Adds up the time that calls of methods take, in this thread: by the clock, and of the CPU."""

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = 0.0

    def watch(self, owner: Any, name: str) -> None:
        """Time all calls of an object's method from now on."""
        method = getattr(owner, name)

        @wraps(method)
        def timed(*arguments: Any, **named: Any) -> Any:
            started, cpu_started = time.perf_counter(), time.thread_time()
            try:
                return method(*arguments, **named)
            finally:
                self.seconds += time.perf_counter() - started
                self.cpu_seconds += time.thread_time() - cpu_started

        setattr(owner, name, timed)


def main() -> None:
    """Run the default pipeline of the project in the working directory."""
    bootstrap_project(Path.cwd())
    watch = Stopwatch()
    for hook in settings.HOOKS:
        for event in _EVENTS:
            watch.watch(hook, event)
    with KedroSession.create(Path.cwd()) as session:
        logging.getLogger("kedro").setLevel(logging.ERROR)
        started = time.perf_counter()
        session.run()
        seconds = time.perf_counter() - started
    print(
        json.dumps(
            {
                "seconds": seconds,
                "hook_seconds": watch.seconds,
                "hook_cpu_seconds": watch.cpu_seconds,
                "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
        ),
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
