"""The rendered package as it is on Windows: a plugin, `pytest -p tests.support.windows`.

A stand-in: its modules find no POSIX in `sys`, `os`, `signal` and among what they import. Other
people's packages, paths and processes stay those of this machine.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import Any

from tests.support.rooms import PACKAGE, every_room

_MODULES = ("fcntl", "grp", "pwd", "resource", "termios")
_LACKS = {
    os: {"fork", "getuid", "geteuid", "killpg", "register_at_fork", "setsid", "sched_getaffinity"},
    signal: {"SIGALRM", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2"},
    sys: set[str](),
}


class _Seen(ModuleType):
    """A module of the standard library as code on Windows sees it."""

    def __init__(self, real: ModuleType, **instead: Any) -> None:
        super().__init__(real.__name__)
        self._real = real
        self.__dict__.update(instead)

    def __getattr__(self, name: str) -> Any:
        if name in _LACKS[self._real]:
            raise AttributeError(f"Windows has no {self.__name__}.{name}")
        return getattr(self._real, name)


def _msvcrt() -> ModuleType:
    module = ModuleType("msvcrt")
    take = fcntl.LOCK_EX | fcntl.LOCK_NB
    module.__dict__.update(locking=lambda file, *_: fcntl.flock(file, take), LK_NBLCK=2)
    return module


_SEEN = {
    "os": _Seen(os),
    "signal": _Seen(signal),
    "sys": _Seen(sys, platform="win32"),
    "msvcrt": _msvcrt(),
    **dict.fromkeys(_MODULES),
}


@contextmanager
def _imports_of_windows() -> Iterator[None]:
    real = {name: sys.modules[name] for name in _SEEN if name in sys.modules}
    sys.modules.update(_SEEN)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in _SEEN.keys() - real:
            del sys.modules[name]
        sys.modules.update(real)


def become() -> None:
    """Import everything, then let the rendered package be imported again as on Windows."""
    every_room()
    for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
        del sys.modules[name]
    execute = SourceFileLoader.exec_module

    def exec_module(loader: SourceFileLoader, module: ModuleType) -> None:
        if module.__name__.startswith(PACKAGE):
            with _imports_of_windows():
                execute(loader, module)
        else:
            execute(loader, module)

    SourceFileLoader.exec_module = exec_module  # type: ignore[method-assign, assignment]


def pytest_configure() -> None:
    """Become Windows before the tests are collected."""
    become()
    every_room()
