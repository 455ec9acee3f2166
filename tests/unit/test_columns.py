"""Columns: a version whose data are other ones says so, before anything fails on them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from tests.support.rooms import Rooms

OLD = {"x": "number", "bmi": "number", "sex": "text"}


@pytest.mark.parametrize(
    ("wanted", "offered", "missing"),
    [
        (OLD, OLD, []),
        (OLD, {**OLD, "plan": "text"}, []),
        (OLD, {"x": "number"}, ["bmi", "sex"]),
        # What holds something else is another column; what is not known may fit.
        (OLD, {**OLD, "bmi": "text"}, ["bmi"]),
        (OLD, {"x": "", "bmi": "", "sex": ""}, []),
        ({"x": ""}, {"x": "time"}, []),
        (None, {"x": ""}, []),
        (OLD, None, []),
        (OLD, {}, ["x", "bmi", "sex"]),
    ],
)
def test_what_a_version_lacks_is_named(
    mlops: Rooms,
    wanted: dict[str, str] | None,
    offered: dict[str, str] | None,
    missing: list[str],
) -> None:
    assert mlops("registry.columns").lacking(wanted, offered) == missing


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (OLD, OLD, ""),
        (OLD, None, ""),
        ({**OLD, "plan": "text"}, OLD, "It reads the column plan, which version 1 does not read."),
        ({"x": ""}, OLD, "It does not read the columns bmi, sex, which version 1 reads."),
        (
            {"plan": ""},
            {"x": ""},
            "It reads the column plan, which version 1 does not read, and does not read the column "
            "x, which version 1 reads.",
        ),
    ],
)
def test_two_versions_differ_in_a_sentence(
    mlops: Rooms, ours: dict[str, str], theirs: dict[str, str] | None, said: str
) -> None:
    assert mlops("registry.columns").difference([ours, theirs], "1") == said


def test_of_very_many_columns_the_first_are_named(mlops: Rooms) -> None:
    listed = mlops("registry.columns").listed([f"c{number}" for number in range(12)])
    assert listed == "the columns c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 and 2 more"


def model(folder: Path, inputs: Any) -> Path:
    """A model of which only the MLmodel is left."""
    signature = ModelSignature(inputs=inputs) if inputs else None
    Model(signature=signature).save(folder / "MLmodel")
    return folder


@pytest.mark.parametrize("path", ["", "MLmodel"])
def test_a_version_says_which_columns_it_must_be_given(
    mlops: Rooms, tmp_path: Path, path: str
) -> None:
    kinds = {"double": "number", "float": "number", "long": "number", "integer": "number"}
    kinds |= {"string": "text", "datetime": "time", "boolean": "", "binary": ""}
    columns: list[ColSpec | TensorSpec] = [ColSpec(getattr(DataType, kind), kind) for kind in kinds]
    columns.append(ColSpec(DataType.double, "may be left out", required=False))
    folder = model(tmp_path, Schema(columns))
    assert mlops("registry.columns").columns_of(folder / path) == kinds


@pytest.mark.parametrize(
    "inputs",
    [
        None,
        Schema([ColSpec(DataType.double)]),
        Schema([TensorSpec(np.dtype("float32"), (-1, 28, 28))]),
        Schema([TensorSpec(np.dtype("float32"), (-1, 28, 28), "image")]),
    ],
    ids=["none", "without names", "a tensor", "a tensor with a name"],
)
def test_a_version_that_does_not_say_is_not_held_to_any(
    mlops: Rooms, tmp_path: Path, inputs: Any
) -> None:
    columns_of = mlops("registry.columns").columns_of
    assert columns_of(model(tmp_path, inputs)) is None
    assert columns_of(tmp_path / "gone") is None


SCHEMA = Schema([ColSpec(DataType.double, "bmi"), ColSpec(DataType.double, "age")])


def require_columns(mlops: Rooms, catalog: DataCatalog, folder: Path) -> None:
    """Do as a batch does."""
    columns, dataset = mlops("registry.columns"), catalog["rows"]
    version = ("Version 1 of m (champion)", columns.columns_of(folder))
    check = columns.RequiredColumns("rows", *version)
    vars(dataset)["load"] = mlops("model.batch").Rows(dataset, check).load


@pytest.mark.parametrize(
    ("kind", "rows", "fits"),
    [
        ("pandas.CSVDataset", pd.DataFrame({"age": [1.0], "bmi": [2.0], "id": [3]}), True),
        ("pandas.CSVDataset", pd.DataFrame({"age": [1.0], "plan": ["a"]}), False),
        ("pandas.ParquetDataset", pd.DataFrame({"age": [1.0], "plan": ["a"]}), False),
        ("pickle.PickleDataset", np.ones((3, 2)), True),
    ],
)
@pytest.mark.parametrize("where", ["here", "in a worker", "cached"])
def test_a_batch_of_other_data_is_refused_in_a_sentence(
    mlops: Rooms, tmp_path: Path, kind: str, rows: Any, fits: bool, where: str
) -> None:
    entry: dict[str, Any] = {"type": kind, "filepath": str(tmp_path / "rows")}
    if kind == "pandas.CSVDataset":
        entry["save_args"] = {"index": False}
    if where == "cached":
        entry = {"type": "CachedDataset", "dataset": entry}
    DataCatalog.from_config({"rows": entry})["rows"].save(rows)
    catalog = DataCatalog.from_config({"rows": entry})
    require_columns(mlops, catalog, model(tmp_path, SCHEMA))
    if where == "in a worker":
        catalog = pickle.loads(pickle.dumps(catalog))
    if fits:
        assert len(catalog.load("rows")) == len(rows)
        return
    with pytest.raises(mlops("errors").TrackingError) as raised:
        catalog.load("rows")
    assert raised.value.message == (
        "Version 1 of m (champion) reads the column bmi, which the data set 'rows' does not have: "
        "the version was trained on other data. Score with a version of these data, by `--params "
        "model_version=N`, or make it the champion: `kedro mlflow promote --version N "
        "--new-champion --reason TEXT`."
    )
