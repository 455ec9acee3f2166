"""Training and inference prepare patients in the same way, whatever is changed."""

from importlib import import_module

import pandas as pd
import pytest
from kedro.framework.project import PACKAGE_NAME

from ..conftest import Project

preparation = import_module(f"{PACKAGE_NAME}.pipelines.preparation")


def test_a_change_of_the_preparation_reaches_both_pipelines(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run("training", until="regressor")
    trained_on = project.run("training", until="train_features")
    predicted_from = project.run("inference", until="features")

    unchanged = preparation.prepare

    def in_tenths(patients: pd.DataFrame, state: object) -> pd.DataFrame:
        return unchanged(patients, state) * 10

    monkeypatch.setattr(preparation, "prepare", in_tenths)

    pd.testing.assert_frame_equal(project.run("training", until="train_features"), trained_on * 10)
    pd.testing.assert_frame_equal(project.run("inference", until="features"), predicted_from * 10)


def test_inference_uses_the_state_that_training_fitted(project: Project) -> None:
    project.run("training", until="regressor")
    first = project.run("inference", until="features")

    project.run("training", until="regressor", parameters={"split": {"seed": 7}})
    second = project.run("inference", until="features")

    fitted = project.load("preparation")
    instances = project.load("instances")
    pd.testing.assert_frame_equal(second, (instances - fitted.mean_) / fitted.scale_)
    assert not first.equals(second)


def test_a_patient_of_the_training_set_is_prepared_alike_at_inference(project: Project) -> None:
    project.run("training", until="regressor")
    test_features = project.run("training", until="test_features")
    patients = project.load("patients").loc[test_features.index]

    patients.drop(columns="progression").to_csv(project.file("instances"), index=False)
    features = project.run("inference", until="features")

    pd.testing.assert_frame_equal(features, test_features.reset_index(drop=True))
