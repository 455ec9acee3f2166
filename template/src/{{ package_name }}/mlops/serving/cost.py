"""What a request may cost: bounded before its body is parsed, by what its bytes can hold.

A value takes 2 bytes of JSON and 30 or more of memory, a list 3 and 60, a column of CSV 1 and 70
microseconds. So a bound of bytes alone is none.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from ..errors import shortened
from ..model.tensor_schema import TensorSchema
from .app import RefusalError
from .model import Model

# Beside those of the rows: keys of the protocols, tensors, metadata.
_LISTS_BESIDE_ROWS = 100
# Of fields: for an index, a typing error in a name, a separator at the end of the line.
_FIELDS_BESIDE_COLUMNS = 16
# Where the catalog's `usecols` picks from a wide file.
_MOST_FIELDS = 2000
_RECORDS_LOOKED_AT = 3
# What pandas and Python's own reader call the same.
_OF_READER = ("quotechar", "escapechar", "doublequote", "quoting", "skipinitialspace")
_USUAL_SEPARATOR = r"[,;|\t ]"


def check_rows(where: str, rows: int, model: Model, columns: int = 1) -> None:
    """Refuse no rows, and more rows or cells than the limits allow."""
    if not rows:
        raise RefusalError(f"{where}: there are no rows; at least one is needed.")
    if rows > model.max_rows:
        raise RefusalError(f"{where}: more than {model.max_rows:,} rows; send them in parts.", 413)
    if rows * columns > model.max_cells:
        raise _too_many_values(where, model)


def _too_many_values(where: str, model: Model) -> RefusalError:
    limit = f"{model.max_cells:,} values (serving.max_cells in mlflow.yml)"
    return RefusalError(f"{where}: more than {limit}; send the rows in parts.", 413)


# --- JSON ---


def check_json(body: bytes, model: Model) -> None:
    """Refuse a body of more values, or more lists and objects, than rows within the limits have."""
    most_lists = _most_lists(model)
    cells = model.max_rows * (len(model.schema.names) or model.max_cells)
    most_values = min(model.max_cells, cells) + most_lists
    lists, values = _count(body)
    if lists <= most_lists and values <= most_values:
        return
    lists, values = _count(_without_texts(body))
    if lists > most_lists:
        problem = f"more than {model.max_rows:,} rows, or lists in lists"
        raise RefusalError(f"The body: {problem}; send the rows in parts.", 413)
    if values > most_values:
        raise _too_many_values("The body", model)


def _count(text: bytes) -> tuple[int, int]:
    lists = text.count(b"[") + text.count(b"{")
    return lists, lists + text.count(b",")


def _without_texts(body: bytes) -> bytes:
    """Return a body's bytes outside of quotes."""
    text = np.frombuffer(body.replace(b"\\\\", b"").replace(b'\\"', b""), np.uint8)
    is_within = np.logical_xor.accumulate(text == ord('"'))
    return text[~is_within].tobytes()


def _most_lists(model: Model) -> int:
    """Return how many lists and objects the largest request has that the limits allow."""
    schema = model.schema
    if isinstance(schema, TensorSchema):
        of_row = sum(prod(schema.shape[:axis]) for axis in range(len(schema.shape)))
        return min(model.max_rows * of_row, model.max_cells) + _LISTS_BESIDE_ROWS
    return model.max_rows + 4 * len(schema.names) + _LISTS_BESIDE_ROWS


# --- CSV ---


def first_records(body: bytes, options: Mapping[str, Any], model: Model) -> list[Sequence[str]]:
    """Read the lines that pandas makes columns of; refuse more fields than the columns can need."""
    names = model.schema.names
    most = max(_MOST_FIELDS, len(names)) if "usecols" in options else len(names)
    most += _FIELDS_BESIDE_COLUMNS
    left = _RECORDS_LOOKED_AT + _last(options.get("skiprows")) + _last(options.get("header"))
    records: list[Sequence[str]] = []
    for record in _records(body, options, most):
        if len(record) > most:
            text = f"The body: a line has more than {most} fields for {len(names)} columns."
            raise RefusalError(text)
        if len(record) > 1 or "".join(record).strip():  # pandas skips others.
            records.append(record)
        if len(records) == left:
            break
    return records


def _last(rows: Any) -> int:
    """Return how far lines are left out or belong to the header."""
    if callable(rows):
        return _MOST_FIELDS
    return max(map(int, rows), default=0) + 1 if isinstance(rows, list) else int(rows or 0)


def _records(body: bytes, options: Mapping[str, Any], most: int) -> Iterator[Sequence[str]]:
    separator = options.get("sep", options.get("delimiter", ","))
    blank = " \t\r\n".replace(separator or "\t", "").encode()
    text = io.TextIOWrapper(io.BytesIO(body.lstrip(blank)), "utf-8-sig", "replace", newline="")
    lines = (line for line in text if not line.startswith(options.get("comment") or "\0\0"))
    if separator is None or len(separator) > 1:  # pandas finds it, or it is a regular expression.
        yield from (re.split(separator or _USUAL_SEPARATOR, line) for line in lines)
        return
    quote = options.get("quotechar") or '"'

    def cut(line: str) -> str:
        """Of millions of fields the first are too many already."""
        is_sure = quote not in line and line.count(separator) > most
        return separator * (most + 1) if is_sure else line

    given = {name: options[name] for name in _OF_READER if options.get(name) is not None}
    csv.field_size_limit(max(csv.field_size_limit(), len(body)))  # Of the whole process.
    try:
        yield from csv.reader(map(cut, lines), delimiter=separator, **given)
    except csv.Error as error:
        raise RefusalError(f"The body is not CSV: {shortened(str(error), 200)}.") from None
