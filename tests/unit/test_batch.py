"""Columns that say which version of the model has predicted a row."""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd
import pytest
from kedro.io import DatasetError, MemoryDataset

from tests.support.rooms import Rooms


def saving(mlops: Rooms, dataset: Any) -> Any:
    columns = {"model_version": 3, "model_run_id": "abc"}
    vars(dataset)["save"] = mlops("model.batch").Predictions(dataset, columns).save
    return dataset


@pytest.fixture
def dataset(mlops: Rooms) -> Any:
    return saving(mlops, MemoryDataset())


def test_a_table_is_saved_with_its_origin_and_stays_as_it_is_for_others(dataset: Any) -> None:
    predictions = pd.DataFrame({"progression": [1.0, 2.0]}, index=[7, 9])
    dataset.save(predictions)
    assert list(predictions.columns) == ["progression"]
    saved = dataset.load()
    assert saved["model_version"].to_list() == [3, 3]
    assert saved["model_run_id"].to_list() == ["abc", "abc"]
    assert saved.index.to_list() == [7, 9]


def test_a_column_of_the_owners_own_is_not_written_over(dataset: Any) -> None:
    with pytest.raises(DatasetError, match=r"'model_version' already.*model\.traced to false"):
        dataset.save(pd.DataFrame({"model_version": ["T"]}))


def test_what_is_not_a_table_is_saved_as_it_is_with_a_warning(
    dataset: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        dataset.save([1.0, 2.0])
    assert dataset.load() == [1.0, 2.0]
    assert "not a table" in caplog.text


def test_a_table_of_polars_gets_the_columns_too(dataset: Any) -> None:
    polars = pytest.importorskip("polars")
    dataset.save(polars.DataFrame({"progression": [1.0, 2.0]}))
    assert dataset.load().to_dict(as_series=False) == {
        "progression": [1.0, 2.0],
        "model_version": [3, 3],
        "model_run_id": ["abc", "abc"],
    }
