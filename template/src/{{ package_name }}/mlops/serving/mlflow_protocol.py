"""MLflow's protocol of a scoring server: its routes, and the rows in a POST to /invocations.

See https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/.
"""

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd

from ..errors import listed, shortened, shown
from ..model.predictions import encoded, records
from ..model.schema import Schema, csv_options
from ..model.tensor_schema import TensorSchema
from .app import Headers, RefusalError, Route
from .cost import check_json, check_rows, first_records
from .model import Model, Values

_JSON, _CSV, _TEXT = "application/json", "text/csv", b"text/plain"
_CHARSETS = ("utf-8", "utf8", "us-ascii")
# A field of CSV.
_MOMENT = re.compile(rb"""(?<![^\n,;|\t"']) ?(now|today) ?(?![^\r\n,;|\t"'])""")
# What of pandas' arguments says which columns there are, and how a header is read.
_OF_COLUMNS = {"skiprows", "header", "names", "usecols", "index_col", "comment"}
_OF_HEADER = {"sep", "delimiter", "quotechar", "skiprows", "header", "names", "skipinitialspace"}


def routes(model: Model) -> dict[str, Route]:
    """Return the routes of MLflow's own server, by path."""
    return {
        "/ping": Route("/ping", b"\n", _TEXT, is_open=True),
        "/health": Route("/health", b"\n", _TEXT, is_open=True),
        "/version": Route("/version", version_of_mlflow().encode(), _TEXT),
        "/invocations": Route("/invocations", predict=partial(invoke, model)),
    }


def version_of_mlflow() -> str:
    """Return the version that is installed, without importing it."""
    for name in ("mlflow", "mlflow-skinny"):  # The container has the latter alone.
        with suppress(PackageNotFoundError):
            return version(name)
    return "unknown"


def invoke(model: Model, body: bytes, headers: Headers) -> tuple[bytes, int]:
    """Answer a request, or refuse it; also return how many rows it had."""
    is_csv = _content_type(headers.get(b"content-type")) == _CSV
    if isinstance(model.schema, TensorSchema):
        content = {} if is_csv else parsed(body, model)
        prediction, rows = model.predict(_array_of_json(content, model.schema, model))
    elif is_csv:
        prediction, rows = model.predict(_table_of_csv(body, model, model.schema))
    else:
        prediction, rows = model.predict(_columns_of_json(parsed(body, model), model))
    # The first key is all that MLflow's clients read.
    answer = {"predictions": records(prediction), "model_version": model.version}
    return encoded(answer), rows


def _content_type(header: bytes | None) -> str:
    parts = (header or b"").decode("latin-1").lower().split(";")
    media, *parameters = (part.strip() for part in parts)
    if media not in (_JSON, _CSV):
        found = shown(media) if media else "missing"
        raise RefusalError(f"Content-Type must be {_JSON} or {_CSV}, not {found}.", 415)
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip("\"' ") not in _CHARSETS:
            raise RefusalError(f"Content-Type: charset must be utf-8, not {shown(value)}.", 415)
    return media


def parsed(body: bytes, model: Model) -> dict[str, Any]:
    """Read a JSON object, or refuse the body: one that would cost too much before it is read."""
    check_json(body, model)
    try:
        content = json.loads(body)
    except RecursionError:
        raise RefusalError("The body is nested too deeply.") from None
    except ValueError as error:  # Neither UTF-8, nor JSON, or a number of thousands of digits.
        raise RefusalError(f"The body is not JSON: {shortened(str(error), 200)}.") from None
    _require(content, dict, "The body must be a JSON object")
    return content  # type: ignore[no-any-return]


def _array_of_json(content: Mapping[str, Any], schema: TensorSchema, model: Model) -> list[Any]:
    """Read the nested lists of a JSON body, in the two shapes that MLflow has for arrays."""
    found = [key for key in _OF_ARRAYS if key in content]
    if len(found) != 1:
        raise RefusalError(
            f"The model takes {schema.described()}: send JSON with {' or '.join(_OF_ARRAYS)}, a "
            "nested list."
        )
    rows = content[found[0]]
    _require(rows, list, f"{found[0]} must be a nested list")
    check_rows(found[0], len(rows), model)
    return rows  # type: ignore[no-any-return]


def _columns_of_json(content: Mapping[str, Any], model: Model) -> dict[str, Values]:
    """Read the rows in a JSON body, whichever of MLflow's four shapes they have."""
    shapes = [key for key in _SHAPES if key in content]
    if len(shapes) != 1:
        found = listed(list(content)) or "none"
        raise RefusalError(f"The body must hold one of {', '.join(_SHAPES)}; it holds {found}.")
    if content.get("params"):
        raise RefusalError("params: the model takes none.")
    (shape,) = shapes
    columns = _SHAPES[shape](shape, content[shape], model)
    return checked_length(shape, columns, model)


def _table_of_csv(body: bytes, model: Model, schema: Schema) -> pd.DataFrame:
    """Read CSV as a batch reads its file, but that texts are texts whatever they look like."""
    load_args = dict(model.load_args)
    if _MOMENT.search(body):  # pandas takes it for a time, which is another one at each request.
        load_args.pop("parse_dates", None)
    options = csv_options(schema, load_args)
    first = first_records(body, options, model)
    columns, width = len(model.schema.names), 1
    if first and not options.keys() & _OF_COLUMNS:
        width = len(first[0])
        if not model.schema.by_name.keys() >= {*first[0]}:
            _check_header(body, options, model)  # Before any value is read.
    rows = min(model.max_rows, model.max_cells // columns)
    try:
        table = pd.read_csv(io.BytesIO(body), **options | {"nrows": rows + 1})
    except (ValueError, OverflowError) as error:  # pandas' own errors are ValueErrors.
        _check_header(body, options, model)
        raise RefusalError(f"The body is not CSV: {shortened(str(error), 200)}.") from None
    if "index_col" not in options and not isinstance(table.index, pd.RangeIndex):
        raise RefusalError("The body is not CSV: rows have more fields than the header.")
    if len(table) * width > len(body):  # Each has a byte at least.
        raise RefusalError("The body is not CSV: rows have fewer fields than the header.")
    check_rows("The body", len(table), model, columns)
    return table


def _check_header(body: bytes, options: Mapping[str, Any], model: Model) -> None:
    """Refuse names that are not the columns': pandas would complain of the catalog's arguments."""
    given = {name: value for name, value in options.items() if name in _OF_HEADER}
    with suppress(ValueError, OverflowError):  # It is no CSV at all.
        header = pd.read_csv(io.BytesIO(body), nrows=0, **given).columns
        model.check_names(dict.fromkeys(map(str, header)).keys())


def checked_length(where: str, columns: dict[str, Values], model: Model) -> dict[str, Values]:
    """Return the columns, or refuse lengths that are not equal, nothing, or beyond the limit."""
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        found = listed(list(columns), show=lambda key: f"{shortened(key, 60)} {len(columns[key])}")
        raise RefusalError(f"{where}: columns must have the same number of rows ({found}).")
    check_rows(where, max(lengths, default=0), model, len(columns))
    return columns


def by_position(where: str, rows: list[Any], names: list[str]) -> dict[str, Values]:
    """Turn rows that are lists into columns of these names."""
    for number, row in enumerate(rows, 1):
        _require(row, list, f"{where}: row {number} must be a list")
        if len(row) != len(names):
            found = f"{len(row)} values for {len(names)} columns ({listed(names, 20)})"
            raise RefusalError(f"{where}: row {number} has {found}.")
    columns: list[Values] = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return dict(zip(names, columns, strict=True))


def _records(where: str, rows: Any, model: Model) -> dict[str, Values]:
    _require(rows, list, f"{where} must be a list of rows")
    if not rows:
        return {}
    for number, row in enumerate(rows, 1):
        _require(row, dict, f"{where}: row {number} must be an object")
    names = dict.fromkeys(name for row in rows for name in row)
    model.check_names(names.keys())  # Before each becomes a column of all rows.
    check_rows(where, len(rows), model, len(names))
    return {name: [row.get(name) for row in rows] for name in names}


def _split(where: str, content: Any, model: Model) -> dict[str, Values]:
    _require(content, dict, f"{where} must be an object with columns and data")
    if unknown := sorted(content.keys() - {"columns", "index", "data"}):
        found = f"unknown keys {listed(unknown)}; it has columns, index and data"
        raise RefusalError(f"{where}: {found}.")
    names, rows = content.get("columns", list(model.schema.names)), content.get("data")
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise RefusalError(f"{where}.columns must be a list of names.")
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise RefusalError(f"{where}.columns: more than once: {listed(twice)}.")
    _require(rows, list, f"{where}.data must be a list of rows")
    return by_position(f"{where}.data", rows, names)


def _instances(where: str, rows: Any, model: Model) -> dict[str, Values]:
    _require(rows, list, f"{where} must be a list of rows")
    if rows and isinstance(rows[0], list):
        return by_position(where, rows, list(model.schema.names))
    if rows and len(model.schema.names) == 1 and not isinstance(rows[0], dict):
        return {model.schema.names[0]: rows}
    return _records(where, rows, model)


def _inputs(where: str, content: Any, model: Model) -> dict[str, Values]:
    if not isinstance(content, dict):
        return _instances(where, content, model)
    if not any(isinstance(values, list) for values in content.values()):
        return {name: [value] for name, value in content.items()}
    for name, values in content.items():
        _require(values, list, f"{where}: {name} must be a list")
    return content


_OF_ARRAYS = ("instances", "inputs")


def _require(value: Any, kind: type, rule: str) -> None:
    if not isinstance(value, kind):
        found = "null" if value is None else _KINDS.get(type(value), "a number")
        raise RefusalError(f"{rule}, not {found}.")


_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}


_SHAPES: dict[str, Callable[[str, Any, Model], dict[str, Values]]] = {
    "dataframe_records": _records,
    "dataframe_split": _split,
    "instances": _instances,
    "inputs": _inputs,
}
