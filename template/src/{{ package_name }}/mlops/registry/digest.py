"""The digest of a version's files: the registry keeps it, so that a store cannot change them."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from ..disk import sha256_of
from ..errors import TrackingError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

DIGEST_TAG = "model_digest"  # Of a version; Unity Catalog takes no dots in it.
# The file, of YAML, that MLflow adds to a version that it downloads.
NOTE = "registered_model_meta"
# What of an MLmodel decides how it predicts: its ids are another server's after a migration.
_DECISIVE = ("flavors", "signature")


def require_registered(version: "ModelVersion", folder: Path) -> None:
    """Raise a TrackingError if files are not those that were registered as this version.

    A version of an older template, or one registered by other means, has no digest.
    """
    expected = (version.tags or {}).get(DIGEST_TAG)
    if expected and digest_of(folder) != expected:
        raise TrackingError(
            f"The files of the model '{version.name}', version {version.version}, are not those "
            f"that were registered (tag {DIGEST_TAG}): they have been changed where MLflow keeps "
            f"them ({folder}). Restore them, or train again and make that version the champion."
        )


def digest_of(model: Path) -> str:
    """Compute a SHA-256 digest of a model's files, their names, and its MLmodel but for its ids.

    Python's own caches do not count: whoever loads a model makes them.
    """
    digest = hashlib.sha256()
    paths = {path.relative_to(model).as_posix(): path for path in model.rglob("*")}
    for name, path in sorted(paths.items()):
        if path.is_dir() or name == NOTE or "__pycache__/" in name:
            continue
        digest.update(f"{name}\n".encode())
        digest.update(_mlmodel(path) if name == "MLmodel" else bytes.fromhex(sha256_of(path)))
    return digest.hexdigest()


def _mlmodel(path: Path) -> bytes:
    content = yaml.safe_load(path.read_bytes())
    decisive = {name: content.get(name) for name in _DECISIVE}
    return json.dumps(decisive, sort_keys=True, default=str).encode()
