"""Data sets that kedro-datasets does not have."""

from __future__ import annotations

import logging
import re
from copy import deepcopy
from hashlib import sha256
from importlib import import_module
from io import BytesIO
from pathlib import Path, PurePosixPath
from types import FunctionType
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
from .errors import AS_IT_IS

logger = logging.getLogger(__name__)

# Where the classes are that fitted estimators are made of. Building them runs nothing of a file's
# choice, unlike many a class of the same libraries: one of `scipy.stats` executes a text that it
# holds, `numpy.memmap` overwrites a file. skops has a list of its own for all public estimators.
_CLASSES = re.compile(
    r"sklearn\.(?!.*\b(tests|conftest)\b)(_loss|calibration|cluster|compose|ensemble|"
    r"feature_extraction|feature_selection|gaussian_process|impute|linear_model|metrics|"
    r"model_selection|multiclass|neighbors|neural_network|preprocessing|svm|tree|"
    r"utils\._bunch|utils\._metadata_requests)(\..*)?|"
    r"scipy\.sparse\._\w+|(xgboost|lightgbm)\.sklearn"
)
# Functions that estimators keep: scores, distances, and how a spline makes arrays.
_FUNCTIONS = re.compile(
    r"sklearn\.(cluster|feature_selection|metrics)\.(?!.*\b(tests|conftest)\b).*|"
    r"scipy\._lib\.array_api_compat\.numpy\._aliases"
)
_TRUSTED = {
    *("collections.OrderedDict", "numpy.dtype", "scipy.interpolate._bsplines.BSpline"),
    *("xgboost.core.Booster", "lightgbm.basic.Booster"),
    *(f"numpy.{name}" for name in ("max", "mean", "median", "min", "std", "sum", "var")),
}


class SkopsDataset(AbstractVersionedDataset[Any, Any]):
    """A fitted scikit-learn object in a skops file, which cannot run code when it is loaded.

    Unlike a pickle, a skops file holds names of types, and only those of the usual libraries and
    those that the catalog entry trusts are built. What is not trusted is saved, with a warning, and
    can be loaded by the run that has made it: nothing that was fitted is lost.

    Example of a catalog entry:

        regressor:
          type: my_package.mlops.SkopsDataset
          filepath: data/06_models/regressor.skops
          trusted: [my_package.transformers.Clip]   # what is of no library that `is_trusted` knows
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
        # What this object has saved and no other one may load, with its digest.
        self._kept: tuple[bytes, Any] | None = None
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
        found = skops.io.get_untrusted_types(data=content)
        if refusal := self._refusal(found, path):
            if self._kept and self._kept[0] == sha256(content).digest():
                return deepcopy(self._kept[1])
            raise DatasetError(refusal)
        return skops.io.loads(content, trusted=found)

    def save(self, data: Any) -> None:
        """Write the object, with a warning if other runs could not load it.

        If that fails the file stays as it was.
        """
        import skops.io

        path = get_filepath_str(self._get_save_path(), self._protocol)
        content = skops.io.dumps(data)
        if self._protocol == "file":
            write_atomically(Path(path), content)
        else:
            self._fs.pipe_file(path, content)
        self._fs.invalidate_cache(path)
        self._kept = None
        if refusal := self._refusal(skops.io.get_untrusted_types(data=content), path):
            self._kept = sha256(content).digest(), data
            text = "%s Until then only this run can load it."
            logger.warning(text, refusal, extra=AS_IT_IS)

    def _refusal(self, types: list[str], path: str) -> str | None:
        """Say which of the types in a file are not trusted, and what to do; none if all are."""
        unknown = [each for each in types if each not in self._trusted and not is_trusted(each)]
        if not unknown:
            return None
        file, names = PurePosixPath(path).name, ", ".join(unknown)
        if any("<" in name for name in unknown):
            return (
                f"skops cannot load {names} from {file}: a lambda, or what a function defines, has "
                "no name of its own. Define it in a module."
            )
        trusted = ", ".join([*self._trusted, *unknown])
        return (
            f"skops does not trust every type in {file}: {names}. If you know where the object "
            f"comes from, add `trusted: [{trusted}]` to its entry in catalog.yml."
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


def is_trusted(name: str) -> bool:
    """Return whether a file may name this class or function of a library, which is then imported.

    It has to be where the library has defined it: a module's other names may be anything.
    """
    module, _, attribute = name.rpartition(".")
    if name in _TRUSTED:
        return True
    kinds = [
        kind
        for kind, modules in ((type, _CLASSES), (FunctionType, _FUNCTIONS))
        if modules.fullmatch(module)
    ]
    try:
        found = getattr(import_module(module), attribute) if kinds else None
    except (ImportError, AttributeError):
        return False
    return isinstance(found, tuple(kinds)) and found.__module__ == module
