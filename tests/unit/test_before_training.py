"""What a model takes and can be known before training: which problem is found, and that none is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from kedro.validation.exceptions import CheckFailure, DataValidationError
from sklearn.base import BaseEstimator
from sklearn.linear_model import Ridge

from tests.support.rooms import Rooms

NAME = "The model's input, the data set 'instances' (model.input in mlflow.yml),"


class Clip(BaseEstimator):
    """An estimator of the owner's own."""


def fit(patients: Any) -> Ridge:
    return Ridge()


def predict(instances: Any, state: Any) -> Any:
    return instances


def halved(instances: Any, state: Any, factor: float) -> Any:
    return instances


def refuse(rows: pd.DataFrame) -> None:
    failure = CheckFailure("x must be small", failure_examples=["data row 1: 1.5"])
    raise DataValidationError("No", failures=[failure])


TRAINING = Pipeline([node(fit, "patients", "state", name="fit")])
INFERENCE = Pipeline([node(predict, ["instances", "state"], "predictions")])
WITH_FACTOR = Pipeline([node(halved, ["instances", "state", "params:factor"], "predictions")])
MAKES_ITS_INPUT = TRAINING + Pipeline([node(lambda patients: patients, "patients", "instances")])
READS_IT_TOO = MAKES_ITS_INPUT + Pipeline([node(len, "instances", "count")])


@pytest.fixture
def problems(mlops: Rooms, tmp_path: Path) -> Callable[..., list[str]]:
    """Ask what is wrong with a project that is right but for what is given."""

    def ask(
        catalog: dict[str, Any] | None = None,
        training: Pipeline = TRAINING,
        inference: Pipeline = INFERENCE,
        **options: str,
    ) -> list[str]:
        (tmp_path / "instances.csv").write_text("x,town\n1.5,Bern\n,\n", "utf-8")
        entries = {
            "state": {"type": "pickle.PickleDataset", "filepath": "state.pickle"},
            "instances": {"type": "pandas.CSVDataset", "filepath": "instances.csv"},
            **(catalog or {}),
        }
        for entry in entries.values():
            if isinstance(entry, dict) and "filepath" in entry:
                entry["filepath"] = str(tmp_path / entry["filepath"])
        data = {key: value for key, value in entries.items() if not isinstance(value, dict | None)}
        config = {key: value for key, value in entries.items() if isinstance(value, dict)}
        made = DataCatalog.from_config(config)
        for key, value in data.items():
            made[key] = value
        model = mlops("config").ModelOptions(**{"name": "model", **options})
        return list(mlops("model.preflight").problems(model, training, inference, made))

    return ask


def skops(mlops: Rooms, *trusted: str) -> Any:
    kind = mlops("datasets").SkopsDataset
    return {"type": kind, "filepath": "state.skops", "trusted": list(trusted)}


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        pytest.param(
            {"catalog": {"instances": {"type": "pandas.CSVDataset", "filepath": "nowhere.csv"}}},
            f"{NAME} has no file at ",
            id="no file",
        ),
        pytest.param(
            {"catalog": {"instances": None}}, f"{NAME} has no entry in catalog.yml", id="no entry"
        ),
        pytest.param(
            {"catalog": {"instances": MemoryDataset()}}, f"{NAME} has no entry", id="memory"
        ),
        pytest.param(
            {"catalog": {"instances": {"type": "json.JSONDataset", "filepath": "instances.csv"}}},
            f"{NAME} cannot be read (Expecting value",
            id="another format",
        ),
        pytest.param(
            {
                "catalog": {
                    "instances": {
                        "type": "pandas.CSVDataset",
                        "filepath": "instances.csv",
                        "validator": f"{__name__}.refuse",
                    }
                }
            },
            f"{NAME} is refused: x must be small (data row 1: 1.5).",
            id="rows that its validator refuses",
        ),
        pytest.param(
            {"training": READS_IT_TOO, "catalog": {"instances": None}},
            f"{NAME} is gone at the run's end",
            id="made by the run and gone",
        ),
        pytest.param(
            {"catalog": {"state": None}},
            "'state' is fitted by the run and read by the model, but has no file",
            id="fitted, without an entry",
        ),
        pytest.param(
            {"catalog": {"state": MemoryDataset()}}, "but has no file", id="fitted, in memory"
        ),
        pytest.param(
            {
                "catalog": {
                    "state": {"type": "matplotlib.MatplotlibDataset", "filepath": "state.png"}
                }
            },
            "cannot be loaded as a MatplotlibDataset",
            id="fitted, write only",
        ),
        pytest.param(
            {"catalog": {"state": {"type": "json.JSONDataset", "filepath": "state.json"}}},
            "It is a Ridge, which a JSONDataset cannot hold",
            id="fitted, a format of numbers",
        ),
        pytest.param(
            {"inference": WITH_FACTOR},
            "The pipeline 'inference' reads 'params:factor', which is in no parameters.yml",
            id="no such parameter",
        ),
        pytest.param({"name": "a/b"}, "model.name is 'a/b', and MLflow takes no '/'", id="name"),
        pytest.param({"name": "a:b"}, "MLflow takes no ':'", id="another name"),
        pytest.param({"name": "a?b"}, "MLflow takes no '?'", id="a name that no address holds"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    problems: Callable[..., list[str]], case: dict[str, Any], sentence: str
) -> None:
    found = problems(**case)
    assert sentence in found[0]
    assert len(found) == 1
    assert "\n" not in found[0]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param({}, id="files"),
        pytest.param(
            {"training": MAKES_ITS_INPUT, "catalog": {"instances": None}}, id="made by the run"
        ),
        pytest.param(
            {
                "training": READS_IT_TOO,
                "catalog": {"instances": {"type": "pandas.CSVDataset", "filepath": "later.csv"}},
            },
            id="made by the run, in a file",
        ),
        pytest.param(
            {"catalog": {"instances": MemoryDataset(pd.DataFrame({"x": [1]}))}}, id="data"
        ),
        pytest.param(
            {
                "catalog": {
                    "state": {
                        "type": "CachedDataset",
                        "dataset": {"type": "pickle.PickleDataset", "filepath": "state.pickle"},
                    }
                }
            },
            id="cached",
        ),
        pytest.param(
            {"inference": WITH_FACTOR, "catalog": {"params:factor": MemoryDataset(0.5)}},
            id="a parameter",
        ),
        pytest.param({"name": "main.default.model"}, id="a name of Unity Catalog"),
    ],
)
def test_what_is_right_starts(problems: Callable[..., list[str]], case: dict[str, Any]) -> None:
    assert problems(**case) == []


def test_a_type_that_the_catalog_trusts_and_nobody_has_is_named(
    mlops: Rooms, problems: Callable[..., list[str]]
) -> None:
    (found,) = problems({"state": skops(mlops, f"{__name__}.Clip", "nowhere.Clip")})
    assert "'state' in catalog.yml trusts 'nowhere.Clip', which cannot be imported" in found


TEN = pd.date_range("2026-01-01", periods=2)


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(table, id=name)
        for name, table in {
            "numbers": pd.DataFrame({"a": [1, 2], "b": [0.5, None], "c": [True, False]}),
            "nullable": pd.DataFrame(
                {"a": pd.array([1, None], "Int64"), "b": pd.array([None, True], "boolean")}
            ),
            "texts": pd.DataFrame({"a": ["x", None], "b": pd.Series(["x", None], dtype="object")}),
            "categories": pd.DataFrame({"a": pd.Categorical(["x", None])}),
            "times": pd.DataFrame({"a": TEN, "b": TEN.tz_localize("Europe/Berlin")}),
            "durations": pd.DataFrame({"a": TEN - TEN[0]}),
            "objects of numbers": pd.DataFrame({"a": pd.Series([1, 0.5], dtype="object")}),
            "only gaps": pd.DataFrame({"a": [None, None]}),
            "numbered columns": pd.DataFrame(np.ones((2, 2))),
            "any name": pd.DataFrame({"a b.c/ü": [1]}),
        }.items()
    ],
)
def test_a_table_of_these_types_may_be_the_input(
    problems: Callable[..., list[str]], table: Any
) -> None:
    assert problems({"instances": MemoryDataset(table)}) == []


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        pytest.param(value, sentence, id=name)
        for name, value, sentence in [
            (
                "array of texts",
                np.array([["a"]]),
                "An array of the type <U1 and the shape [1, 1] cannot be the model's input",
            ),
            ("list", [[1.0]], "is a builtins.list"),
            ("series", pd.Series([1]), "Series: let its entry"),
            ("no rows", pd.DataFrame({"a": []}), "has no rows"),
            (
                "one name twice",
                pd.DataFrame([[1, 2]], columns=["a", "a"]),
                "Several columns",
            ),
            ("1 and '1'", pd.DataFrame([[1, 2]], columns=[1, "1"]), "Several columns"),
            (
                "complex",
                pd.DataFrame({"a": [1j]}),
                "'a' of the model's input holds values of the type complex128",
            ),
            ("period", pd.DataFrame({"a": TEN.to_period("D")}), "values of the type period[D]"),
            (
                "interval",
                pd.DataFrame({"a": pd.cut([1, 2], 2)}).astype("object"),
                "objects (interval)",
            ),
            ("lists", pd.DataFrame({"a": [[1], [2]], "b": [1, 2]}), "objects (mixed), which no"),
            ("text and number", pd.DataFrame({"a": ["x", 1]}), "objects (mixed-integer)"),
        ]
    ],
)
def test_any_other_input_is_refused_and_its_columns_are_named(
    problems: Callable[..., list[str]], value: Any, sentence: str
) -> None:
    (found,) = problems({"instances": MemoryDataset(value)})
    assert NAME in found or "the model's input" in found
    assert sentence in found


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        pytest.param(
            lambda pl: pl.DataFrame({"a": [1, None], "b": ["x", None], "c": [0.5, 1.0]}),
            None,
            id="numbers and texts",
        ),
        pytest.param(
            lambda pl: pl.DataFrame({"a": pl.Series(["x"], dtype=pl.Categorical)}),
            None,
            id="categories",
        ),
        pytest.param(lambda pl: pl.DataFrame({"a": []}), "has no rows", id="no rows"),
        pytest.param(lambda pl: pl.DataFrame({"a": [[1]]}), "List(Int64)", id="lists"),
        pytest.param(lambda pl: pl.DataFrame({"a": [{"b": 1}]}), "Struct(", id="structs"),
        pytest.param(
            lambda pl: pl.DataFrame({"a": [1]}).lazy(),
            "is a polars.lazyframe.frame.LazyFrame",
            id="lazy",
        ),
    ],
)
def test_tables_of_polars_are_held_to_the_same(
    problems: Callable[..., list[str]], make: Callable[[Any], Any], sentence: str | None
) -> None:
    found = problems({"instances": MemoryDataset(make(pytest.importorskip("polars")))})
    assert len(found) == (sentence is not None)
    assert not found or str(sentence) in found[0]
