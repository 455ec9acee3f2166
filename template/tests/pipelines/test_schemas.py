"""Data that is not what it should be is refused before anything is trained or predicted."""

from collections.abc import Callable
from importlib import import_module

import pandas as pd
import pytest
from kedro.framework.project import PACKAGE_NAME
from kedro.io import DatasetError
from kedro.validation import DataValidationError

from ..conftest import Project

schemas = import_module(f"{PACKAGE_NAME}.pipelines.schemas")


def with_value(column: str, row: int, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Put a value into a data row, counted from 1."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        table[column] = table[column].astype(object)
        table.loc[row - 1, column] = value
        return table

    return change


REFUSALS = [
    pytest.param(
        with_value("age", 7, 190),
        r"age: must be from 0 to 120 years — 1 case \(e.g. data row 7: 190\)",
        id="out of range",
    ),
    pytest.param(
        with_value("hdl", 3, 1.3),
        r"hdl: must be from 5 to 200 mg/dL — 1 case \(e.g. data row 3: 1.3\)",
        id="another unit",
    ),
    pytest.param(
        with_value("glucose", 2, "high"),
        r"glucose: must be a number — 1 case \(e.g. data row 2: 'high'\)",
        id="text for a number",
    ),
    pytest.param(
        with_value("sex", 4, 3), r"sex: must be 1 or 2 — 1 case \(e.g. data row 4: 3\)", id="code"
    ),
    pytest.param(
        with_value("ldl", 5, None), r"ldl: must not be empty — 1 case \(e.g. data row 5\)", id="gap"
    ),
    pytest.param(
        lambda table: table.rename(columns={"bmi": "BMI"}),
        r"missing columns: bmi — 1 case\n  - unexpected columns: 'BMI' \(is it bmi\?\)",
        id="renamed column",
    ),
    pytest.param(
        lambda table: table.drop(columns=["bmi", "age"]),
        "missing columns: age, bmi — 2 cases",
        id="missing columns",
    ),
    pytest.param(lambda table: table.iloc[:0], "no rows: at least one is needed", id="no rows"),
]


@pytest.mark.parametrize(("change", "message"), REFUSALS)
def test_training_refuses(
    project: Project, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    change(pd.read_csv(project.file("patients"))).to_csv(project.file("patients"), index=False)
    with pytest.raises(DataValidationError, match=message):
        project.run("training")
    assert not project.file("preparation").exists()


@pytest.mark.parametrize(("change", "message"), REFUSALS)
def test_inference_refuses(
    project: Project, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    project.run("training", until="regressor")
    change(pd.read_csv(project.file("instances"))).to_csv(project.file("instances"), index=False)
    with pytest.raises(DataValidationError, match=message):
        project.run("inference")
    assert not project.file("predictions").exists()


def test_every_fault_is_told_at_once(project: Project) -> None:
    patients = with_value("glucose", 2, "high")(pd.read_csv(project.file("patients")))
    with_value("age", 17, 190)(patients).to_csv(project.file("patients"), index=False)
    with pytest.raises(DataValidationError) as refused:
        project.run("training")
    found = [(failure.column, failure.check) for failure in refused.value.failures]
    assert found == [("glucose", "must be a number"), ("age", "must be from 0 to 120 years")]


def test_a_thousand_faults_make_a_short_message(project: Project) -> None:
    patients = pd.read_csv(project.file("patients"))
    (patients * 1000).to_csv(project.file("patients"), index=False)
    with pytest.raises(DataValidationError) as refused:
        project.run("training")
    assert len(str(refused.value).splitlines()) < 15
    assert all(len(failure.failure_examples) <= 5 for failure in refused.value.failures)


@pytest.mark.parametrize(
    ("name", "pipeline"), [("patients", "training"), ("instances", "inference")]
)
def test_a_file_without_a_byte_is_refused(project: Project, name: str, pipeline: str) -> None:
    project.run("training", until="regressor")
    project.file(name).write_bytes(b"")
    with pytest.raises(DatasetError, match=rf"(?s){name}: .*No columns to parse from file"):
        project.run(pipeline)


def test_the_progression_does_not_belong_to_instances(project: Project) -> None:
    project.run("training", until="regressor")
    project.file("instances").write_bytes(project.file("patients").read_bytes())
    with pytest.raises(DataValidationError, match="unexpected columns: 'progression'"):
        project.run("inference")


def test_whole_numbers_are_read_as_floats(project: Project) -> None:
    assert set(project.load("patients").dtypes.astype(str)) == {"float64"}


@pytest.fixture
def request_table(project: Project) -> pd.DataFrame:
    """Three instances as they come with a request: whole numbers, an index of their own."""
    return project.load("instances").convert_dtypes().iloc[:3].set_axis(["b", "a", "a"])


def test_a_request_keeps_its_index(request_table: pd.DataFrame) -> None:
    checked = schemas.validate_measurements(request_table)
    assert list(checked.index) == ["b", "a", "a"]
    assert set(checked.dtypes.astype(str)) == {"float64"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (190, r"age: must be from 0 to 120 years — 1 case \(e.g. data row 2: 190\)"),
        (True, r"age: must be a number — 1 case \(e.g. data row 2: True\)"),
        ([40], r"age: must be a number — 1 case \(e.g. data row 2: \[40\]\)"),
        (None, r"age: must not be empty — 1 case \(e.g. data row 2\)"),
    ],
)
def test_a_request_is_refused_by_row(
    request_table: pd.DataFrame, value: object, message: str
) -> None:
    request_table["age"] = pd.Series([40, value, 50], dtype=object, index=request_table.index)
    with pytest.raises(DataValidationError, match=message):
        schemas.validate_measurements(request_table)


def test_a_column_that_comes_twice_is_refused(request_table: pd.DataFrame) -> None:
    twice = pd.concat([request_table, request_table[["age"]]], axis=1)
    with pytest.raises(DataValidationError, match="more than once: age"):
        schemas.validate_measurements(twice)


def test_a_request_that_is_no_table_is_refused() -> None:
    with pytest.raises(DataValidationError, match="not a table but list"):
        schemas.validate_measurements([1, 2, 3])


def test_a_rule_of_your_own_is_named_by_pandera() -> None:
    class Adults(schemas.Measurements):  # type: ignore[misc, name-defined]
        age: float = schemas.pa.Field(ge=18)

    child = pd.DataFrame({name: [50.0] for name in Adults.to_schema().columns})
    child = child.assign(age=7.0, sex=1.0, cholesterol_ratio=4.0, log_triglycerides=4.0)
    with pytest.raises(DataValidationError, match="age: greater_than_or_equal_to") as refused:
        schemas.validated(child, Adults)
    assert refused.value.failures[0].failure_examples == ["data row 1: 7"]
