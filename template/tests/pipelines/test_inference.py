"""The inference pipeline: a prediction for every instance, and the one that training tested."""

import pandas as pd
import pytest
from kedro.framework.project import pipelines
from kedro.io import DatasetError

from ..conftest import Project, instances_of


def test_every_instance_gets_one_prediction(project: Project) -> None:
    project.train()
    assert len(project.predict()) == len(project.load("instances"))


def test_the_order_of_the_columns_does_not_matter(project: Project) -> None:
    project.train()
    predictions = project.predict()

    instances = project.load("instances")
    project.save("instances", instances[instances.columns[::-1]])

    pd.testing.assert_frame_equal(project.predict(), predictions)


def test_one_instance_is_predicted_as_it_is_among_others(project: Project) -> None:
    project.train()
    predictions = project.predict()

    project.save("instances", project.load("instances").iloc[[3]])

    pd.testing.assert_frame_equal(
        project.predict(), predictions.iloc[[3]].reset_index(drop=True), check_dtype=False
    )


def test_inference_predicts_what_training_has_tested(project: Project) -> None:
    project.train()
    test_records = project.run("training", until="test_records")
    tested = project.run("training", until="test_predictions")

    project.save("instances", instances_of(test_records))

    predictions = project.predict()[list(tested.columns)]
    pd.testing.assert_frame_equal(predictions, tested.reset_index(drop=True), check_dtype=False)


def test_both_pipelines_call_the_same_functions() -> None:
    training = {node.func for node in pipelines["training"].nodes}
    assert {node.func for node in pipelines["inference"].nodes} <= training


def test_inference_before_training_is_refused(project: Project) -> None:
    with pytest.raises(DatasetError):
        project.run("inference")
    assert not project.file("predictions").exists()
