"""Names of version 1 of the template. They work until version 4.

An owner's code, catalog or mlflow.yml may hold them, and models that version 1 registered do. Each
old module is an entry of `sys.modules` that looks an object up when somebody asks for it, and
prints the new name once. No other file of `mlops/` knows an old name.
"""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

# Old names, from the package on, and new ones, from `mlops` on.
NAMES = {
    "datasets.SkopsDataset": "SkopsDataset",
    "pipelines.validation.validated": "validated",
    "tracking.MlflowHook": "MlflowHook",
    "tracking.TrackingError": "TrackingError",
    "tracking.errors.TrackingError": "TrackingError",
    "tracking.hook.MlflowHook": "MlflowHook",
    "tracking.journal.Record": "Record",
    "tracking.journal.all_records": "all_records",
    "tracking.redaction.mask_text": "redaction.mask_text",
    "tracking.redaction.secret_values": "redaction.secret_values",
    "tracking.requirements.filled_in": "environment_variable",
    "tracking.shipping.sink.Sink": "Sink",
    "tracking.token_command.TokenCommand": "TokenCommand",
    # A cli.py of version 1 lists the modules of this folder.
    "commands.__path__": "commands.__path__",
}
# No message names these: only the code inside registered models uses them, which nobody edits.
_IN_MODELS = {"tracking.pipeline_model.plan.InferencePlan": "model.plan.InferencePlan"}

_MLOPS = __name__.rpartition(".")[0]
_PACKAGE = _MLOPS.rpartition(".")[0]
_FOLDER = Path(__file__).parents[1]

_printed: set[str] = set()


class OldModule(ModuleType):
    """A module that is gone, as far as somebody may still import from it."""

    def __init__(self, path: str) -> None:
        """Create the module of this name, from the package on, without importing anything."""
        super().__init__(f"{_PACKAGE}.{path}")
        self.__spec__ = ModuleSpec(self.__name__, None, is_package=True)
        self._path = path
        if f"{path}.__path__" in NAMES:
            self.__name__ = f"{_MLOPS}.{path}"
        else:
            # Python files that the owner added to this folder, or edited, can still be imported.
            self.__path__ = [str(_FOLDER.joinpath(*path.split(".")))]

    def __getattr__(self, attribute: str) -> Any:
        """Return the object that has this old name."""
        old = f"{self._path}.{attribute}"
        if old in NAMES:
            _print_new_name(old, NAMES[old])
            return _find(NAMES[old])
        if old in _IN_MODELS:
            return _find(_IN_MODELS[old])
        raise AttributeError(f"module '{_PACKAGE}.{self._path}' has no attribute '{attribute}'")


def install() -> None:
    """Make the old modules importable, except those that exist as files of the project."""
    for path in _modules():
        name = f"{_PACKAGE}.{path}"
        parent_name, _, last = name.rpartition(".")
        parent = sys.modules.get(parent_name)
        # A folder whose __init__.py is gone holds what is left of the old code: not used.
        if name in sys.modules or (not isinstance(parent, OldModule) and _is_real(path)):
            continue
        sys.modules[name] = module = OldModule(path)
        if parent is not None:
            setattr(parent, last, module)


def current_name(name: str) -> str:
    """Return today's name of an object; a model that version 1 registered has the old one."""
    prefix = f"{_PACKAGE}."
    new = NAMES.get(name.removeprefix(prefix)) if name.startswith(prefix) else None
    return f"{_MLOPS}.{new}" if new else name


def _modules() -> list[str]:
    """List the old modules, each after the package that it was in."""
    found = {""}
    for name in (*NAMES, *_IN_MODELS):
        parts = name.split(".")[:-1]
        found |= {".".join(parts[: end + 1]) for end in range(len(parts))}
    return sorted(found - {"", "pipelines"})


def _is_real(path: str) -> bool:
    file = _FOLDER.joinpath(*path.split("."))
    return file.with_suffix(".py").is_file() or (file / "__init__.py").is_file()


def _find(name: str) -> Any:
    """Import an object of `mlops` by its name, which may have a module before it."""
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(f".{module}" if module else _MLOPS, _MLOPS), attribute)


def _print_new_name(old: str, new: str) -> None:
    from multiprocessing import parent_process

    if old in _printed or parent_process() is not None:  # The main process has printed it.
        return
    _printed.add(old)
    old, new = old.removesuffix(".__path__"), new.removesuffix(".__path__")
    print(
        f"WARNING: {_PACKAGE}.{old} is now {_MLOPS}.{new}. The old name works until the next "
        "major version of the template.",
        # Kedro's logging writes to standard output, where a command may print JSON.
        file=sys.stderr,
    )
