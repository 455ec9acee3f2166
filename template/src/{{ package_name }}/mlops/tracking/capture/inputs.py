"""Inputs: where the data that a run reads come from, and what they look like; never their rows."""

import hashlib
import re
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from os.path import realpath
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ...mlflow_internals import storage_of, uncached
from ...redaction import Patterns, mask
from .foreign import classes_of, is_a, type_name

# Of a larger file, size, start and end are enough: reading all of it would slow down the run.
_WHOLE_BYTES = 16_000_000
_PART_BYTES = 1_000_000
# A folder of more files has no digest.
_MAX_FILES = 10_000
# What is opened there may be a terminal, a pipe, or this process's own input. Shared memory is a
# folder like any other.
_DEVICES = re.compile(r"/dev/(?!shm/)|/proc/|\\\\\.\\|//\./")


def describe_input(name: str, dataset: Any, patterns: Patterns = ()) -> dict[str, Any]:
    """Describe where a data set's data come from; only what is on this machine is looked at.

    ``source`` (a URI without credentials, none for data in memory), ``type`` of the data set and
    ``digest`` of a local file or folder (none for any other).
    """
    described = {"source": None, "type": type_name(uncached(dataset)), "digest": None}
    storage = storage_of(dataset)
    if storage is None:
        return described
    path = Path(storage.uri)
    if path.exists():
        source = path.absolute().as_uri()
        described["digest"] = digest_of(path)
    else:
        # What is behind the question mark of an address is often a signature.
        source = urlunsplit(urlsplit(storage.uri)._replace(query="", fragment=""))
    return {**described, "source": mask(name, source, patterns)}


def digest_of(path: Path) -> str | None:
    """Compute a digest of a file's content, or of the names and sizes in a folder.

    The first 32 hexadecimal digits of a SHA-256 (MLflow takes 36 characters): of the whole file up
    to 16 MB, else of its size, its first and its last MB. None for a device or a pipe, which is not
    even opened, and for a folder of very many files.
    """
    digest = hashlib.sha256()
    if path.is_dir():
        inside = list(islice(path.rglob("*"), _MAX_FILES + 1))
        if len(inside) > _MAX_FILES:
            return None
        for each in sorted(inside):
            if each.is_file():
                name = each.relative_to(path).as_posix()
                digest.update(f"{name}\n{each.stat().st_size}\n".encode())
        return digest.hexdigest()[:32]
    if _DEVICES.match(str(path)) or _DEVICES.match(realpath(path)):
        return None
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        return None
    with path.open("rb") as file:
        if status.st_size <= _WHOLE_BYTES:
            digest.update(file.read(_WHOLE_BYTES))
        else:
            digest.update(str(status.st_size).encode() + file.read(_PART_BYTES))
            file.seek(-_PART_BYTES, 2)
            digest.update(file.read(_PART_BYTES))
    return digest.hexdigest()[:32]


# --- Tables ---


def describe_table(value: Any) -> dict[str, Any]:
    """Describe a table by its columns and their types (``schema``) and how many ``rows`` it has.

    None of both for anything else. Rows are counted only where they are in memory: elsewhere that
    would compute, or fetch, what the run may never need.
    """
    with suppress(Exception):  # A table that breaks when it is asked is the node's to meet.
        for columns, counts in filter(None, map(_TABLES.get, classes_of(value))):
            schema = [(str(name), str(kind)) for name, kind in columns(value)]
            return {"schema": schema, "rows": len(value) if counts else None}
    return {"schema": None, "rows": None}


def is_table(value: Any) -> bool:
    """Return whether a value is a table in memory, of pandas or Polars."""
    return is_a(value, "pandas", "DataFrame") or is_a(value, "polars", "DataFrame")


def _by_dtypes(table: Any) -> Iterable[tuple[Any, Any]]:
    # Spark gives (name, type) pairs.
    types = (kind[1] if isinstance(kind, tuple) else kind for kind in table.dtypes)
    return zip(table.columns, types, strict=True)


# By library and class: what reads the columns, which computes and fetches nothing, and whether the
# rows are in memory.
_TABLES: dict[tuple[str, str], tuple[Callable[[Any], Iterable[tuple[Any, Any]]], bool]] = {
    ("pandas", "DataFrame"): (_by_dtypes, True),
    ("cudf", "DataFrame"): (_by_dtypes, True),
    ("polars", "DataFrame"): (_by_dtypes, True),
    ("pyarrow", "Table"): (lambda table: ((each.name, each.type) for each in table.schema), True),
    ("polars", "LazyFrame"): (lambda plan: plan.collect_schema().items(), False),
    ("dask", "DataFrame"): (_by_dtypes, False),
    ("dask_expr", "DataFrame"): (_by_dtypes, False),
    ("modin", "DataFrame"): (_by_dtypes, False),
    ("pyspark", "DataFrame"): (_by_dtypes, False),
    ("duckdb", "DuckDBPyRelation"): (_by_dtypes, False),
    ("_duckdb", "DuckDBPyRelation"): (_by_dtypes, False),
    ("ibis", "Table"): (lambda table: table.schema().items(), False),
}
