"""The disk: files with two names, and what becomes of a run whose folder is full or read-only."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# What more space or other permissions mend.
_REFUSALS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
}


def refusal(error: BaseException) -> OSError | None:
    """Find the disk's refusal to write that is behind an error; none if it is another one."""
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, OSError) and cause.errno in _REFUSALS:
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


@contextmanager
def whole_or_gone(path: Path) -> Iterator[None]:
    """Leave no half of a file or folder behind: it may be what fills the disk."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        raise


def link(file: str, target: str) -> None:
    """Give a file another name, or copy it where files cannot have two."""
    try:
        os.link(os.path.realpath(file), target)
    except OSError:
        shutil.copyfile(file, target)
