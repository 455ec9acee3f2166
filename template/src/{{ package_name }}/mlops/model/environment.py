"""What a process with a model's code gets to see of the environment: an allow-list.

The code of a version is whoever's may write to the registry. It needs libraries, a language and
processors, and neither the credentials of the registry nor the token of those who ask for
predictions. Only the standard library is imported: a serving worker starts with it.
"""

import ctypes
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

_ALLOWED = [
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "PWD", "TMPDIR", "TEMP", "TMP", "TZ"),
    *("LANG", "LANGUAGE", "LC_*", "PYTHON*", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_*"),
    *("XDG_*_HOME", "XDG_*_DIRS", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    # How many processors libraries use.
    *("OMP_*", "KMP_*", "GOMP_*", "MKL_*", "OPENBLAS_*", "BLIS_*", "VECLIB_*", "NUMEXPR_*"),
    *("NUMBA_*", "POLARS_*", "LOKY_*", "CUDA_*", "NVIDIA_*", "TF_*", "TORCH_*"),
    *("DO_NOT_TRACK", "KEDRO_DISABLE_TELEMETRY", "MLFLOW_DISABLE_TELEMETRY"),
    # Windows starts no program without the first.
    *("SYSTEMROOT", "WINDIR", "SYSTEMDRIVE", "COMSPEC", "PATHEXT", "USERPROFILE", "APPDATA"),
    *("LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES", "NUMBER_OF_PROCESSORS", "PROCESSOR_*"),
]
# Of Linux; see capabilities(7), prctl(2) and proc(5).
_SET_DUMPABLE, _DROP_FROM_BOUNDS = 4, 24
_TRACE_PROCESSES = 19
_CAPABILITIES_VERSION = 0x20080522
_START_OF_BLOCK = 47  # In /proc/self/stat, behind the program's name; its end is the next.


def variables(named: Sequence[str] = ()) -> dict[str, str]:
    """Return the variables for such a process: those allowed, and the owner's, by patterns."""
    return {name: value for name, value in os.environ.items() if _matches(name, named)}


def _matches(name: str, named: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in (*_ALLOWED, *named))


def hide_from_children() -> None:
    """Keep what this process was started with from processes that it starts (on Linux).

    /proc shows them the block of variables that it began with, whatever it removes later, and its
    memory. The block is overwritten; only root may look at the rest.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, ValueError, IndexError, AttributeError):
        stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        place, end = map(int, stat[_START_OF_BLOCK : _START_OF_BLOCK + 2])
        for entry in ctypes.string_at(place, end - place).split(b"\0"):
            name = os.fsdecode(entry.partition(b"=")[0])
            if entry and not _matches(name, ()):
                if name in os.environ:
                    os.environ[name] = os.environ[name]  # libc keeps it elsewhere from now on.
                ctypes.memset(place, 0, len(entry))
            place += len(entry) + 1
        ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)


def give_up_tracing() -> None:
    """Keep this process, if it is root's, from looking into others (on Linux).

    To be called before there are threads, of which each has capabilities of its own.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.prctl(_DROP_FROM_BOUNDS, _TRACE_PROCESSES, 0, 0, 0)
        header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0)
        sets = (ctypes.c_uint32 * 6)()  # Effective, permitted and inheritable, low and high.
        if not libc.capget(header, sets):
            for place in range(3):
                sets[place] &= ~(1 << _TRACE_PROCESSES)
            libc.capset(header, sets)
