"""What things are called at the target of a migration."""

from __future__ import annotations

import pytest

from tests.support.rooms import Rooms


@pytest.mark.parametrize(
    ("name", "own", "there"),
    [
        ("ridge", "progression", "ridge"),
        ("ridge", "/Shared/progression", "/Shared/ridge"),
        ("/Users/eve/ridge", "/Shared/progression", "/Users/eve/ridge"),
    ],
)
def test_an_experiment_goes_beside_the_projects_own(
    mlops: Rooms, name: str, own: str, there: str
) -> None:
    options = mlops("config").ExperimentOptions(name=own)
    assert mlops("migration.endpoints").experiment_name(name, options) == there


@pytest.mark.parametrize(
    ("name", "own", "there"),
    [
        ("ridge", "progression", "ridge"),
        ("ridge", "main.ml.progression", "main.ml.ridge"),
        ("dev.ml.ridge", "main.ml.progression", "dev.ml.ridge"),
    ],
)
def test_a_registered_model_goes_into_the_schema_of_the_projects_own(
    mlops: Rooms, name: str, own: str, there: str
) -> None:
    options = mlops("config").ModelOptions(name=own)
    assert mlops("migration.endpoints").registered_name(name, options) == there


def test_names_inside_of_names_are_replaced_once(mlops: Rooms) -> None:
    rename = mlops("migration.files").rename
    text = "run_id: r1\nartifact_path: s3://old/m1/artifacts\nmodel_id: m1"
    renamed = {"m1": "m2", "s3://old/m1/artifacts": "s3://new/m1/artifacts", "r1": "m1"}
    expected = "run_id: m1\nartifact_path: s3://new/m1/artifacts\nmodel_id: m2"
    assert rename(text, renamed) == expected
    assert rename(text, {"": ""}) == text
