"""What Windows lacks, taken away: a plugin for `pytest -p tests.support.windows`, and no Windows.

Other people's packages are imported first, for they choose by system as well. Paths stay POSIX.
"""

from __future__ import annotations

import os
import signal
import sys
from types import ModuleType

from tests.support.rooms import PACKAGE, every_room

_MODULES = ("fcntl", "grp", "pwd", "resource", "termios")
_FUNCTIONS = ("fork", "getuid", "geteuid", "kill", "killpg", "register_at_fork", "setsid")
_SIGNALS = ("SIGALRM", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2")


def become() -> None:
    """Import everything, take away what Windows lacks, and forget the rendered package."""
    every_room()
    for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
        del sys.modules[name]
    for name in _MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for name in _FUNCTIONS:
        delattr(os, name)
    for name in _SIGNALS:
        delattr(signal, name)
    msvcrt = ModuleType("msvcrt")
    msvcrt.locking = lambda *_: None  # type: ignore[attr-defined]
    msvcrt.LK_NBLCK = 2  # type: ignore[attr-defined]
    sys.modules["msvcrt"] = msvcrt
    sys.platform = "win32"


def pytest_configure() -> None:
    """Become Windows before the tests are collected."""
    become()
