"""MLflow's scoring protocol: what a POST to /invocations holds.

See https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/.
"""

import io
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from .refusal import RefusalError, listed, shortened, shown
from .signature import DataType
from .table import Table, Values

JSON, CSV = "application/json", "text/csv"


_PLAIN_TYPES = ("utf-8", "utf8", "us-ascii")


def content_type(header: bytes | None) -> str:
    """Read a Content-Type.

    Raises:
        RefusalError: it is none of those that are understood.
    """
    media, *parameters = (part.strip() for part in (header or b"").decode("latin-1").split(";"))
    media = media.lower()
    if media not in (JSON, CSV):
        raise RefusalError(
            f"Content-Type must be {JSON} or {CSV}, not {shown(media) if media else 'missing'}.",
            415,
        )
    for parameter in parameters:
        name, _, value = parameter.lower().partition("=")
        if name == "charset" and value.strip("\"' ") not in _PLAIN_TYPES:
            raise RefusalError(f"Content-Type: charset must be utf-8, not {shown(value)}.", 415)
    return media


def parsed(body: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        RefusalError: the body is none.
    """
    try:
        content = json.loads(body)
    except RecursionError:
        raise RefusalError("The body is nested too deeply.") from None
    except ValueError as error:  # Neither UTF-8, nor JSON, or a number of thousands of digits.
        raise RefusalError(f"The body is not JSON: {shortened(str(error), 200)}.") from None
    if not isinstance(content, dict):
        raise RefusalError(f"The body must be a JSON object, not {_kind(content)}.")
    return content


def columns_of_json(content: Mapping[str, Any], table: Table, max_rows: int) -> dict[str, Values]:
    """Read the rows in a JSON body, whichever of MLflow's four shapes they have.

    Raises:
        RefusalError: they have none of these shapes, or are too many or none.
    """
    shapes = [key for key in _SHAPES if key in content]
    if len(shapes) != 1:
        raise RefusalError(
            f"The body must hold one of {', '.join(_SHAPES)}; it holds "
            f"{listed(list(content)) or 'none'}."
        )
    if content.get("params"):
        raise RefusalError("params: the model takes none.")
    (shape,) = shapes
    columns = _SHAPES[shape](shape, content[shape], table)
    return checked_length(shape, columns, max_rows)


def columns_of_csv(body: bytes, table: Table, max_rows: int) -> dict[str, Values]:
    """Read rows of CSV below a header.

    Raises:
        RefusalError: the body is no CSV, or its rows are too many or none.
    """
    texts = {
        name: str
        for name, kind in table.types.items()
        if kind in (DataType.string, DataType.datetime, DataType.binary)
    }
    try:
        frame = pd.read_csv(io.BytesIO(body), dtype=texts, nrows=max_rows + 1)
    except (ValueError, OverflowError) as error:  # pandas' own errors are ValueErrors.
        raise RefusalError(f"The body is not CSV: {shortened(str(error), 200)}.") from None
    if not isinstance(frame.index, pd.RangeIndex):
        raise RefusalError("The body is not CSV: rows have more fields than the header.")
    columns = {
        str(name): [_number(value) for value in frame[name]]
        # One word among numbers, and pandas leaves all of them as texts.
        if frame[name].dtype.kind == "O" and name not in texts
        else frame[name].tolist()
        for name in frame.columns
    }
    return checked_length("The body", columns, max_rows)


def _number(text: Any) -> Any:
    try:
        return float(text) if isinstance(text, str) else text
    except ValueError:
        return text


def checked_length(where: str, columns: dict[str, Values], max_rows: int) -> dict[str, Values]:
    """Return columns whose lengths are equal, more than nothing and within the limit."""
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        named = listed(
            list(columns.items()), show=lambda one: f"{shortened(one[0], 60)} {len(one[1])}"
        )
        raise RefusalError(f"{where}: columns must have the same number of rows ({named}).")
    if not max(lengths, default=0):
        raise RefusalError(f"{where}: there are no rows; at least one is needed.")
    if max(lengths) > max_rows:
        raise RefusalError(f"{where}: more than {max_rows:,} rows; send them in parts.", 413)
    return columns


def by_position(where: str, rows: list[Any], names: list[str]) -> dict[str, Values]:
    """Turn rows that are lists into columns of these names."""
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list):
            raise RefusalError(f"{where}: row {number} must be a list, not {_kind(row)}.")
        if len(row) != len(names):
            raise RefusalError(
                f"{where}: row {number} has {len(row)} values for {len(names)} columns "
                f"({listed(names, 20)})."
            )
    columns: list[Values] = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return dict(zip(names, columns, strict=True))


def _records(where: str, rows: Any, table: Table) -> dict[str, Values]:
    if not isinstance(rows, list):
        raise RefusalError(f"{where} must be a list of rows, not {_kind(rows)}.")
    if not rows:
        return {}
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise RefusalError(f"{where}: row {number} must be an object, not {_kind(row)}.")
    names = dict.fromkeys(name for row in rows for name in row)
    table.check_names(names.keys())  # Before each becomes a column of all rows.
    return {name: [row.get(name) for row in rows] for name in names}


def _split(where: str, content: Any, table: Table) -> dict[str, Values]:
    if not isinstance(content, dict):
        raise RefusalError(
            f"{where} must be an object with columns and data, not {_kind(content)}."
        )
    if unknown := sorted(content.keys() - {"columns", "index", "data"}):
        raise RefusalError(
            f"{where}: unknown keys {listed(unknown)}; it has columns, index and data."
        )
    names, rows = content.get("columns", table.names), content.get("data")
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise RefusalError(f"{where}.columns must be a list of names.")
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise RefusalError(f"{where}.columns: more than once: {listed(twice)}.")
    if not isinstance(rows, list):
        raise RefusalError(f"{where}.data must be a list of rows, not {_kind(rows)}.")
    return by_position(f"{where}.data", rows, names)


def _instances(where: str, rows: Any, table: Table) -> dict[str, Values]:
    if not isinstance(rows, list):
        raise RefusalError(f"{where} must be a list of rows, not {_kind(rows)}.")
    if rows and isinstance(rows[0], list):
        return by_position(where, rows, table.names)
    if rows and len(table.names) == 1 and not isinstance(rows[0], dict):
        return {table.names[0]: rows}
    return _records(where, rows, table)


def _inputs(where: str, content: Any, table: Table) -> dict[str, Values]:
    if not isinstance(content, dict):
        return _instances(where, content, table)
    if not any(isinstance(values, list) for values in content.values()):
        return {name: [value] for name, value in content.items()}
    for name, values in content.items():
        if not isinstance(values, list):
            raise RefusalError(f"{where}: {name} must be a list, not {_kind(values)}.")
    return content


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return "null" if value is None else kinds.get(type(value), "a number")


_SHAPES: dict[str, Callable[[str, Any, Table], dict[str, Values]]] = {
    "dataframe_records": _records,
    "dataframe_split": _split,
    "instances": _instances,
    "inputs": _inputs,
}
