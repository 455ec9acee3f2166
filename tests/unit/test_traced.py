"""Columns that say which version of the model has predicted a row."""

from __future__ import annotations

import logging

import pandas as pd
import pytest
from kedro.io import DatasetError, MemoryDataset

from tests.support.rooms import Rooms

ORIGIN = {"model_version": 3, "model_run_id": "abc"}


def test_a_table_is_saved_with_its_origin_and_stays_as_it_is_for_others(mlops: Rooms) -> None:
    traced = mlops("model.batch").TracedDataset(MemoryDataset(), ORIGIN)
    predictions = pd.DataFrame({"progression": [1.0, 2.0]}, index=[7, 9])
    traced.save(predictions)
    assert list(predictions.columns) == ["progression"]
    saved = traced.load()
    assert saved["model_version"].to_list() == [3, 3]
    assert saved["model_run_id"].to_list() == ["abc", "abc"]
    assert saved.index.to_list() == [7, 9]


def test_a_column_of_the_owners_own_is_not_written_over(mlops: Rooms) -> None:
    traced = mlops("model.batch").TracedDataset(MemoryDataset(), ORIGIN)
    with pytest.raises(DatasetError, match=r"'model_version' already.*model\.traced to false"):
        traced.save(pd.DataFrame({"model_version": ["T"]}))


def test_what_is_no_table_is_saved_as_it_is_and_said_to_be(
    mlops: Rooms, caplog: pytest.LogCaptureFixture
) -> None:
    traced = mlops("model.batch").TracedDataset(MemoryDataset(), ORIGIN)
    with caplog.at_level(logging.WARNING):
        traced.save([1.0, 2.0])
    assert traced.load() == [1.0, 2.0]
    assert "no table" in caplog.text
