"""What a version holds beside its files, and what of that the project has changed since.

The configuration of a version has the parameters, how the input is read, which modules of `src/`
the pipeline needs, and a digest of each node. Versions of older templates have less of it: what
they do not say counts as unchanged, but for code, whose files they hold.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from filecmp import cmp
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from ..mlflow_internals import storage_of
from ..project import PACKAGE
from ..redaction import Patterns, mask
from ..tracking.capture.values import read_parameters
from .own_code import SOURCE, OwnModules, own_modules, same_code, wiring
from .plan import with_current_type

# What of a catalog entry says where its data are, and not what they are.
_LOCATION_KEYS = {"filepath", "versioned", "credentials", "fs_args", "metadata", "validator"}
_LONGEST_VALUE = 60


def entry_of(name: str, catalog: DataCatalog) -> dict[str, Any]:
    """Return a data set's catalog entry; that of a CachedDataset is inside it."""
    catalog.get(name)  # Its class has one name only once it is imported.
    entry: dict[str, Any] = catalog.to_config()[0].get(name, {})
    return dict(entry.get("dataset", entry))


def without_location(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a catalog entry goes into a model: its class and options."""
    return {key: value for key, value in entry.items() if key not in _LOCATION_KEYS}


def input_entry(name: str, catalog: DataCatalog) -> dict[str, Any]:
    """Return how the catalog reads a data set, without secrets and what YAML cannot hold."""
    entry = entry_of(name, catalog)
    arguments = (entry.get("load_args") or {}).items()
    kept = {
        key: value for key, value in arguments if _is_plain(value) and mask(key, value) == value
    }
    return {"type": entry["type"], "load_args": kept} if entry else {}


def code_of(config: Mapping[str, Any], inference: Pipeline) -> OwnModules:
    """Find the modules of `src/` that a model needs: for its nodes, data sets and validator."""
    entries = [*config["datasets"].values(), config.get("input_entry") or {}]
    names = [str(entry.get("type", "")) for entry in entries]
    if validator := config.get("validator"):
        path = validator if isinstance(validator, str) else validator["class"]
        names.append(path.replace(":", "."))
    if "nodes" not in config:  # Nothing else tells how its nodes are connected.
        names.append(f"{PACKAGE}.pipelines.{config['pipeline']}.pipeline")
    return own_modules(inference, *names)


class Changes(NamedTuple):
    """What the project has changed since a version was trained, in words."""

    values: list[str]  # Parameters, look-up tables, how the input is read.
    code: list[str]

    def __str__(self) -> str:
        code = [f"code {', '.join(self.code)}"] if self.code else []
        return "; ".join([*self.values, *code])


def changes_since(
    config: Mapping[str, Any],
    files: Mapping[str, Path],
    code: Path,
    inference: Pipeline,
    catalog: DataCatalog,
    secrets: Patterns = (),
) -> Changes:
    """Compare the project with a version: its configuration, its data sets' files and its code."""
    theirs, ours = config["parameters"], dict(read_parameters(inference, catalog))
    parameters = ", ".join(_changed_values(theirs, ours, "", secrets))
    tables = [name for name in config.get("lookups", ()) if _has_other_file(name, files, catalog)]
    reading = config.get("input_entry", {}), input_entry(config["input"], catalog)
    is_read_otherwise = reading[0] and _text(reading[0]) != _text(reading[1])
    if not config["validator"] and catalog.validators.get(config["input"]):
        is_read_otherwise = True
    values = {
        f"parameters {parameters}": parameters,
        f"look-up tables {', '.join(tables)}": tables,
        f"how {config['input']} is read": is_read_otherwise,
    }
    changed = [*_changed_code(config, code, inference), *_changed_classes(config, catalog)]
    return Changes([text for text, is_changed in values.items() if is_changed], changed)


def _changed_code(config: Mapping[str, Any], code: Path, inference: Pipeline) -> list[str]:
    """Name the files in `src/` and the nodes that are not those of the version."""
    ours, nodes = code_of(config, inference), wiring(inference)
    names = {*ours.files, *config.get("modules", ())}
    for top in ours.tops:
        names |= _data_files(top, SOURCE) | _data_files(code / top.name, code)
    changed = {name for name in names if not same_code(SOURCE / name, code / name)}
    theirs = config.get("nodes", nodes)
    other = {name for name in theirs.keys() | nodes.keys() if theirs.get(name) != nodes.get(name)}
    return [*sorted(changed), *(f"node {name}" for name in sorted(other))]


def _changed_classes(config: Mapping[str, Any], catalog: DataCatalog) -> list[str]:
    """Name what a version would create otherwise than the project's catalog does.

    Whoever writes the registry could name any class, and no such is created in this process.
    """
    changed = [
        f"data set {name}"
        for name, entry in config["datasets"].items()
        if _given(with_current_type(entry)) != _given(without_location(entry_of(name, catalog)))
    ]
    validator, ours = config["validator"], catalog.validators.get(config["input"])
    if validator and _text(validator) != _text(ours):
        changed.append(f"the validator of {config['input']}")
    return changed


def _data_files(folder: Path, above: Path) -> set[str]:
    """List files in a package that its code may read, such as tables of constants."""
    files = (path.relative_to(above) for path in folder.rglob("*") if path.is_file())
    return {
        path.as_posix()
        for path in files
        if path.suffix not in (".py", ".pyc")
        and path.parts[1] != "mlops"
        and "/." not in f"/{path}"
    }


def _changed_values(
    theirs: Mapping[str, Any], ours: Mapping[str, Any], path: str, secrets: Patterns
) -> Iterator[str]:
    for name in sorted(theirs.keys() | ours.keys(), key=str):
        old, new = theirs.get(name), ours.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changed_values(old, new, f"{path}{name}.", secrets)
        elif _text(old) != _text(new):
            old, new = (_text(mask(str(name), value, secrets)) for value in (old, new))
            yield f"{path}{name} ({_cut(old)}, now {_cut(new)})"


def _given(entry: Mapping[str, Any]) -> str:
    # Another release of a library may know more options.
    return _text({key: value for key, value in entry.items() if value is not None})


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _has_other_file(name: str, files: Mapping[str, Path], catalog: DataCatalog) -> bool:
    """Return whether a look-up table on this machine is not the version's; false of any other."""
    with suppress(Exception):  # A version of a file may be gone.
        if storage := storage_of(catalog.get(name)):
            path = Path(storage.uri)
            return path.is_file() and not cmp(path, files[name], shallow=False)
    return False


def _is_plain(value: Any) -> bool:
    try:
        yaml.safe_dump(value)
    except yaml.YAMLError:
        return False
    return True
