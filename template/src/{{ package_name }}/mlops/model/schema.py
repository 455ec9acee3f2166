"""The schema of a model: which columns it takes, and what training had in them.

A model keeps it as one of its files, and MLflow's signature is made of it. Whatever reaches the
model becomes a table by it: files, requests, tables of pandas and Polars. So the same rows are the
same table everywhere.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from kedro.validation.exceptions import CheckFailure, DataValidationError

from ..errors import listed, shortened, shown
from .columns import Column, WrongValuesError, array_of
from .frames import column_of, polars_series
from .tensor_schema import TensorSchema

if TYPE_CHECKING:
    from mlflow.types import Schema as Signature

FILE = "schema.json"

# As many as Kedro shows of one rule.
_EXAMPLES = 5
_PLAIN_NUMBERS = {float, int, type(None)}
# What of a catalog's `load_args` is about its file, or how much of it is read.
_NOT_OF_CSV = {"chunksize", "iterator", "nrows", "storage_options", "compression", "encoding"}
_NOT_OF_CSV |= {"encoding_errors", "engine", "memory_map"}
# What MLflow gives to a model whose columns are known by its signature alone.
_DTYPES = {
    "boolean": "bool",
    "integer": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
    "string": "object",
    "binary": "bytes",
    "datetime": "datetime64[ns]",
}
# What MLflow has for a type that it lacks, or takes less for.
_IN_MLFLOW = {"date": "datetime", "timedelta": "string", "decimal": "double"}
_IN_MLFLOW |= {"integer": "long", "float": "double"}
_TOO_LONG = {"uint64", "UInt64"}
_CATEGORIES_IN_MLFLOW = {"i": "long", "u": "long", "f": "double", "b": "boolean"}


class Schema:
    """The columns of a table of pandas or Polars, in their order."""

    def __init__(self, columns: Iterable[Column], library: str = "pandas") -> None:
        self.columns = tuple(columns)
        self.library = library
        self.by_name = {column.name: column for column in self.columns}
        self.names = list(self.by_name)
        self.ids = [column.label for column in self.columns if column.is_id]
        self._labels = [column.label for column in self.columns]
        self._required = frozenset(column.name for column in self.columns if column.required)
        # A table of these dtypes conforms: objects may hold anything, and categories have an order.
        is_plain = not any(each.type == "category" or each.strict for each in self.columns)
        dtypes = [each.pandas_dtype for each in self.columns] if library == "pandas" else []
        self._dtypes = dtypes if is_plain and "object" not in dtypes else []
        self._only_floats = library == "pandas" and all(
            (column.type, column.dtype) == ("double", "float64") for column in self.columns
        )

    # --- Kept with the model ---

    @classmethod
    def read(cls, path: str | Path) -> "Schema":
        """Read what `write` has written."""
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        columns = [
            Column(**{**each, "categories": tuple(each.get("categories", ()))})
            for each in content["columns"]
        ]
        return cls(columns, content["library"])

    def write(self, path: Path) -> None:
        """Write it as JSON: of each column what is not as usual."""
        usual = {each.name: each.default for each in fields(Column)}
        columns = [
            {
                name: value
                for name, default in usual.items()
                if (value := getattr(column, name)) != default and value != {}
            }
            for column in self.columns
        ]
        content = {"library": self.library, "columns": columns}
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def of_signature(cls, text: str | None) -> "Schema | None":
        """Read the columns of a signature in MLmodel; none unless all are named values."""
        described = json.loads(text or "[]")
        if not described or not all("name" in one and one["type"] in _DTYPES for one in described):
            return None
        return cls(
            Column(
                one["name"],
                one["type"],
                _DTYPES[one["type"]],
                required=one.get("required", True),
                strict=one["type"] in ("boolean", "integer", "long"),
                gap="none",
            )
            for one in described
        )

    def signature(self) -> "Signature":
        """Return it in MLflow's types: one that MLflow lacks is what JSON has for it."""
        from mlflow.types import ColSpec
        from mlflow.types import Schema as Signature

        return Signature(
            [ColSpec(mlflow_type(each), each.name, each.required) for each in self.columns]
        )

    # --- Made of what arrives ---

    def table(self, columns: Mapping[str, Sequence[Any]]) -> Any:
        """Make the model's input of columns of equal length, as JSON holds them.

        A DataValidationError says which columns are missing or unknown, or which values are wrong.
        """
        self.check_names(columns.keys())
        names = [name for name in self.names if name in columns]
        if self._only_floats and (block := _block([columns[name] for name in names])) is not None:
            return pd.DataFrame(block, columns=[self.by_name[name].label for name in names])
        make = polars_series if self.library == "polars" else array_of
        return self._joined(names, lambda column: make(column, columns[column.name]))

    def conform(self, table: Any) -> Any:
        """Turn a table of a file or a caller into one of the training's columns and dtypes.

        It may have further columns, which come last. A DataValidationError is as of `table`.
        """
        if not hasattr(table, "columns"):
            _refuse([CheckFailure(f"not a table but {type(table).__name__}")])
        if list(table.columns) == self._labels and list(table.dtypes) == self._dtypes:
            return table
        found = {str(label): label for label in table.columns}
        if len(found) < len(table.columns):
            _refuse([CheckFailure("several columns have the same name")])
        _refuse(self._missing(found.keys()))
        names = [name for name in self.names if name in found]
        frame = self._joined(
            names, lambda column: column_of(column, table[found[column.name]], self.library)
        )
        further = [label for name, label in found.items() if name not in self.by_name]
        if self.library == "polars":
            return frame.with_columns(table[name] for name in further) if further else frame
        if isinstance(table, pd.DataFrame):
            frame.index = table.index
            return pd.concat([frame, table[further]], axis=1) if further else frame
        return frame

    def _joined(self, names: Sequence[str], make: Callable[[Column], Any]) -> Any:
        arrays, failures = {}, []
        for column in map(self.by_name.__getitem__, names):
            try:
                arrays[column.label] = make(column)
            except WrongValuesError as wrong:
                failures.append(_wrong_values(column, wrong))
        _refuse(failures)
        return import_module(self.library).DataFrame(arrays)

    def add_ids(self, table: Any, predictions: Any) -> Any:
        """Return predictions with the table's id columns before them, unless they have these.

        What is no table becomes one. Predictions of another number of rows stay as they are.
        """
        ids = [label for label in self.ids if label in table.columns]
        return with_ids(table[ids], predictions) if ids else predictions

    def check_names(self, found: Collection[str]) -> None:
        """Refuse columns that are not the schema's, naming what is missing and unknown."""
        if found == self.by_name.keys():
            return
        missing = [name for name in self.names if name in self._required and name not in found]
        unexpected = [name for name in found if name not in self.by_name]
        guess = partial(_with_guess, missing=missing)
        _refuse([*self._missing(found), *_named("unexpected columns", unexpected, guess)])

    def _missing(self, found: Collection[str]) -> list[CheckFailure]:
        missing = [name for name in self.names if name in self._required and name not in found]
        return _named("missing columns", missing, partial(shortened, longest=60))


def read_schema(path: str | Path) -> Schema | TensorSchema:
    """Read the schema that a model keeps, of a table or of an array."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    if content["library"] == TensorSchema.library:
        return TensorSchema(content["dtype"], content["shape"])
    return Schema.read(path)


def with_ids(ids: Any, predictions: Any) -> Any:
    """Return predictions with the columns of another table of as many rows before them."""
    library = type(ids).__module__.partition(".")[0]
    rows = as_table(predictions, library)
    if rows is None or len(rows) != len(ids):
        return predictions
    new = [label for label in ids.columns if label not in rows.columns]
    if library == "polars":
        return rows.select(*(ids[label] for label in new), *rows.columns)
    for place, label in enumerate(new):
        rows.insert(place, label, ids[label].array)
    return rows


def as_table(predictions: Any, library: str) -> Any:
    """Return predictions as a new table with names; None if they are no rows."""
    made = import_module(library)
    if isinstance(predictions, made.DataFrame):
        return predictions.copy() if library == "pandas" else predictions
    if isinstance(predictions, made.Series):
        return predictions.to_frame(predictions.name or "prediction")
    if isinstance(predictions, np.ndarray | list) and np.ndim(predictions) in (1, 2):
        values = np.asarray(predictions)
        if values.ndim == 1:
            return made.DataFrame({"prediction": values})
        return made.DataFrame({f"prediction_{place}": each for place, each in enumerate(values.T)})
    return None


def csv_options(schema: Schema, load_args: Mapping[str, Any]) -> dict[str, Any]:
    """Return how pandas reads CSV as a catalog does with these arguments, and texts as texts."""
    options = {name: value for name, value in load_args.items() if name not in _NOT_OF_CSV}
    if schema.library == "polars":
        nulls = options.get("null_values") or ""
        options = {"sep": options.get("separator", ","), "keep_default_na": False}
        options["na_values"] = ["", *([nulls] if isinstance(nulls, str) else nulls)]
    dates = options.get("parse_dates")
    read = set(map(str, dates)) if isinstance(dates, list) else set()
    texts = {
        column.label: str
        for column in schema.columns
        if (column.type == "decimal" or mlflow_type(column) in ("string", "datetime", "binary"))
        and column.name not in read
    }
    given = options.get("dtype") or {}
    if isinstance(given, Mapping):
        options["dtype"] = {**texts, **given}
    return options


def mlflow_type(column: Column) -> str:
    """Return MLflow's type for a column; it takes gaps in whole numbers as floats alone."""
    kind = column.type
    if kind == "category":
        kind = _CATEGORIES_IN_MLFLOW.get(column.pandas_dtype.categories.dtype.kind, "string")
    if kind in ("long", "integer") and (column.nullable or column.dtype in _TOO_LONG):
        return "double"
    return _IN_MLFLOW.get(kind, kind)


def _block(columns: Sequence[Sequence[Any]]) -> Any:
    """Return numbers in one block, in a tenth of the time that a column each takes."""
    block = np.empty((len(columns[0]), len(columns)))
    for place, values in enumerate(columns):
        if not set(map(type, values)) <= _PLAIN_NUMBERS:
            return None
        try:
            block[:, place] = values
        except OverflowError:
            return None
    return block


def in_words(refusal: DataValidationError) -> str:
    """Say in one line what is wrong with the rows; Kedro's own text has a line for each problem."""
    if not refusal.failures:
        return shortened(str(refusal))
    return f"The data is refused: {'; '.join(map(_in_words, refusal.failures))}."


def _in_words(failure: CheckFailure) -> str:
    examples = list(failure.failure_examples)
    return f"{failure.message} ({listed(examples, 3, str)})" if examples else str(failure.message)


def _refuse(failures: Sequence[CheckFailure]) -> None:
    if failures:
        raise DataValidationError("The data is refused", failures=list(failures))


def _named(problem: str, names: Sequence[str], show: Callable[[str], str]) -> list[CheckFailure]:
    message = f"{problem}: {listed(names, show=show)}"
    return [CheckFailure(message, failure_count=len(names))] if names else []


def _with_guess(name: str, missing: Sequence[str]) -> str:
    near = get_close_matches(name[:60].strip().lower().replace(" ", "_"), missing, n=1)
    return f"{shown(name)} (is it {near[0]}?)" if near else shown(name)


def _wrong_values(column: Column, wrong: WrongValuesError) -> CheckFailure:
    name, cases = shortened(column.name, 60), wrong.cases
    return CheckFailure(
        f"{name} {wrong.rule}",
        check=wrong.rule,
        column=column.name,
        failure_count=len(cases),
        failure_examples=[f"data row {row}: {shown(value)}" for row, value in cases[:_EXAMPLES]],
    )
