"""Runs a project's pipeline in this process and prints what it took, as a line of JSON.

Started by scaling.py with the interpreter of the project, in its folder.
"""

import ctypes
import gc
import json
import logging
import sys
import time
from functools import wraps
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
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


class MemoryMark:
    """Marks the memory that is there before the run begins: its configuration is read by then.

    Reading 50,000 parameters takes Kedro more for a moment than their run does, and what it leaves
    behind differs by megabytes.
    """

    def __init__(self) -> None:
        self.bytes = 0

    @hook_impl(trylast=True)
    def after_catalog_created(self) -> None:
        """Give back what is free, and set the kernel's mark of the most memory to what is left."""
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        self.bytes = _bytes("VmRSS")

    def added(self) -> int:
        """Return the most memory since then, beyond what was there."""
        return _bytes("VmHWM") - self.bytes


def _bytes(name: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(status.partition(f"{name}:")[2].split()[0])


def main() -> None:
    """Run the default pipeline of the project in the working directory."""
    bootstrap_project(Path.cwd())
    watch, mark = Stopwatch(), MemoryMark()
    for hook in settings.HOOKS:
        for event in _EVENTS:
            watch.watch(hook, event)
    with KedroSession.create(Path.cwd()) as session:
        logging.getLogger("kedro").setLevel(logging.ERROR)
        session._hook_manager.register(mark)  # type: ignore[attr-defined]
        started = time.perf_counter()
        session.run()
        seconds = time.perf_counter() - started
    print(
        json.dumps(
            {
                "seconds": seconds,
                "hook_seconds": watch.seconds,
                "hook_cpu_seconds": watch.cpu_seconds,
                "memory": mark.added(),
            }
        ),
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
