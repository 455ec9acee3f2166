"""Check a table against a pandera model, and name the rows and columns that are wrong.

Kedro can use a pandera model as it is, but then names neither. pandera takes milliseconds for a
table, however small, which is longer than a prediction: NumPy checks the usual rules first, all
columns at once. What NumPy accepts, pandera would accept; all else is left to pandera.
"""

import inspect
import math
from copy import copy
from difflib import get_close_matches
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pandera.pandas as pa
from kedro.validation.exceptions import CheckFailure, DataValidationError
from pandera.api.dataframe.container import DataFrameSchema
from pandera.api.dataframe.model import DataFrameModel
from pandera.errors import SchemaErrors

# As many as Kedro shows of one rule.
_MAX_EXAMPLES = 5

# The checks of pandera that NumPy can do.
_KNOWN = {"in_range", "isin", "greater_than", "greater_than_or_equal_to"}
_KNOWN |= {"less_than", "less_than_or_equal_to"}


def validated(data: pd.DataFrame, model: type[pa.DataFrameModel]) -> pd.DataFrame:
    """Check a table of numbers against a pandera model.

    Return its columns in the model's order and as floats, with the index of `data`, or raise a
    DataValidationError that names every column and rule that is broken, and the first rows that
    break it. Data row 1 is the first below the header of a file.
    """
    if isinstance(data, _Question):
        raise _Answer(model)
    if not isinstance(data, pd.DataFrame):
        _refuse([CheckFailure(f"not a table but {type(data).__name__}")])
    columns, rules = _expected(model)
    # A request of one valid row, for which the rest below would take longer than its prediction.
    if list(data.columns) == columns and len(data) and rules:
        values = data.to_numpy()
        if values.dtype.kind in "iuf":
            values = np.array(values, dtype="float64")
            if rules.hold(values):
                return pd.DataFrame(values, data.index, data.columns, copy=False)
    _refuse(_wrong_columns([str(column) for column in data.columns], columns))
    if data.empty:
        _refuse([CheckFailure("no rows: at least one is needed")])

    # Rows are counted, not looked up: the index of a request can be anything.
    table = data[columns].reset_index(drop=True)
    cases = [case for column in columns for case in _make_floats(table, column)]
    if cases or not (rules and rules.hold(table.to_numpy())):
        schema = model.to_schema()
        try:
            table = schema.validate(table, lazy=True)
        except SchemaErrors as error:
            not_numbers = {(case.column, case.row) for case in cases}
            found = _broken_rules(error.failure_cases, schema)
            cases += [case for case in found if (case.column, case.row) not in not_numbers]
    _refuse(_grouped(cases))
    table.index = data.index
    return table


def schema_of(validator: Any) -> Any:
    """Return the pandera schema that a validator checks by; none if it has none.

    A validator is what a catalog entry can name: a pandera model or schema, or a function that
    calls `validated`. Such a function refuses the columns that its model does not know, unless the
    model's `Config` says otherwise, and so does the schema that is returned for it.
    """
    if inspect.isclass(validator) and issubclass(validator, DataFrameModel):
        return validator.to_schema()
    if isinstance(validator, DataFrameSchema):
        return validator
    if inspect.isclass(validator):
        return None
    try:
        validator(_Question())
    except _Answer as answer:
        schema = copy(answer.model.to_schema())
        schema.strict = schema.strict if _says_strict(answer.model) else True
        return schema
    except Exception:
        return None  # It asks its own questions before it calls `validated`.
    return None


class _Question(pd.DataFrame):  # type: ignore[misc, unused-ignore]
    """Asks a function which model it gives to `validated`."""

    @property
    def _constructor(self) -> type["_Question"]:
        return _Question


class _Answer(Exception):  # noqa: N818
    def __init__(self, model: type[pa.DataFrameModel]) -> None:
        super().__init__(model)
        self.model = model


def _says_strict(model: type[pa.DataFrameModel]) -> bool:
    """Return whether a model's own `Config`, or that of one it inherits from, names `strict`."""
    configs = [vars(base).get("Config", object) for base in model.__mro__]
    named = {each for config in configs for each in config.__mro__ if "strict" in vars(each)}
    return any(not each.__module__.startswith("pandera.") for each in named)


class Case(NamedTuple):
    """One value that breaks a rule."""

    column: str
    rule: str
    row: int | None
    value: Any


class Rules(NamedTuple):
    """The bounds of each column of a table of floats, and columns that hold only some numbers."""

    low: np.ndarray[Any, Any]
    high: np.ndarray[Any, Any]
    allowed: tuple[tuple[int, np.ndarray[Any, Any]], ...]

    def hold(self, values: np.ndarray[Any, Any]) -> bool:
        """Return whether every rule holds for all rows; a missing value breaks each."""
        return bool(
            ((values >= self.low) & (values <= self.high)).all()
            and all(np.isin(values[:, column], numbers).all() for column, numbers in self.allowed)
        )


@cache
def _expected(model: type[pa.DataFrameModel]) -> tuple[list[str], Rules | None]:
    schema = model.to_schema()
    return list(schema.columns), rules_of(schema)


def rules_of(schema: pa.DataFrameSchema) -> Rules | None:
    """Return the rules of a pandera schema; none if NumPy cannot check all that it asks for."""
    columns = list(schema.columns.values())
    checks = [(number, check) for number, column in enumerate(columns) for check in column.checks]
    if not all(_is_known(check) for _, check in checks) or schema != _plain(schema):
        return None
    low, high = np.full(len(columns), -np.inf), np.full(len(columns), np.inf)
    allowed = []
    for number, check in checks:
        limits = check.statistics
        if check.name == "isin":
            allowed.append((number, np.array(sorted(limits["allowed_values"]), dtype=float)))
        else:
            least, most = _interval(check.name, limits)
            low[number], high[number] = max(low[number], least), min(high[number], most)
    return Rules(low, high, tuple(allowed))


def _is_known(check: pa.Check) -> bool:
    """Return whether NumPy can do a check, judging by its name and the numbers that it is about."""
    limits = check.statistics or {}
    bounds = [limits[key] for key in ("min_value", "max_value") if key in limits]
    numbers = limits.get("allowed_values", bounds)
    are_finite = all(_is_number(value) and math.isfinite(value) for value in numbers)
    return check.name in _KNOWN and len(numbers) > 0 and are_finite


def _plain(schema: pa.DataFrameSchema) -> pa.DataFrameSchema:
    """Return a schema of floats with the same checks, each without options, and nothing beyond."""

    def texts(described: pa.Column | pa.DataFrameSchema) -> dict[str, Any]:
        return {key: getattr(described, key) for key in ("title", "description", "metadata")}

    columns = {}
    for name, column in schema.columns.items():
        checks = [getattr(pa.Check, check.name)(**check.statistics) for check in column.checks]
        columns[name] = pa.Column("float64", checks, nullable=column.nullable, **texts(column))
    return pa.DataFrameSchema(columns, name=schema.name, **texts(schema))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _interval(name: str, limits: dict[str, Any]) -> tuple[float, float]:
    """Return the least and the most number that a check accepts."""
    low = float(limits.get("min_value", -math.inf))
    high = float(limits.get("max_value", math.inf))
    if name == "greater_than" or not limits.get("include_min", True):
        low = math.nextafter(low, math.inf)
    if name == "less_than" or not limits.get("include_max", True):
        high = math.nextafter(high, -math.inf)
    return low, high


def _refuse(failures: list[CheckFailure]) -> None:
    if failures:
        raise DataValidationError("The data is refused", failures=failures)


def _wrong_columns(found: list[str], expected: list[str]) -> list[CheckFailure]:
    missing = [column for column in expected if column not in found]
    problems = {
        "missing columns": missing,
        "unexpected columns": [
            _with_guess(column, missing) for column in found if column not in expected
        ],
        "more than once": [column for column in expected if found.count(column) > 1],
    }
    return [
        CheckFailure(f"{problem}: {', '.join(columns)}", failure_count=len(columns))
        for problem, columns in problems.items()
        if columns
    ]


def _with_guess(column: str, missing: list[str]) -> str:
    near = get_close_matches(column.strip().lower().replace(" ", "_"), missing, n=1)
    return f"{column!r} (is it {near[0]}?)" if near else repr(column)


def _make_floats(table: pd.DataFrame, column: str) -> list[Case]:
    """Turn a column into floats in place; what is not a number becomes missing and is returned."""
    values = table[column]
    if values.dtype.kind in "iuf":
        table[column] = values.astype("float64")
        return []
    floats = [_as_float(value) for value in values]
    table[column] = pd.Series(floats, index=table.index, dtype="float64")
    return [
        Case(column, "must be a number", row, value)
        for row, (value, number) in enumerate(zip(values, floats, strict=True))
        if number is None and not _is_missing(value)
    ]


def _as_float(value: Any) -> float | None:
    # float(True) is 1.0, but an age is never "true".
    if pd.api.types.is_bool(value) or _is_missing(value):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _is_missing(value: Any) -> bool:
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _broken_rules(failure_cases: pd.DataFrame, schema: pa.DataFrameSchema) -> list[Case]:
    return [
        Case(
            column=str(case["column"]),
            rule=_rule(str(case["check"]), schema.columns.get(case["column"])),
            row=None if pd.isna(case["index"]) else int(case["index"]),
            value=case["failure_case"],
        )
        for case in failure_cases.to_dict(orient="records")
    ]


def _rule(check: str, column: pa.Column | None) -> str:
    """Return in words which check failed; one without words here keeps pandera's name for it."""
    if check == "not_nullable":
        return "must not be empty"
    if column is None:
        return check
    for known in column.checks:
        limits = known.statistics
        if check == str(known.error) and known.name == "in_range":
            unit = (column.metadata or {}).get("unit", "")
            return f"must be from {limits['min_value']} to {limits['max_value']} {unit}".rstrip()
        if check == str(known.error) and known.name == "isin":
            return f"must be {' or '.join(map(str, limits['allowed_values']))}"
    return check


def _grouped(cases: list[Case]) -> list[CheckFailure]:
    """Return one failure for each column and rule, with the first rows that break it."""
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        groups.setdefault((case.column, case.rule), []).append(case)
    return [
        CheckFailure(
            message=f"{column} {rule}",
            check=rule,
            column=column,
            failure_count=len(members),
            failure_examples=[_example(case) for case in members[:_MAX_EXAMPLES]],
        )
        for (column, rule), members in groups.items()
    ]


def _example(case: Case) -> str:
    value = f"{case.value:g}" if _is_number(case.value) else repr(case.value)
    if case.row is None:
        return value
    where = f"data row {case.row + 1}"
    return where if _is_missing(case.value) else f"{where}: {value}"
