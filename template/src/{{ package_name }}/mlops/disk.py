"""Files: written whole or not at all, locked across processes, and what a full disk means."""

import hashlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, EDQUOT, EFBIG, EIO, ENOSPC, EPERM, EROFS
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

# Errors that more space or other permissions fix.
_REFUSALS = {ENOSPC, EDQUOT, EFBIG, EROFS, EACCES, EPERM, EIO}

_CHUNK_BYTES = 1 << 20


def refusal(error: BaseException) -> OSError | None:
    """Return the disk's refusal to write that caused an error; none if the cause is another."""
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, OSError) and cause.errno in _REFUSALS:
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


@contextmanager
def atomic(path: Path) -> Iterator[None]:
    """Remove a file or folder that the block could not finish: it may be what fills the disk."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        raise


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file and its folders; the old content stays until all of the new is written."""
    path = Path(os.path.realpath(path))  # A link stays one.
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    with atomic(beside):
        beside.write_bytes(content)
        beside.replace(path)


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 digest of a file of any size, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def link(file: str, target: str) -> None:
    """Link a file to a second path, or copy it where the file system has no links."""
    try:
        os.link(os.path.realpath(file), target)
    except OSError:
        shutil.copyfile(file, target)


def vanished(location: str) -> bool:
    """Return whether a path or `file:` URI names a folder that is gone, with its parent."""
    from urllib.request import url2pathname  # Imports much, and models hold this module too.

    parts = urlsplit(location)
    path = Path(url2pathname(parts.path) if parts.scheme == "file" else location)
    return path.is_absolute() and not path.exists() and not path.parent.exists()


if sys.platform == "win32":
    import msvcrt

    def _take(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """Held from `take` to `release`, or to the end of the process and the workers it has forked.

    A `with` waits for it so many seconds, and says whether it was taken.
    """

    def __init__(self, path: Path, seconds: float = 0) -> None:
        self._path = path
        self._seconds = seconds
        self._file: IO[bytes] | None = None

    def take(self) -> bool:
        """Take the lock unless a living process holds it; return whether it was taken."""
        file = self._path.open("wb")
        try:
            _take(file)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self._file:
            self._file.close()
            self._file = None

    def __enter__(self) -> bool:
        deadline = time.monotonic() + self._seconds
        while not (is_taken := self.take()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return is_taken

    def __exit__(self, *error: object) -> None:
        self.release()
