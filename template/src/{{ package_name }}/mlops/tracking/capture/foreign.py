"""Foreign objects: what may be asked of them, which costs nothing and runs none of their code.

`isinstance`, `hasattr`, `len`, `str` and iteration may call what an object's author has written: it
may compute, wait, warn or lie. So an object is known by its class, as Python itself has it, and
what is built in is read by its own methods. A class is a library's if the library says so too.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from numbers import Real
from pathlib import PurePath
from typing import Any
from uuid import UUID

# A class's own answers, without its metaclass.
_bases_of = type.__dict__["__mro__"].__get__
_module_of = type.__dict__["__module__"].__get__
_name_of = type.__dict__["__qualname__"].__get__

# How a value is written; a class of the project's own may only be derived from these.
_WRITERS: list[tuple[type, Callable[[Any], str]]] = [
    (Enum, Enum.__str__),
    (str, str.__str__),
    (bool, str),
    (int, int.__repr__),
    (float, float.__repr__),
    *(
        (kind, str)
        for kind in (type(None), complex, Decimal, date, time, timedelta, UUID, PurePath)
    ),
]


def classes_of(value: object) -> Iterator[tuple[str, str]]:
    """Yield library and name of those of an object's classes that a loaded library defines."""
    for base in _bases_of(type(value)):
        module, name = name_of(base)
        if getattr(sys.modules.get(module), "__dict__", {}).get(name) is base:
            yield module.partition(".")[0], name


def is_a(value: object, library: str, name: str) -> bool:
    """Return whether an object is of a library's class, which is not imported for it."""
    return (library, name) in classes_of(value)


def name_of(kind: type) -> tuple[str, str]:
    """Return the module and the name of a class; a module that is no text is empty."""
    try:
        module = _module_of(kind)
    except AttributeError:
        module = ""
    return (module if type(module) is str else ""), _name_of(kind)


def type_name(value: object) -> str:
    """Return the name of an object's class; None is itself."""
    return "None" if value is None else name_of(type(value))[1]


def text_of(value: object) -> str:
    """Write a plain value, or a container of such, as text; of anything else the class's name."""
    with suppress(Exception):
        return str(_plain(value))
    return type_name(value)


def size_of(value: Any) -> int | None:
    """Return the size of a dictionary, list, tuple or array of NumPy; none for all else."""
    for kind in (dict, list, tuple):
        if issubclass(type(value), kind):
            return kind.__len__(value)
    return len(value) if _is_of_numpy(value) and value.ndim else None


def entries_of(value: Any) -> Iterable[tuple[Any, Any]]:
    """Return the keys and values of a dictionary, or those of a list or tuple by their numbers."""
    for kind in (list, tuple):
        if issubclass(type(value), kind):
            return enumerate(kind.__iter__(value))
    return dict.items(value) if issubclass(type(value), dict) else ()


def number_of(value: Any) -> float | None:
    """Return a number as a float; none for all else.

    A number is what Python and NumPy call one, booleans and arrays without dimensions included.
    """
    kind = type(value)
    try:
        if issubclass(kind, float):
            return float.__float__(value)
        if issubclass(kind, int):
            return int.__float__(value)
        if _is_of_numpy(value):
            return float(value) if value.ndim == 0 and value.dtype.kind in "biuf" else None
        return float(value) if issubclass(kind, Real | Decimal) else None
    except Exception:  # An integer that is too large, or a class that only calls itself a number.
        return None


def step_of(value: Any) -> int | None:
    """Return a whole number that MLflow takes as a step; none for all else."""
    kind = type(value)
    if issubclass(kind, int) and kind is not bool:
        step = int.__index__(value)
    elif _is_of_numpy(value) and value.ndim == 0 and value.dtype.kind in "iu":
        step = int(value)
    else:
        return None
    return step if abs(step) < 2**63 else None


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {_plain(key): _plain(entry) for key, entry in value.items()}
    if kind in (list, tuple, set, frozenset):
        return kind(map(_plain, value))
    for base, write in _WRITERS:
        if issubclass(kind, base):
            return value if kind is base else _Text(write(value))
    return value if _is_of_numpy(value) and value.dtype.kind != "O" else _Text(type_name(value))


class _Text(str):
    """A text that shows itself without quotes, as in a list of objects."""

    __slots__ = ()
    __repr__ = str.__str__


def _is_of_numpy(value: object) -> bool:
    """Return whether an object is one of NumPy's own arrays or scalars, and no subclass."""
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return False
    return type(value) is numpy.ndarray or (
        issubclass(type(value), numpy.generic) and is_a(value, "numpy", type_name(value))
    )
