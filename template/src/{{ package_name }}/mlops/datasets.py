"""Data sets that kedro-datasets does not have."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import is_zipfile

import fsspec
from kedro.io.core import (
    AbstractVersionedDataset,
    DatasetError,
    Version,
    get_filepath_str,
    get_protocol_and_path,
)

from .disk import write_atomically


class SkopsDataset(AbstractVersionedDataset[Any, Any]):
    """A fitted scikit-learn object in a skops file, which cannot run code when it is loaded.

    Unlike a pickle, a skops file holds names of types, and only those that skops or the catalog
    entry trusts are built. Saving refuses what loading would refuse, so it is found out at once.

    Example of a catalog entry:

        regressor:
          type: my_package.mlops.SkopsDataset
          filepath: data/06_models/regressor.skops
          trusted: [my_package.transformers.Clip]   # only what skops does not know
    """

    def __init__(
        self,
        *,
        filepath: str,
        trusted: list[str] | None = None,
        version: Version | None = None,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe the file, on any file system that fsspec knows; nothing is read yet."""
        self._protocol, path = get_protocol_and_path(filepath, version)
        self._trusted = list(trusted or [])
        self._fs = fsspec.filesystem(self._protocol, **(credentials or {}))
        self.metadata = metadata
        super().__init__(PurePosixPath(path), version, self._fs.exists, self._fs.glob)

    def load(self) -> Any:
        """Build the object; a `DatasetError` if the file is missing, damaged or not trusted."""
        import skops.io

        path = get_filepath_str(self._get_load_path(), self._protocol)
        if not self._fs.exists(path):
            raise DatasetError(f"{path} is not there. Run the pipeline that saves it first.")
        content = self._fs.cat_file(path)
        if not is_zipfile(BytesIO(content)):
            raise DatasetError(
                f"{path} is not a whole skops file ({len(content)} bytes). Run the pipeline that "
                "saves it again."
            )
        self._require_trust(content, path)
        return skops.io.loads(content, trusted=self._trusted)

    def save(self, data: Any) -> None:
        """Write the object; if that fails or a type is not trusted, the file stays as it was."""
        import skops.io

        path = get_filepath_str(self._get_save_path(), self._protocol)
        content = skops.io.dumps(data)
        self._require_trust(content, path)
        if self._protocol == "file":
            write_atomically(Path(path), content)
        else:
            self._fs.pipe_file(path, content)
        self._fs.invalidate_cache(path)

    def _require_trust(self, content: bytes, path: str) -> None:
        import skops.io

        found = skops.io.get_untrusted_types(data=content)
        if untrusted := ", ".join(name for name in found if name not in self._trusted):
            raise DatasetError(
                f"skops does not trust every type in {path}: {untrusted}. If you know where the "
                f"object comes from, add `trusted: [{untrusted}]` to its catalog entry."
            )

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": self._filepath,
            "protocol": self._protocol,
            "trusted": self._trusted,
            "version": self._version,
        }

    def _exists(self) -> bool:
        return bool(self._fs.exists(get_filepath_str(self._get_load_path(), self._protocol)))

    def _release(self) -> None:
        super()._release()
        self._fs.invalidate_cache(get_filepath_str(self._filepath, self._protocol))
