"""Inputs: where the data that a run reads come from, and what they look like; never their rows."""

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from ...mlflow_internals import storage_of, uncached
from ...redaction import Patterns, mask

# Of a larger file, size, start and end are enough: reading all of it would slow down the run.
_WHOLE_BYTES = 16_000_000
_PART_BYTES = 1_000_000


def describe_inputs(
    pipeline: Pipeline, catalog: DataCatalog, patterns: Patterns = ()
) -> dict[str, dict[str, Any]]:
    """Describe the data that a pipeline reads and does not make itself, parameters aside.

    By name: ``source`` (a URI without credentials, none for data in memory), ``type`` of the data
    set and ``digest`` of a local file or folder (none for any other).
    """
    return {
        name: _describe(name, catalog[name], patterns)
        for name in sorted(pipeline.inputs())
        if name != "parameters" and not name.startswith("params:")
    }


def schema_of(value: Any) -> list[tuple[str, str]] | None:
    """List a table's columns and their types (pandas, polars, Spark); none for anything else."""
    columns, types = getattr(value, "columns", None), getattr(value, "dtypes", None)
    if columns is None or types is None:
        return None
    # Spark gives (name, type) pairs.
    names = [str(kind[1] if isinstance(kind, tuple) else kind) for kind in types]
    return list(zip(map(str, columns), names, strict=True))


def _describe(name: str, dataset: Any, patterns: Patterns) -> dict[str, Any]:
    described = {"source": None, "type": type(uncached(dataset)).__name__, "digest": None}
    try:
        storage = storage_of(dataset)
    except Exception:  # A version that is not there is the run's own error, when it loads.
        storage = None
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


def digest_of(path: Path) -> str:
    """Compute a digest of a file's content, or of the names and sizes in a folder.

    The first 32 hexadecimal digits of a SHA-256 (MLflow takes 36 characters): of the whole file up
    to 16 MB, else of its size, its first and its last MB.
    """
    digest = hashlib.sha256()
    if path.is_dir():
        for each in sorted(path.rglob("*")):
            if each.is_file():
                name = each.relative_to(path).as_posix()
                digest.update(f"{name}\n{each.stat().st_size}\n".encode())
    elif (size := path.stat().st_size) <= _WHOLE_BYTES:
        digest.update(path.read_bytes())
    else:
        with path.open("rb") as file:
            digest.update(str(size).encode() + file.read(_PART_BYTES))
            file.seek(-_PART_BYTES, 2)
            digest.update(file.read())
    return digest.hexdigest()[:32]
