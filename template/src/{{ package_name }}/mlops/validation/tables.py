"""Check a table against a pandera schema, and name the rows and columns that are wrong.

Kedro can use a pandera model as it is, but then names neither. A column is converted to its
declared type (`conversion.py`), the usual rules are checked without pandera (`limits.py`), all else
is left to it, and what it finds is said in words (`refusals.py`).
"""

import inspect
import re
from collections import Counter
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from kedro.validation import PanderaValidator
from kedro.validation.exceptions import CheckFailure
from pandera.api.dataframe.container import DataFrameSchema
from pandera.api.dataframe.model import DataFrameModel
from pandera.errors import SchemaErrors

from ..mlflow_internals import schema_and_sample
from .conversion import convert, holds_no_gaps, rule_of
from .limits import Limits, limits_of
from .refusals import Case, cannot_run, cases_of, grouped, refuse


def validated(data: pd.DataFrame, model: type[pa.DataFrameModel]) -> pd.DataFrame:
    """Check a table against a pandera model, as a validator function in the catalog.

    Return its columns in the model's order and types, with the index of `data`, or raise a
    DataValidationError that names every column and rule that is broken, and the first rows that
    break it. Data row 1 is the first below the header of a file. Columns that the model does not
    know are refused, unless its `Config` says otherwise by `strict`.
    """
    return checked(data, _of_function(model))


@dataclass(frozen=True)
class Expected:
    """What a table has to be."""

    source: type[pa.DataFrameModel] | pa.DataFrameSchema
    strict: bool | str  # As pandera's.
    limits: Limits | None
    old: bool = False  # Whether most rules have pandera's names for them, as in version 2.0.

    @property
    def schema(self) -> pa.DataFrameSchema:
        """The pandera schema; a model has one for each thread."""
        return self.source if isinstance(self.source, DataFrameSchema) else self.source.to_schema()

    @classmethod
    def by(cls, source: type[pa.DataFrameModel] | pa.DataFrameSchema) -> "Expected":
        """Read a model or a schema."""
        schema = source if isinstance(source, DataFrameSchema) else source.to_schema()
        is_pandas = isinstance(schema, pa.DataFrameSchema)
        return cls(source, schema.strict, limits_of(schema) if is_pandas else None)


@cache
def _of_function(model: type[pa.DataFrameModel]) -> Expected:
    found = Expected.by(model)
    return Expected(model, found.strict if _says_strict(model) else True, found.limits, True)


def checks(data: Any) -> bool:
    """Return whether it is here that a validator of Kedro's has a table checked.

    pandera knows the tables of other libraries too.
    """
    is_other = _library(data) in ("dask", "dask_expr", "ibis", "modin", "pyspark")
    return not is_other and type(data).__name__ != "LazyFrame"


def _library(data: Any) -> str:
    is_pandas = isinstance(data, pd.DataFrame)
    return "pandas" if is_pandas else type(data).__module__.partition(".")[0]


def checked_by(validator: PanderaValidator, data: Any) -> Any:
    """Check a table as the pandera model says that a catalog entry names."""
    return checked(data, _of_catalog(validator), **schema_and_sample(validator)[1])


@lru_cache(maxsize=256)  # Each catalog makes validators of its own.
def _of_catalog(validator: PanderaValidator) -> Expected:
    return Expected.by(schema_and_sample(validator)[0])


def checked(data: Any, expected: Expected, **sample: Any) -> Any:
    """Check a table, or the rows of it that pandera's options choose; see `validated`."""
    limits = None if sample else expected.limits
    # A request of one valid row, for which the rest below would take longer than its prediction.
    if limits and isinstance(data, pd.DataFrame) and len(data):
        valid = limits.passed(data)
        if valid is not None:
            return valid
    if isinstance(data, _Question):
        raise _Answer(expected)
    schema, library = expected.schema, _library(data)
    wanted = "pandas" if isinstance(schema, pa.DataFrameSchema) else "polars"
    if library not in ("pandas", "polars") or not hasattr(data, "columns"):
        refuse([CheckFailure(f"not a table but {type(data).__name__}")])
    if library != wanted:
        refuse([CheckFailure(f"a table of {library}, and its model is one of pandera.{wanted}")])
    if wanted == "polars":
        return _checked_polars(data, expected, sample)
    order = _order(list(data.columns), schema, expected.strict)
    table = data.iloc[:, order]
    if data.empty:
        refuse([CheckFailure("no rows: at least one is needed")])

    # Rows are counted, not looked up: the index of a request can be anything.
    table = table if schema.index else table.reset_index(drop=True)
    table, cases, unsure = _converted(table, schema)
    if cases or schema.ordered or not (limits and limits.hold(table)):
        try:
            table = _without_types(schema, unsure).validate(table, lazy=True, **sample)
        except SchemaErrors as error:
            rows = {label: row for row, label in enumerate(table.index)}
            wrong = {(column, case.row) for case in cases for column in (case.column, None)}
            errors = [each for each in error.schema_errors if not (cases and cannot_run(each))]
            found = cases_of(errors, rows, expected.old)
            cases += [case for case in found if (case.column, case.row) not in wrong]
    refuse(grouped(cases))
    if not schema.index:  # pandera may have dropped rows.
        table.index = data.index if len(table) == len(data) else data.index.take(table.index)
    return table


def _checked_polars(data: Any, expected: Expected, sample: dict[str, Any]) -> Any:
    """Check a table of Polars; of other types, numbers alone are converted, if no digit is lost."""
    schema, names = expected.schema, data.columns
    table = data.select([names[number] for number in _order(names, schema, expected.strict)])
    if data.is_empty():
        refuse([CheckFailure("no rows: at least one is needed")])
    for name, column in schema.columns.items():
        if name in table.columns and column.dtype is not None and not column.coerce:
            values, target = table[name], column.dtype.type
            if values.dtype != target and values.dtype.is_numeric() and target.is_numeric():
                found = values.cast(target, strict=False)
                if found.cast(values.dtype, strict=False).equals(values):
                    table = table.with_columns(found)
    try:
        return schema.validate(table, lazy=True, **sample)
    except SchemaErrors as error:
        rows = {row: row for row in range(table.height)}
        cases = list(cases_of(error.schema_errors, rows, expected.old))
    refuse(grouped(cases))


def _order(columns: list[Any], schema: "DataFrameSchema[Any]", strict: bool | str) -> list[int]:
    """Return the places of columns, with the declared ones first, or refuse them."""
    if schema.parsers or not schema.columns:
        return list(range(len(columns)))
    found = Counter(columns)
    names = [name for name, column in schema.columns.items() if not column.regex]
    known = {name for name in found if _declared(name, schema)}
    absent = [name for name in names if name not in found]
    needed = [name for name in absent if schema.columns[name].required]
    unknown = [name for name in found if name not in known]
    _refuse_columns(
        [] if schema.add_missing_columns else needed,
        [_with_guess(str(name), absent) for name in unknown] if strict is True else [],
        [name for name in found if name in known and found[name] > 1],
    )
    order: Sequence[int] = range(len(columns))
    if not schema.ordered:
        place = {name: number for number, name in enumerate(names)}
        order = sorted(order, key=lambda number: place.get(columns[number], len(place)))
    if strict == "filter":
        order = [number for number in order if columns[number] in known]
    return list(order)


def _declared(name: Any, schema: "DataFrameSchema[Any]") -> pa.Column | None:
    """Return what a schema says of a column."""
    patterns = (column for column in schema.columns.values() if column.regex)
    return schema.columns.get(name) or next(
        (column for column in patterns if re.match(column.name, str(name))), None
    )


def _refuse_columns(missing: list[str], unexpected: list[str], twice: list[str]) -> None:
    problems = {"missing columns": missing, "unexpected columns": unexpected}
    problems["more than once"] = twice
    refuse(
        CheckFailure(f"{problem}: {', '.join(columns)}", failure_count=len(columns))
        for problem, columns in problems.items()
        if columns
    )


def _with_guess(column: str, missing: list[str]) -> str:
    near = get_close_matches(column.strip().lower().replace(" ", "_"), missing, n=1)
    return f"{column!r} (is it {near[0]}?)" if near else repr(column)


def _converted(
    table: pd.DataFrame, schema: pa.DataFrameSchema
) -> tuple[pd.DataFrame, list[Case], set[str]]:
    """Convert columns; also return what cannot be, and which columns lack their declared type.

    What pandera parses, coerces or drops it has to see as it is.
    """
    cases: list[Case] = []
    columns, unsure = {}, set()
    for name in table.columns if not (schema.parsers or schema.drop_invalid_rows) else ():
        column = _declared(name, schema)
        if column is None or column.parsers or column.coerce or schema.coerce:
            continue
        declared, as_read = schema.dtype or column.dtype, table[name]
        values = as_read if column.default is None else as_read.fillna(column.default)
        found, wrong = convert(values, declared)
        if found is not as_read:
            columns[name] = found
        cases += [Case(name, rule_of(declared), row, values.iloc[row]) for row in wrong]
        if holds_no_gaps(declared) and found.hasnans:
            unsure.add(column.name)
            if column.nullable:
                rule = f"must not be empty: {declared} holds no gap, {found.dtype} does"
                gaps = np.flatnonzero(values.isna())
                cases += [Case(name, rule, int(row)) for row in gaps]
    return (table.assign(**columns) if columns else table), cases, unsure


def _without_types(schema: pa.DataFrameSchema, names: set[str]) -> pa.DataFrameSchema:
    if not names:
        return schema
    schema = schema.update_columns({name: {"dtype": None} for name in names})
    schema.dtype = None
    return schema


def schema_of(validator: Any) -> Any:
    """Return the pandera schema that a validator checks by; none if it has none.

    A validator is what a catalog entry can name, a pandera model or schema or a function that calls
    `validated`, or what Kedro makes of it. Such a function refuses the columns that its model does
    not know, unless the model's `Config` says otherwise, and so does the schema returned for it.
    """
    if isinstance(validator, PanderaValidator):
        validator = schema_and_sample(validator)[0]
    if inspect.isclass(validator) and issubclass(validator, DataFrameModel):
        return validator.to_schema()
    if isinstance(validator, DataFrameSchema):
        return validator
    if inspect.isclass(validator):
        return None
    try:
        validator(_Question())
    except _Answer as answer:
        schema = copy(answer.expected.schema)
        schema.strict = answer.expected.strict
        return schema
    except Exception:
        return None  # It asks its own questions before it calls `validated`.
    return None


class _Question(pd.DataFrame):  # type: ignore[misc, unused-ignore]
    """Asks a function what it expects of a table."""

    @property
    def _constructor(self) -> type["_Question"]:
        return _Question


class _Answer(Exception):  # noqa: N818
    def __init__(self, expected: Expected) -> None:
        super().__init__(expected)
        self.expected = expected


def _says_strict(model: type[pa.DataFrameModel]) -> bool:
    """Return whether a model's own `Config`, or that of one it inherits from, names `strict`."""
    configs = [vars(base).get("Config", object) for base in model.__mro__]
    named = {each for config in configs for each in config.__mro__ if "strict" in vars(each)}
    return any(not each.__module__.startswith("pandera.") for each in named)
