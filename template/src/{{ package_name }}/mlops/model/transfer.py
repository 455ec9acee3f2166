"""Data from one process to another: a folder of JSON, Arrow and NumPy files, and never a pickle.

What is read is what was written, with its index, types and gaps; what such files cannot hold is
refused. Nothing of the package is imported here: `predict.py` runs where there is none.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from datetime import date, datetime, time
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Tree = Any  # What JSON can hold; each dictionary has the key "is".


def write(data: Any, folder: Path) -> None:
    """Write data into a new folder; a TypeError says what cannot be written."""
    folder.mkdir()
    tree = _Writer(folder).tree(data)
    (folder / "data.json").write_text(json.dumps(tree), encoding="utf-8")


def read(folder: Path) -> Any:
    """Read what `write` has written."""
    tree = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    return _value(tree, folder)


def _text_of_moment(value: pd.Timestamp) -> str:
    naive = value.tz_convert("UTC").tz_localize(None) if value.tzinfo else value
    return f"{naive.isoformat()} {value.unit} {value.tzinfo or ''}"


def _moment(text: str) -> pd.Timestamp:
    naive, unit, zone = text.split(" ", 2)
    moment = pd.Timestamp(naive).as_unit(unit)
    return moment.tz_localize("UTC").tz_convert(zone) if zone else moment


# Single values as text, and back, by their class.
_TEXTS: dict[type, tuple[Callable[[Any], str], Callable[[str], Any]]] = {
    bytes: (lambda value: b64encode(value).decode(), b64decode),
    date: (date.isoformat, date.fromisoformat),
    datetime: (datetime.isoformat, datetime.fromisoformat),
    time: (time.isoformat, time.fromisoformat),
    Decimal: (str, Decimal),
    pd.Timestamp: (_text_of_moment, _moment),
    type(pd.NA): (str, lambda _: pd.NA),
    type(pd.NaT): (str, lambda _: pd.NaT),
}
_POLARS = ("DataFrame", "LazyFrame", "Series")


class _Writer:
    """Writes files into a folder, and returns what refers to them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def tree(self, value: Any) -> Tree:
        if value is None or type(value) in (str, int, float, bool):
            return value
        for form in (self._single, self._collection, self._table, self._index, self._array):
            if tree := form(value, type(value)):
                return tree
        raise TypeError(f"a {type(value).__module__}.{type(value).__qualname__}")

    def _single(self, value: Any, kind: type) -> Tree:
        if kind in _TEXTS:
            return {"is": kind.__name__, "text": _TEXTS[kind][0](value)}
        if isinstance(value, np.generic):
            return {"is": "scalar", "kind": value.dtype.str, "content": self.tree(value.tobytes())}
        return None

    def _collection(self, value: Any, kind: type) -> Tree:
        if kind in (list, tuple):
            return {"is": kind.__name__, "items": self._trees(value)}
        if kind is dict:
            return {"is": "dict", "items": [self._trees(item) for item in value.items()]}
        return None

    def _table(self, value: Any, kind: type) -> Tree:
        if kind is pd.DataFrame:
            columns = [value.iloc[:, place] for place in range(value.shape[1])]
            parts = {"columns": self.tree(value.columns), "index": self.tree(value.index)}
            return {"is": "frame", "values": self._columns(columns), **parts}
        if kind is pd.Series:
            parts = {"name": self.tree(value.name), "index": self.tree(value.index)}
            return {"is": "series", "values": self._columns([value]), **parts}
        if kind.__module__.partition(".")[0] == "polars" and kind.__name__ in _POLARS:
            frame = value.to_frame() if kind.__name__ == "Series" else value.lazy().collect()
            frame.write_ipc(self._folder / (name := self._name()))
            return {"is": kind.__name__, "file": name}
        return None

    def _index(self, value: Any, kind: type) -> Tree:
        if not isinstance(value, pd.Index):
            return None
        names = self._trees(value.names)
        if isinstance(value, pd.RangeIndex):
            return {"is": "range", "steps": [value.start, value.stop, value.step], "names": names}
        levels = [value.get_level_values(place) for place in range(value.nlevels)]
        name = "levels" if isinstance(value, pd.MultiIndex) else "index"
        return {"is": name, "values": self._columns(levels), "names": names}

    def _array(self, value: Any, kind: type) -> Tree:
        if kind is np.ndarray and value.dtype == object:
            return {"is": "objects", "items": self._trees(value.flat), "shape": value.shape}
        if kind is np.ndarray and not value.dtype.hasobject:
            with (self._folder / (name := self._name())).open("wb") as file:
                np.save(file, value, allow_pickle=False)
            return {"is": "array", "file": name}
        return None

    def _trees(self, values: Iterable[Any]) -> list[Tree]:
        return [self.tree(value) for value in values]

    def _name(self) -> str:
        self._count += 1
        return str(self._count)

    def _columns(self, columns: list[Any]) -> Tree:
        """Write columns: Arrow keeps every type but `object`, whose values may be anything."""
        types = [str(column.dtype) for column in columns]
        of = dict(enumerate(columns))
        objects = [self._trees(of.pop(n)) for n, kind in enumerate(types) if kind == "object"]
        name = self._name() if of else None
        if name:
            table = pd.DataFrame({str(place): column.array for place, column in of.items()})
            try:
                table.to_feather(self._folder / name, compression="uncompressed")
            except (TypeError, ValueError, NotImplementedError) as error:
                kinds = ", ".join(sorted({types[place] for place in of}))
                raise TypeError(f"a table with columns of {kinds}") from error
        return {"is": "columns", "types": types, "file": name, "objects": objects}


def _value(tree: Tree, folder: Path) -> Any:
    """Return what a tree was made of."""
    if isinstance(tree, list):
        return [_value(each, folder) for each in tree]
    if not isinstance(tree, dict):
        return tree
    parts = [
        folder / Path(part).name if key == "file" and part else _value(part, folder)
        for key, part in tree.items()
        if key != "is"
    ]
    return _FORMS[tree["is"]](*parts)


def _frame(values: list[Any], columns: Any, index: Any) -> pd.DataFrame:
    frame = pd.DataFrame(dict(enumerate(values)), index=index)
    frame.columns = columns
    return frame


def _columns(types: list[str], file: Path | None, objects: list[Any]) -> list[Any]:
    typed = pd.read_feather(file) if file else pd.DataFrame()
    columns = [
        _objects(objects.pop(0), None) if kind == "object" else typed[str(place)].array
        for place, kind in enumerate(types)
    ]
    for kind, column in zip(types, columns, strict=True):
        if str(column.dtype) != kind:
            raise TypeError(f"a table with a column of {kind}, which became {column.dtype}")
    return columns


def _objects(items: list[Any], shape: list[int] | None) -> Any:
    array = np.empty(len(items), object)
    for place, item in enumerate(items):
        array[place] = item
    return array.reshape(shape or -1)


def _polars(kind: str) -> Callable[[Path], Any]:
    def read_table(file: Path) -> Any:
        frame = import_module("polars").read_ipc(file, memory_map=False)
        return {"Series": frame.to_series, "LazyFrame": frame.lazy, "DataFrame": frame.clone}[
            kind
        ]()

    return read_table


_FORMS: dict[str, Callable[..., Any]] = {
    **{kind.__name__: back for kind, (_, back) in _TEXTS.items()},
    **{kind: _polars(kind) for kind in _POLARS},
    "list": lambda items: items,
    "tuple": tuple,
    "dict": dict,
    "frame": _frame,
    "columns": _columns,
    "series": lambda values, name, index: pd.Series(values[0], index=index, name=name),
    "range": lambda steps, names: pd.RangeIndex(*steps, name=names[0]),
    "index": lambda values, names: pd.Index(values[0], name=names[0]),
    "levels": lambda values, names: pd.MultiIndex.from_arrays(values, names=names),
    "scalar": lambda kind, content: np.frombuffer(content, kind)[0],
    "objects": _objects,
    "array": lambda file: np.load(file, allow_pickle=False),
}
