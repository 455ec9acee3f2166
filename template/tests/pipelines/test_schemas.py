"""A table that is not what its schema says is refused before anything is trained or predicted."""

from collections.abc import Callable
from typing import Any

import pytest
from kedro.io import DatasetError
from kedro.validation import DataValidationError
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from ..conftest import Project, schemas

COLUMNS = schemas.Instances.to_schema().columns
REQUIRED = [name for name, column in COLUMNS.items() if column.required]
NUMBERS = [
    name
    for name, column in COLUMNS.items()
    if is_numeric_dtype(column.dtype.type) and not is_bool_dtype(column.dtype.type)
]
NULLABLE = [name for name, column in COLUMNS.items() if column.nullable]
INPUTS = [("training", "records", "evaluation"), ("inference", "instances", "predictions")]


@pytest.fixture(params=INPUTS, ids=[pipeline for pipeline, *_ in INPUTS])
def refused(project: Project, request: pytest.FixtureRequest) -> Callable[..., str]:
    """Run a pipeline on a changed table: what it says when it refuses it."""
    pipeline, table, result = request.param

    def run(change: Callable[[Any], Any]) -> str:
        project.save(table, change(project.load(table)))
        with pytest.raises(DataValidationError) as refusal:
            project.run(pipeline)
        assert not project.file(result).exists()
        return str(refusal.value)

    return run


def with_value(columns: list[str], value: object) -> Callable[[Any], Any]:
    """Put a value into the second row of some columns."""

    def change(table: Any) -> Any:
        table = table.astype(dict.fromkeys(columns, object))
        table.loc[1, columns] = value
        return table

    return change


def test_missing_columns_are_named(refused: Callable[..., str]) -> None:
    message = refused(lambda table: table.rename(columns={name: f"{name}?" for name in REQUIRED}))
    missing = message.partition("missing columns: ")[2].partition(" —")[0].split(", ")
    assert sorted(missing) == sorted(REQUIRED)


@pytest.mark.skipif(not NUMBERS, reason="The schema has no column of numbers.")
def test_texts_for_numbers_are_named_with_their_row(refused: Callable[..., str]) -> None:
    message = refused(with_value(NUMBERS, "a text"))
    assert [name for name in NUMBERS if f"- {name}: " not in message] == []
    assert message.count("data row 2: 'a text'") == len(NUMBERS)


@pytest.mark.skipif(len(NULLABLE) == len(COLUMNS), reason="The schema lets every column be empty.")
def test_gaps_are_named_with_their_row(refused: Callable[..., str]) -> None:
    columns = [name for name in COLUMNS if name not in NULLABLE]
    message = refused(with_value(columns, None))
    gap = "must not be empty — 1 case (e.g. data row 2)"
    assert [name for name in columns if f"- {name}: {gap}" not in message] == []


@pytest.mark.skipif(not NULLABLE, reason="The schema lets no column be empty.")
def test_a_row_with_every_gap_that_is_allowed_is_predicted(project: Project) -> None:
    project.train()
    project.save("instances", with_value(NULLABLE, None)(project.load("instances")))
    assert project.predict().notna().all(axis=None)


def test_a_table_without_rows_is_refused(refused: Callable[..., str]) -> None:
    assert "no rows: at least one is needed" in refused(lambda table: table.iloc[:0])


@pytest.mark.parametrize(("pipeline", "table", "result"), INPUTS)
def test_a_file_without_a_byte_is_refused(
    project: Project, pipeline: str, table: str, result: str
) -> None:
    project.file(table).write_bytes(b"")
    with pytest.raises(DatasetError, match=f"(?s){table}: "):
        project.run(pipeline)
    assert not project.file(result).exists()
