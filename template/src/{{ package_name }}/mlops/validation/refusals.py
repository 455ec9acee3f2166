"""What is wrong with a table, in words: which column, which rule, which rows and values."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, timedelta
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pandera.pandas as pa
from kedro.validation.exceptions import CheckFailure, DataValidationError
from pandera.api.dataframe.container import DataFrameSchema
from pandera.errors import SchemaError, SchemaErrorReason

from .conversion import one_of, rule_of

# As many as Kedro shows of one rule.
_MAX_EXAMPLES = 5
# Of a rule: a million cases take seconds, and say no more.
_MOST_LISTED = 1000


_REASONS = {
    SchemaErrorReason.SERIES_CONTAINS_NULLS: "must not be empty",
    SchemaErrorReason.SERIES_CONTAINS_DUPLICATES: "must be unique",
}


class Case(NamedTuple):
    """One value that breaks a rule, or one row that breaks a rule about several columns."""

    column: str | None
    rule: str
    row: int | None
    value: Any = None
    times: int = 1  # With those that are not listed.


def refuse(failures: Iterable[CheckFailure]) -> None:
    """Raise a DataValidationError, if there are failures."""
    if failures := list(failures):
        raise DataValidationError("The data is refused", failures=failures)


def grouped(cases: Iterable[Case]) -> list[CheckFailure]:
    """Return one failure for each column and rule, with the first rows that break it."""
    groups: dict[tuple[str | None, str], dict[int | None, Case]] = {}
    for case in cases:
        groups.setdefault((case.column, case.rule), {})[case.row] = case
    return [
        CheckFailure(
            message=f"{column} {rule}" if column else rule,
            check=rule,
            column=column,
            failure_count=sum(case.times for case in members.values()),
            failure_examples=list(
                filter(None, map(_example, islice(members.values(), _MAX_EXAMPLES)))
            ),
        )
        for (column, rule), members in groups.items()
    ]


def cannot_run(error: SchemaError) -> bool:
    """Return whether a rule about several columns has failed, as of values of another type."""
    is_about_table = isinstance(error.schema, DataFrameSchema)
    return is_about_table and error.reason_code is SchemaErrorReason.CHECK_ERROR


def cases_of(errors: Iterable[SchemaError], rows: Mapping[Any, int], old: bool) -> Iterator[Case]:
    """Return what pandera has found, by the labels of the rows.

    Where `old` is true, most rules keep pandera's names for them, as in version 2.0.
    """
    for error in errors:
        column, rule = _column_and_rule(error, old)
        found = error.failure_cases
        if hasattr(found, "to_dicts"):
            found = _of_polars(found, error, len(rows))
        if isinstance(found, pd.DataFrame) and found.empty:  # Two gaps, where each is unique.
            yield Case(column, rule, None)
        elif (
            isinstance(found, pd.DataFrame) and column is None
        ):  # A row has a case for each column.
            for label in dict.fromkeys(found["index"]):
                yield Case(None, rule, rows.get(label))
        elif isinstance(found, pd.DataFrame):
            listed = found[:_MOST_LISTED]
            *first, last = zip(listed["index"], listed["failure_case"], strict=True)
            for label, value in first:
                yield Case(column, rule, rows.get(label), value)
            count = 1 + len(found) - len(listed)
            yield Case(column, rule, rows.get(last[0]), last[1], count)
        elif isinstance(error.check, str) or isinstance(found, bool | np.bool_):
            yield Case(column, rule, None)
        else:
            yield Case(column, rule, None, found)


def _of_polars(found: Any, error: SchemaError, count: int) -> Any:
    """Return what pandera has found in a table of Polars as it returns it for one of pandas."""
    passed = error.check_output.to_series().to_list()
    if len(passed) != count:  # It is about the table as a whole.
        return False
    wrong = [row for row, is_right in enumerate(passed) if is_right is False]
    values = found.to_series().to_list()
    return pd.DataFrame(
        {"index": wrong[: len(values)], "failure_case": pd.Series(values, dtype=object)}
    )


def _column_and_rule(error: SchemaError, old: bool) -> tuple[str | None, str]:
    described, found, reason = error.schema, error.failure_cases, error.reason_code
    is_table = isinstance(described, DataFrameSchema)
    column = None if is_table else str(described.name or "the index")
    if reason in _REASONS:
        return column, _REASONS[reason]
    if reason is SchemaErrorReason.DUPLICATES:
        return None, f"must be unique together: {', '.join(dict.fromkeys(found['column']))}"
    if reason is SchemaErrorReason.COLUMN_NOT_ORDERED:
        return str(found), "must come in the order of the schema"
    if reason in (SchemaErrorReason.WRONG_DATATYPE, SchemaErrorReason.DATATYPE_COERCION):
        return column, rule_of(described.dtype)
    if isinstance(error.check, pa.Check):
        unit = (getattr(described, "metadata", None) or {}).get("unit", "")
        return column, _rule(error.check, unit, old)
    return column, " ".join(str(error).split())


def _rule(check: pa.Check, unit: str, old: bool) -> str:
    name, limits = str(check.name), check.statistics or {}
    is_known = str(check.error).startswith(f"{name}(")
    if is_known and name in _WORDS and (not old or name in ("in_range", "isin")):
        return f"{_WORDS[name](**limits)} {unit}".rstrip()
    if old or check.error:
        return str(check.error or name)
    return f"breaks the rule {check.description or name}"


def _interval(min_value: Any, max_value: Any, include_min: bool, include_max: bool) -> str:
    left_out = [str(min_value)] * (not include_min) + [str(max_value)] * (not include_max)
    without = f", but not {' or '.join(left_out)}" if left_out else ""
    return f"must be from {min_value} to {max_value}{without}"


def _length(min_value: Any = None, max_value: Any = None, exact_value: Any = None) -> str:
    if exact_value is not None:
        return f"must have {exact_value} characters"
    if min_value is None or max_value is None:
        limit = f"at most {max_value}" if min_value is None else f"at least {min_value}"
        return f"must have {limit} characters"
    return f"must have from {min_value} to {max_value} characters"


_WORDS: dict[str, Callable[..., str]] = {
    "in_range": _interval,
    "greater_than": "must be more than {min_value}".format,
    "greater_than_or_equal_to": "must be at least {min_value}".format,
    "less_than": "must be less than {max_value}".format,
    "less_than_or_equal_to": "must be at most {max_value}".format,
    "equal_to": lambda value: f"must be {one_of([value])}",
    "not_equal_to": lambda value: f"must not be {one_of([value])}",
    "isin": lambda allowed_values: f"must be {one_of(allowed_values)}",
    "notin": lambda forbidden_values: f"must not be {one_of(forbidden_values)}",
    "str_matches": "must match {pattern!r}".format,
    "str_contains": "must contain {pattern!r}".format,
    "str_startswith": "must start with {string!r}".format,
    "str_endswith": "must end with {string!r}".format,
    "str_length": _length,
}


def _example(case: Case) -> str:
    value = "" if is_missing(case.value) else _shown(case.value)
    if case.row is None:
        return value
    return f"data row {case.row + 1}: {value}" if value else f"data row {case.row + 1}"


def _shown(value: Any) -> str:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float):
        return f"{value:.15g}"
    return str(value) if isinstance(value, date | timedelta) else repr(value)


def is_missing(value: Any) -> bool:
    """Return whether a value stands for none."""
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))
