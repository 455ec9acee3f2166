"""Parameters and metrics as MLflow accepts them: flattened, named, within its limits."""

import re
from array import array
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from dataclasses import fields
from functools import partial
from inspect import getattr_static
from itertools import islice
from threading import Lock
from typing import Any, Literal, TypeVar

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from ...config import ParamsOptions
from ...errors import TrackingError
from ...mlflow_internals import values_in_memory
from ...redaction import Patterns, mask, mask_text
from .foreign import entries_of, is_a, size_of, text_of, type_name

# MLflow's limits of a name, a parameter's value and a tag's.
MAX_NAME_LENGTH = 250
MAX_PARAM_LENGTH = 6000
MAX_TAG_LENGTH = 8000

_REFUSED_CHARACTERS = re.compile(r"[^\w\-. /:]")
# What makes a name, read as a path, another path: `a//b`, `/a`, `a/`, `a/./b`, `..`.
_REFUSED_IN_PATHS = re.compile(r"(?<=/)/|^/|/$|(?<![^/])\.{1,2}(?![^/])|^\.\.")
_REFUSED_IN_MODELS = re.compile(r"[/:.%\"']")

T = TypeVar("T")
# Name, value and step.
Metric = tuple[str, float, int]


def valid_name(name: str) -> str:
    """Replace each character that MLflow refuses in a name by ``_``, and cut it to its length."""
    name = _REFUSED_CHARACTERS.sub("_", name)[:MAX_NAME_LENGTH]
    return _REFUSED_IN_PATHS.sub(lambda found: "_" * len(found[0]), name) or "_"


class Names:
    """Gives each thing a name of its own, where a rule makes one name of several."""

    def __init__(self, *taken: str, of_files: bool = False) -> None:
        # Not every file system distinguishes `A` from `a`.
        self._fold = str.casefold if of_files else str
        self._owners = _Owners()
        for name in taken:
            self._owners.claim(self._fold(name), None)

    def name(self, thing: Hashable, wanted: str, longest: int = MAX_NAME_LENGTH) -> str:
        """Return the thing's name: the one that is wanted, or that with a number behind it."""
        name, number = wanted[:longest], 1
        while not self._owners.claim(self._fold(name), thing):
            number += 1
            name = f"{wanted[: longest - len(str(number)) - 1]}_{number}"
        return name


class _Owners:
    """Whose each name is, in 24 to 48 bytes a name: a run may have very many, a dictionary 300.

    Two arrays are a hash table with linear probing; they hold hashes of 64 bits, and no text.
    """

    def __init__(self) -> None:
        self._lock = Lock()  # Nodes may run in several threads.
        self._count = 0
        self._names, self._owners = (array("q", bytes(8 * 64)) for _ in range(2))

    def claim(self, name: str, owner: Hashable) -> bool:
        """Return whether a name is this owner's; a free one becomes so."""
        key, value = hash(name) or 1, hash(owner)
        with self._lock:
            if self._names[at := self._find(key)]:
                return self._owners[at] == value
            if 3 * self._count > 2 * len(self._names):
                self._grow()
                at = self._find(key)
            self._names[at], self._owners[at] = key, value
            self._count += 1
            return True

    def _find(self, key: int) -> int:
        """Return where a name is, or the free place that it gets."""
        last = len(self._names) - 1
        at = key & last
        while self._names[at] not in (0, key):
            at = (at + 1) & last
        return at

    def _grow(self) -> None:
        names, owners = self._names, self._owners
        self._names, self._owners = (array("q", bytes(16 * len(names))) for _ in range(2))
        for key, value in zip(names, owners, strict=True):
            if key:
                at = self._find(key)
                self._names[at], self._owners[at] = key, value


def valid_model_name(name: str) -> str:
    """Replace each character that MLflow refuses in the name of a logged model by ``_``."""
    return _REFUSED_IN_MODELS.sub("_", name) or "_"


def consumed_parameters(
    pipeline: Pipeline, catalog: DataCatalog, patterns: Patterns = ()
) -> Iterator[tuple[str, Any]]:
    """Read the parameters that the pipeline's nodes take as inputs, one by one, secrets masked."""
    return masked_parameters(pipeline.inputs(), partial(values_in_memory, catalog), patterns)


def masked_parameters(
    inputs: Collection[str], read: Callable[[str], Iterable[Any]], patterns: Patterns = ()
) -> Iterator[tuple[str, Any]]:
    """Pick the parameters among data sets, secrets masked; YAML's keys may be numbers, too."""
    for key, value in parameters_in(inputs, read):
        name = text_of(key)
        try:
            yield name, mask(name, plain(value), patterns)
        except Exception:  # A class of the project's own, which does not say what it holds.
            yield name, type_name(value)


def read_parameters(pipeline: Pipeline, catalog: DataCatalog) -> Iterator[tuple[str, Any]]:
    """Read the parameters that the pipeline's nodes take as inputs, secrets and all.

    By their names without the ``params:`` prefix; the whole of ``parameters`` by its own names when
    a node takes that. What is part of another one is not read again. Pydantic models and
    dataclasses come as dictionaries.
    """
    values = parameters_in(pipeline.inputs(), partial(values_in_memory, catalog))
    return ((name, plain(value)) for name, value in values)


def parameters_in(
    inputs: Collection[str], read: Callable[[str], Iterable[Any]]
) -> Iterator[tuple[Any, Any]]:
    """Pick the parameters among data sets, as `read_parameters` does, and read each as it is."""
    if "parameters" in inputs:
        for value in read("parameters"):
            yield from entries_of(value)
        return
    names = {name.removeprefix("params:") for name in inputs if name.startswith("params:")}
    for name in sorted(names):
        parts = name.split(".")
        if not any(".".join(parts[:count]) in names for count in range(1, len(parts))):
            for value in read(f"params:{name}"):
                yield name, value


def plain(value: Any) -> Any:
    """Turn a pydantic model or a dataclass, also inside dictionaries, into dictionaries."""
    if getattr_static(type(value), "__dataclass_fields__", None):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if is_a(value, "pydantic", "BaseModel"):
        return value.model_dump(mode="json", warnings=False)
    if issubclass(type(value), dict):
        return {name: plain(entry) for name, entry in entries_of(value)}
    return [plain(entry) for entry in value] if type(value) is list else value


def to_mlflow(
    values: Iterable[tuple[str, Any]], options: ParamsOptions, names: Names | None = None
) -> Iterator[tuple[Literal["params", "tags"], str, str]]:
    """Flatten, name and shorten parameters as ``tracking.params`` in mlflow.yml says.

    A run may have very many of them: kind, name and text come one by one. What is too long for a
    parameter is a tag under ``long_params_strategy: tag``, and a TrackingError under ``fail``.
    """
    dict_params, names = options.dict_params, names or Names()
    depth = None if dict_params.recursive else 1
    for name, value in values:
        flat = flatten({name: value}, dict_params.sep, depth if dict_params.flatten else 0)
        for key, leaf in flat:
            text = mask_text(text_of(leaf))
            too_long = len(text) > MAX_PARAM_LENGTH
            if too_long and options.long_params_strategy == "fail":
                raise TrackingError(
                    f"Parameter '{key}' is {len(text)} characters long and MLflow takes "
                    f"{MAX_PARAM_LENGTH}: set tracking.params.long_params_strategy to 'truncate' "
                    "or 'tag' in mlflow.yml."
                )
            is_tag = too_long and options.long_params_strategy == "tag"
            longest = MAX_TAG_LENGTH if is_tag else MAX_PARAM_LENGTH
            # The same one may be part of what another node takes.
            own_name = names.name((key, hash(text)), valid_name(key))
            yield ("tags" if is_tag else "params"), own_name, text[:longest]


def in_parts(values: Iterable[T], most: int) -> Iterator[list[T]]:
    """Yield values in lists of so many at most."""
    rest = iter(values)
    while part := list(islice(rest, most)):
        yield part


def flatten(
    values: dict[Any, Any], sep: str, depth: int | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested dictionaries, `depth` levels down, under their joined names."""
    for key, value in entries_of(values):
        name = text_of(key)
        if issubclass(type(value), dict) and size_of(value) and depth != 0:
            below = None if depth is None else depth - 1
            yield from ((f"{name}{sep}{rest}", leaf) for rest, leaf in flatten(value, sep, below))
        else:
            yield name, value
