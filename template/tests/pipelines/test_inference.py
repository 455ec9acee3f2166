"""The inference pipeline: a prediction for every instance, in their order."""

from importlib import import_module

import pandas as pd
import pytest
from kedro.framework.project import PACKAGE_NAME
from kedro.io import DatasetError

from ..conftest import Project

prepare = import_module(f"{PACKAGE_NAME}.pipelines.preparation").prepare


def test_every_instance_gets_one_prediction(project: Project) -> None:
    project.run("training", until="regressor")
    project.run("inference")

    predictions = project.load("predictions")
    assert list(predictions.columns) == ["progression"]
    assert len(predictions) == len(project.load("instances"))
    assert predictions["progression"].between(0, 400).all()


def test_the_order_of_the_columns_does_not_matter(project: Project) -> None:
    project.run("training", until="regressor")
    project.run("inference")
    predictions = project.load("predictions")

    instances = project.load("instances")
    instances[instances.columns[::-1]].to_csv(project.file("instances"), index=False)
    project.run("inference")

    pd.testing.assert_frame_equal(project.load("predictions"), predictions)


def test_one_instance_is_predicted_as_it_is_among_others(project: Project) -> None:
    project.run("training", until="regressor")
    project.run("inference")
    predictions = project.load("predictions")

    project.load("instances").iloc[[3]].to_csv(project.file("instances"), index=False)
    project.run("inference")

    assert project.load("predictions")["progression"].item() == pytest.approx(
        predictions["progression"][3]
    )


def test_inference_before_training_says_what_to_do(project: Project) -> None:
    with pytest.raises(DatasetError, match=r"preparation\.skops is not there\. Run the pipeline"):
        project.run("inference")


def test_prepare_goes_by_name_and_leaves_the_progression_out(project: Project) -> None:
    preparation = project.run("training", until="preparation")
    patients = project.load("patients")

    features = prepare(patients[patients.columns[::-1]], preparation)

    pd.testing.assert_frame_equal(features, prepare(patients, preparation))
    assert list(features.columns) == [name for name in patients if name != "progression"]
