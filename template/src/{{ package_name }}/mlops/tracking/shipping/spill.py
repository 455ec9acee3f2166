"""Runs that did not arrive, kept in an object store: for a machine whose disk goes with it."""

import shutil
from pathlib import Path
from uuid import uuid4

from fsspec.core import url_to_fs

from ...disk import atomic


def spill(folder: Path, store: str) -> None:
    """Move a run's journal from this machine into a store; whatever that raises, it stays here."""
    files, root = url_to_fs(store)
    # Two machines may have begun a run in the same millisecond.
    target = f"{root.rstrip('/')}/{uuid4().hex[:8]}/{folder.name}"
    try:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name not in ("lock", "run.json"):
                files.makedirs(
                    f"{target}/{path.parent.relative_to(folder).as_posix()}", exist_ok=True
                )
                files.put_file(str(path), f"{target}/{path.relative_to(folder).as_posix()}")
        # What is not whole is not found by it.
        files.put_file(str(folder / "run.json"), f"{target}/run.json")
    except BaseException:
        files.rm(target, recursive=True)
        raise
    shutil.rmtree(folder)


def fetch(journals: Path, store: str) -> None:
    """Move the runs that a store has to this machine, for `sync` to deliver them."""
    files, root = url_to_fs(store)
    for described in files.glob(f"{root.rstrip('/')}/*/*/run.json"):
        source = described.removesuffix("/run.json")
        folder = journals / source.rpartition("/")[2]
        if folder.exists():
            continue
        half = journals.parent / f"fetched-{folder.name}"
        shutil.rmtree(half, ignore_errors=True)
        with atomic(half):
            files.get(source, str(half), recursive=True)
            journals.mkdir(parents=True, exist_ok=True)
            half.rename(folder)
        files.rm(source, recursive=True)
