"""The training pipeline: the same every time, evaluated by slice, strict about parameters."""

from importlib import import_module
from typing import Any

import pandas as pd
import pytest
from kedro.framework.project import PACKAGE_NAME
from kedro.validation import ParameterValidationError

from ..conftest import Project

nodes = import_module(f"{PACKAGE_NAME}.pipelines.training.nodes")
parameters = import_module(f"{PACKAGE_NAME}.pipelines.training.parameters")

FIGURES = ("residual_plot", "feature_importance_plot")


def test_training_twice_gives_the_same_to_the_last_digit(project: Project) -> None:
    project.run("training")
    evaluation = project.load("evaluation")
    figures = [project.file(name).read_bytes() for name in FIGURES]
    project.run("inference")
    predictions = project.load("predictions")

    project.run("training")
    project.run("inference")

    assert project.load("evaluation") == evaluation
    assert [project.file(name).read_bytes() for name in FIGURES] == figures
    pd.testing.assert_frame_equal(project.load("predictions"), predictions, check_exact=True)


def test_another_seed_gives_another_split(project: Project) -> None:
    first = project.run("training", until="test_features")
    second = project.run("training", until="test_features", parameters={"split": {"seed": 7}})
    assert set(first.index) != set(second.index)


def test_training_and_test_patients_do_not_overlap(project: Project) -> None:
    train = project.run("training", until="train_features").index
    test = project.run("training", until="test_features").index

    assert not set(train) & set(test)
    assert len(train) + len(test) == len(project.load("patients"))


def test_the_regressor_beats_the_mean_in_every_slice(project: Project) -> None:
    project.run("training")
    evaluation = project.load("evaluation")

    slices = {"sex_1", "sex_2", "age_under_40", "age_40_to_59", "age_60_and_over"}
    assert set(evaluation) == {"rmse", "mae", "r2", "patients", *slices}
    assert evaluation["r2"] > 0.4
    assert all(evaluation[name]["r2"] > 0 for name in slices)


def test_a_small_slice_leaves_out_what_it_cannot_tell() -> None:
    patients = pd.DataFrame(
        {"sex": [1.0, 1.0, 2.0], "age": [30.0, 39.9, 40.0], "progression": [100.0, 120.0, 90.0]}
    )
    predictions = pd.DataFrame({"progression": [110.0, 110.0, 110.0]})

    found = nodes.evaluate(patients, predictions, parameters.Evaluation(age_bands=[40, 60]))

    assert found["age_under_40"] == {"rmse": 10.0, "mae": 10.0, "patients": 2.0, "r2": 0.0}
    assert found["age_40_to_59"] == {"rmse": 20.0, "mae": 20.0, "patients": 1.0}
    assert "age_60_and_over" not in found


def test_without_age_bands_there_are_no_age_slices(project: Project) -> None:
    project.run("training", parameters={"evaluation": {"age_bands": []}})
    assert set(project.load("evaluation")) == {"rmse", "mae", "r2", "patients", "sex_1", "sex_2"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": {"test_fraction": 2}}, "'split': test_fraction is 2, but should be less than 1"),
        ({"split": {"test_fraction": "a fifth"}}, "test_fraction is 'a fifth', but should be"),
        ({"split": {"seed": -1}}, "seed is -1, but should be greater than or equal to 0"),
        ({"split": {"seed": None}}, "seed is None, but should be a valid integer"),
        ({"split": {"sed": 3}}, r"sed is not a parameter here \(did you mean seed\?\)"),
        ({"model": {"alpha": True}}, "'model': alpha is True, but should be a valid number"),
        ({"model": {"alpha": float("nan")}}, "alpha is nan, but should be a finite number"),
        ({"evaluation": {"age_bands": [60, 40]}}, r"age_bands is \[60, 40\], but ages should asc"),
        ({"importance": {"repeats": 1}}, "'importance': repeats is 1, but should be greater"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name_before_anything_runs(
    project: Project, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterValidationError, match=message):
        project.run("training", parameters=wrong)
    assert not project.file("preparation").exists()


def test_a_missing_parameter_is_refused_by_name(project: Project) -> None:
    del project.parameters["split"]["seed"]
    with pytest.raises(ParameterValidationError, match="'split': seed is missing"):
        project.run("training")
