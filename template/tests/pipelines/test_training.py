"""The training pipeline: the same every time, tested on what it has not seen, strict."""

from typing import Any

import pandas as pd
import pytest
from kedro.validation import ParameterValidationError

from ..conftest import Project


def test_training_twice_gives_the_same_to_the_last_digit(project: Project) -> None:
    project.run("training")
    evaluation, predictions = project.load("evaluation"), project.predict()

    project.run("training")

    assert project.load("evaluation") == evaluation
    pd.testing.assert_frame_equal(project.predict(), predictions, check_exact=True)


def test_another_seed_gives_another_split(project: Project) -> None:
    first = project.run("training", until="test_records")
    second = project.run("training", until="test_records", parameters={"split": {"seed": 7}})
    assert set(first.index) != set(second.index)


def test_training_and_test_records_do_not_overlap(project: Project) -> None:
    train = project.run("training", until="train_records").index
    test = project.run("training", until="test_records").index

    assert not set(train) & set(test)
    assert len(train) + len(test) == len(project.load("records"))


def test_the_evaluation_is_numbers_of_the_test_records(project: Project) -> None:
    project.run("training")
    test = project.run("training", until="test_records")
    evaluation: dict[str, Any] = project.load("evaluation")

    groups = [value for value in evaluation.values() if isinstance(value, dict)]
    assert evaluation["rows"] == len(test)
    assert all(0 < group["rows"] <= len(test) for group in groups)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": {"test_fraction": 2}}, "'split': test_fraction is 2, but should be less than 1"),
        ({"split": {"seed": -1}}, "seed is -1, but should be greater than or equal to 0"),
        ({"split": {"seed": None}}, "seed is None, but should be a valid integer"),
        ({"split": {"sed": 3}}, r"sed is not a parameter here \(did you mean seed\?\)"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name_before_anything_runs(
    project: Project, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterValidationError, match=message):
        project.run("training", parameters=wrong)
    assert not project.file("evaluation").exists()
