"""The model's schema: what a column may be, read from training, the same through every door."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from kedro.validation import DataValidationError
from pandera.typing import Series
from pandera.typing.common import Category

from tests.support.asgi import Asked
from tests.support.rooms import Rooms

GAP = None
Make = Callable[[Any], pd.Series]


def of(values: list[Any], dtype: Any = None) -> pd.Series:
    return pd.Series(values, dtype=dtype)


def times(*texts: str | None, zone: str | None = None) -> pd.Series:
    return of(pd.to_datetime(list(texts), format="ISO8601").tz_localize(zone))


# A column of training, and its values in JSON. The second row may be missing.
COLUMNS: dict[str, tuple[pd.Series, list[Any]]] = {
    "float": (of([1.5, 2.0, 3.25]), [1.5, 2, 3.25]),
    "float with gaps": (of([1.5, GAP, 3.25]), [1.5, None, 3.25]),
    "float32": (of([1.5, GAP, 3.25], "float32"), [1.5, None, 3.25]),
    "int": (of([1, 2, 3]), [1, 2.0, 3]),
    "int16": (of([1, 2, 3], "int16"), [1, 2, 3]),
    "uint64": (of([1, 2, 2**63], "uint64"), [1, 2, 2**63]),
    "Int64": (of([1, 2, 3], "Int64"), [1, 2, 3]),
    "Int64 with gaps": (of([1, GAP, 3], "Int64"), [1, None, 3.0]),
    "Float64": (of([1.5, GAP, 3.0], "Float64"), [1.5, None, 3]),
    "sparse": (of([0.0, 1.0, 0.0], "Sparse[float64]"), [0, 1, 0]),
    "arrow": (of([1, GAP, 3], "int64[pyarrow]"), [1, None, 3]),
    "bool": (of([True, False, True]), [True, False, True]),
    "bool with gaps": (of([True, GAP, False], object), [True, None, False]),
    "boolean": (of([True, GAP, False], "boolean"), [True, None, False]),
    "texts": (of(["a", "NA", "007"]), ["a", "NA", "007"]),
    "texts with gaps": (of(["a", GAP, "7"]), ["a", None, "7"]),
    "string": (of(["a", GAP, "7"], "string"), ["a", None, "7"]),
    "objects": (of(["a", GAP, "7"], object), ["a", None, "7"]),
    "objects with NaN": (of(["a", np.nan, "7"], object), ["a", None, "7"]),
    "category": (of(["b", "a", "c"], "category"), ["b", "a", "c"]),
    "category with gaps": (of(["b", GAP, "c"], "category"), ["b", None, "c"]),
    "category of numbers": (of([2, GAP, 1], "category"), [2, None, 1]),
    "ordered": (of(pd.Categorical(["lo", GAP, "hi"], ["lo", "hi"], ordered=True)),
                ["lo", None, "hi"]),
    "time": (times("2026-01-31T12:30", None, "1999-12-31"),
             ["2026-01-31T12:30:00", None, "1999-12-31"]),
    "time to the ns": (times("2026-01-31T12:30:00.123456789", None, "1999-12-31"),
                       ["2026-01-31T12:30:00.123456789", None, "1999-12-31"]),
    "zone": (times("2026-07-01T12:00", None, "2026-01-01", zone="Europe/Berlin"),
             ["2026-07-01T12:00:00+02:00", None, "2025-12-31T23:00:00Z"]),
    "duration": (of(pd.to_timedelta(["1h", None, "2 days 00:00:01.5"])),
                 ["PT1H", None, 2 * 86400 + 1.5]),
    "date": (of([date(2026, 1, 31), GAP, date(1999, 12, 31)], object),
             ["2026-01-31", None, "1999-12-31"]),
    "decimal": (of([Decimal("1.25"), GAP, Decimal("0.1")], object), ["1.25", None, 0.1]),
    "bytes": (of([b"a", GAP, b"bc"], object), ["YQ==", None, "YmM="]),
    "0": (of([1.5, 2.0, 3.25]), [1.5, 2, 3.25]),
    "µ / %s \" ü.a": (of([1, 2, 3]), [1, 2, 3]),
}  # fmt: skip
TABLE = pd.DataFrame({name: series for name, (series, _) in COLUMNS.items()}).rename(
    columns={"0": 0}
)
JSON = {name: values for name, (_, values) in COLUMNS.items()}
ROWS = [dict(zip(JSON, row, strict=True)) for row in zip(*JSON.values(), strict=True)]


@pytest.fixture(scope="module")
def schema(mlops: Rooms, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The schema of the table, as a model keeps it."""
    path = tmp_path_factory.mktemp("schema") / "schema.json"
    mlops("model.inferred_schema").of_table(TABLE).write(path)
    return mlops("model.schema").Schema.read(path)


def test_the_table_of_training_passes_as_it_is(schema: Any) -> None:
    pd.testing.assert_frame_equal(schema.conform(TABLE), TABLE)


@pytest.mark.parametrize("name", COLUMNS)
def test_json_becomes_the_column_of_training(schema: Any, name: str) -> None:
    found = schema.table(JSON)
    assert list(found.columns) == list(TABLE.columns)
    column = 0 if name == "0" else name
    pd.testing.assert_series_equal(found[column], TABLE[column])


def test_categories_keep_the_codes_of_training(mlops: Rooms) -> None:
    table = pd.DataFrame({"x": pd.Categorical(["b", "a"], ["b", "a"])})
    schema = mlops("model.inferred_schema").of_table(table)
    for other in (["a", "b"], ["b", "a"], ["a"]):
        rows = pd.DataFrame({"x": pd.Categorical(["a", None], other)})
        assert schema.conform(rows)["x"].cat.codes.tolist() == [1, -1]
    rows = pd.DataFrame({"x": pd.Categorical(["c", "a"])})
    with pytest.raises(DataValidationError, match=r"x: must be one of b, a|x must be one of b, a"):
        schema.conform(rows)


@pytest.mark.parametrize("columns", [["x"], ["x", "y"]])
def test_a_table_with_further_columns_keeps_them_last_and_its_index(
    mlops: Rooms, columns: list[str]
) -> None:
    schema = mlops("model.inferred_schema").of_table(pd.DataFrame({"x": [0.5]}))
    rows = pd.DataFrame({"y": ["a", "b"], "x": [1, 2]}, index=[7, 8])[columns[::-1]]
    expected = pd.DataFrame({"x": [1.0, 2.0], "y": ["a", "b"]}, index=[7, 8])[columns]
    pd.testing.assert_frame_equal(schema.conform(rows), expected)


# --- every door ---


def shown(rows: pd.DataFrame, state: dict[str, Any]) -> pd.DataFrame:
    """What the model gets: a column each, its dtype and values in words."""
    return pd.DataFrame(
        {
            str(name): [f"{rows[name].dtype} {each!r}" for each in rows[name].tolist()]
            for name in rows
        }
    )


def fit(table: pd.DataFrame) -> dict[str, Any]:
    return {}


INFERENCE = Pipeline([node(shown, ["rows", "state"], "predictions")])
TRAINING = Pipeline([node(fit, "table", "state")])
TEXTS = dict.fromkeys(("texts", "texts with gaps", "string", "objects", "objects with NaN"), "str")
READ: dict[str, Any] = {"keep_default_na": False, "na_values": [""]}


@pytest.fixture(scope="module", autouse=True)
def registry(mlops: Rooms) -> Iterator[None]:
    pipelines = {"inference": INFERENCE, "training": TRAINING}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlops("project"), "registered_pipelines", lambda *_: pipelines)
        patch.setattr(
            mlops("model.packaging"), "_distribution", lambda: SimpleNamespace(requires=[])
        )
        yield


def as_csv(mlops: Rooms) -> str:
    """The rows in a file, as their texts."""
    columns = {
        name: [mlops("model.predictions").form(value) for value in series]
        for name, series in TABLE.items()
    }
    return str(pd.DataFrame(columns, dtype=object).to_csv(index=False))


def catalog_of(
    folder: Path, rows: str, validator: str | None = None, **load_args: Any
) -> DataCatalog:
    (folder / "rows.csv").write_text(rows, encoding="utf-8")
    files = {
        "state": ("pickle.PickleDataset", "state.pkl"),
        "rows": ("pandas.CSVDataset", "rows.csv"),
    }
    entries: dict[str, dict[str, Any]] = {
        name: {"type": kind, "filepath": str(folder / file)} for name, (kind, file) in files.items()
    }
    entries["rows"] |= {"load_args": load_args} | ({"validator": validator} if validator else {})
    catalog = DataCatalog.from_config(entries)
    catalog["state"].save({})
    return catalog


def package(mlops: Rooms, folder: Path, catalog: DataCatalog, *tables: pd.DataFrame) -> Path:
    options = mlops("config").ModelOptions(name="m", pipeline="inference", input="rows")
    known = map(mlops("model.inferred_schema").of_table, tables)
    mlops("model.packaging").package(options, catalog, folder / "model", (), known)
    return folder / "model"


@pytest.fixture(scope="module")
def packaged(mlops: Rooms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packaged")
    catalog = catalog_of(folder, as_csv(mlops), **READ, dtype=TEXTS)
    return package(mlops, folder, catalog, TABLE)


@pytest.fixture(scope="module")
def served(mlops: Rooms, packaged: Path) -> Asked:
    model = mlops("serving.model").Model.load(packaged, "m", "7", 3)
    routes: dict[str, Any] = {}
    for protocol in ("mlflow_protocol", "v2_protocol", "openapi"):
        routes |= mlops(f"serving.{protocol}").routes(model)
    return Asked(mlops("serving.app").App(routes, {}, None, 100_000, None))


def tensor(name: str, values: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": [3], "datatype": "BYTES", "data": values}


BODIES = {
    "dataframe_records": {"dataframe_records": ROWS},
    "dataframe_split": {
        "dataframe_split": {"columns": list(JSON), "data": [list(row.values()) for row in ROWS]}
    },
    "instances": {"instances": ROWS},
    "rows without names": {"instances": [list(row.values()) for row in ROWS]},
    "inputs": {"inputs": JSON},
}
EXPECTED = shown(TABLE, {}).to_dict("records")


def other(found: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    """What the model has got in another form than training had it."""
    assert [list(row) for row in found] == [list(row) for row in EXPECTED]
    pairs = [(row, known) for row, known in zip(found, EXPECTED, strict=True)]
    return [
        (name, row[name], known[name])
        for row, known in pairs
        for name in known
        if row[name] != known[name]
    ]


@pytest.mark.parametrize("form", BODIES)
def test_each_form_of_json_reaches_the_model_as_training_had_it(served: Asked, form: str) -> None:
    answer = served.ask("/invocations", BODIES[form])
    assert answer.status == 200, answer.message
    assert not other(answer.body["predictions"])


def test_so_does_csv(mlops: Rooms, served: Asked) -> None:
    answer = served.ask("/invocations", as_csv(mlops).encode(), "text/csv")
    assert answer.status == 200, answer.message
    assert not other(answer.body["predictions"])


def test_so_do_tensors(served: Asked) -> None:
    inputs = [tensor(name, values) for name, values in JSON.items()]
    answer = served.ask("/v2/models/m/infer", {"inputs": inputs})
    assert answer.status == 200, answer.message
    found = {output["name"]: output["data"] for output in answer.body["outputs"]}
    assert found == {name: [row[name] for row in EXPECTED] for name in found}
    assert found.keys() == JSON.keys()


def use(mlops: Rooms, folder: Path, catalog: DataCatalog) -> None:
    """Let a scoring run use a version."""
    version = SimpleNamespace(name="m", version="7", run_id="r", aliases=[])
    inference = mlops("project").registered_pipelines()["inference"]
    start = mlops("tracking").RunStart({}, ["inference"], inference, catalog)
    mlops("model.batch").use_version(options_of(mlops), version, folder, start)


def options_of(mlops: Rooms) -> Any:
    about = {"name": "m", "pipeline": "inference", "input": "rows", "traced": False}
    return mlops("config").ModelOptions(**about)


def test_so_does_a_batch(mlops: Rooms, packaged: Path, tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, as_csv(mlops), **READ, dtype=TEXTS)
    catalog["predictions"] = MemoryDataset()
    use(mlops, packaged, catalog)
    catalog["predictions"].save(shown(catalog.load("rows"), catalog.load("state")))
    assert not other(catalog.load("predictions").to_dict("records"))


def test_so_do_tables_in_memory(packaged: Path) -> None:
    model = mlflow.pyfunc.load_model(str(packaged)).unwrap_python_model()
    assert not other(model.predict(None, TABLE).to_dict("records"))
    shuffled = TABLE.iloc[:, ::-1].assign(more=1)
    assert not other(model.predict(None, shuffled)[list(JSON)].to_dict("records"))


def test_so_does_what_mlflow_lets_through(mlops: Rooms, packaged: Path) -> None:
    model = mlflow.pyfunc.load_model(str(packaged))
    rows = mlops("model.example").for_mlflow(mlops("model.inferred_schema").of_table(TABLE), TABLE)
    assert model.metadata.get_input_schema().input_names() == list(JSON)
    rows["uint64"] = [1.0, 2.0, 2.0**63]
    assert not other(model.predict(rows).to_dict("records"))


IN_MLFLOW = {
    "int": "long",
    "int16": "long",
    "Int64": "long",
    "Int64 with gaps": "double",
    "arrow": "double",
    "float32": "double",
    "bool with gaps": "boolean",
    "category": "string",
    "category of numbers": "double",
    "zone": "datetime",
    "date": "datetime",
    "duration": "string",
    "decimal": "double",
    "bytes": "binary",
}


def test_the_signature_has_what_mlflow_knows_of_each(schema: Any) -> None:
    signature = schema.signature()
    assert signature.input_names() == list(JSON)
    types = dict(zip(signature.input_names(), map(repr, signature.input_types()), strict=True))
    assert {name: types[name] for name in IN_MLFLOW} == IN_MLFLOW


# --- what is refused, and how ---

REFUSED: list[tuple[str, list[Any], str]] = [
    ("float", [1, "2", True], "float must be a number (data row 2: '2', data row 3: True)."),
    ("int", ["x"], "int must be a number (data row 1: 'x')."),
    ("int", [2**64], "int is too large a number (data row 1: 18446744073709551616)."),
    ("Int64", [2**64], "Int64 is too large a number (data row 1: 18446744073709551616)."),
    ("float", [10**400], "float is too large a number (data row 1: 1000"),
    ("bool", [1], "bool must be true or false (data row 1: 1)."),
    ("bool", ["true"], "bool must be true or false (data row 1: 'true')."),
    ("boolean", [0], "boolean must be true or false (data row 1: 0)."),
    ("texts", [7], "texts must be a text (data row 1: 7)."),
    ("objects", [["a"]], "objects must be a text (data row 1: ['a'])."),
    ("category", ["d"], "category must be one of a, b, c (data row 1: 'd')."),
    ("category of numbers", [3], "category of numbers must be one of 1, 2 (data row 1: 3)."),
    ("time", ["now"], "time must be a time, as 2026-01-31T12:00:00 (data row 1: 'now')."),
    ("time", ["2026-02-30"], "time must be a time, as 2026-01-31T12:00:00 (data row 1: '2026-02-"),
    ("time", ["31.1.2026"], "time must be a time"),
    ("time", [20260131], "time must be a time"),
    ("time to the ns", ["2026-01-31", "9999-12-31"], "time to the ns must be a time, as 2026-01-31T"
     "12:00:00 (data row 2: '9999-12-31')."),
    ("zone", ["2026-01-31T25:00:00Z"], "zone must be a time"),
    ("duration", ["5"], "duration must be a duration, as P1DT2H or in seconds (data row 1: '5')."),
    ("duration", ["soon"], "duration must be a duration"),
    ("duration", [True], "duration must be a duration"),
    ("duration", [1e300], "duration must be a duration"),
    ("date", ["2026-01-31T12:00:00"], "date must be a date, as 2026-01-31 (data row 1: '2026-01"),
    ("decimal", ["one"], "decimal must be a number (data row 1: 'one')."),
    ("bytes", ["Y"], "bytes must be bytes in base64 (data row 1: 'Y')."),
    ("bytes", [1], "bytes must be bytes in base64 (data row 1: 1)."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "sentence"), REFUSED, ids=range(len(REFUSED)))
def test_what_no_value_can_be_is_refused_by_column_and_row(
    mlops: Rooms, schema: Any, name: str, given: list[Any], sentence: str
) -> None:
    rooms = mlops("model.schema")
    one = rooms.Schema([schema.by_name[name]])
    with pytest.raises(DataValidationError) as refused:
        one.table({name: given})
    assert rooms.in_words(refused.value).startswith(f"The data is refused: {sentence}")
    assert refused.value.failures[0].column == name


def test_all_wrong_columns_are_named_at_once(served: Asked) -> None:
    row = ROWS[0] | {"int": "x", "category": "d"}
    answer = served.ask("/invocations", {"dataframe_records": [row]})
    assert answer.status == 400
    assert answer.message == (
        "The data is refused: int must be a number (data row 1: 'x'); "
        "category must be one of a, b, c (data row 1: 'd')."
    )


WIDER: list[tuple[str, list[Any], str]] = [
    ("int", [1, 2.5], "float64"),
    ("int", [1, None], "float64"),
    ("int16", [1, 2**40], "int64"),
    ("Int64", [1, 2.5], "Float64"),
    ("Int64", [2**53 + 1, None], "Int64"),
    ("bool", [True, None], "object"),
    ("time", ["9999-12-31"], "datetime64[us]"),
    ("time", ["2026-01-31T12:00:00.123456789"], "datetime64[ns]"),
]


@pytest.mark.parametrize(("name", "given", "dtype"), WIDER, ids=range(len(WIDER)))
def test_what_pandas_would_read_from_a_file_is_read_from_json_too(
    mlops: Rooms, schema: Any, name: str, given: list[Any], dtype: str
) -> None:
    found = mlops("model.schema").Schema([schema.by_name[name]]).table({name: given})[name]
    assert found.dtype == dtype
    assert [None if pd.isna(value) else value for value in found] == [
        pd.Timestamp(value) if name == "time" else value for value in given
    ]


# --- where the types come from ---


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("gaps after the first rows", "x\n" + "1\n" * 9 + '""\n'),
        ("halves in training, whole numbers here", "x\n1\n2\n"),
        ("nothing in the first rows", 'x\n""\n""\n""\n""\n""\n'),
    ],
)
def test_the_rows_to_score_do_not_decide(mlops: Rooms, name: str, rows: str) -> None:
    training = mlops("model.inferred_schema").of_table(pd.DataFrame({"y": [1], "x": [0.5]}))
    found = mlops("model.inferred_schema").model_schema(
        pd.read_csv(io.StringIO(rows)), None, [training]
    )
    assert [(each.name, each.type, each.dtype) for each in found.columns] == [
        ("x", "double", "float64")
    ]
    for values in ([1], [0.5], [None]):
        assert found.table({"x": values})["x"].dtype == "float64"


def test_a_table_that_lacks_a_column_is_not_the_one(mlops: Rooms) -> None:
    read = mlops("model.inferred_schema")
    tables = [pd.DataFrame({"x": ["a"]}), pd.DataFrame({"x": [0.5], "z": [True]})]
    rows = pd.DataFrame({"x": [1], "z": [True]})
    found = read.model_schema(rows, None, map(read.of_table, tables))
    assert [each.dtype for each in found.columns] == ["float64", "bool"]
    assert [each.dtype for each in read.model_schema(rows).columns] == ["int64", "bool"]


def test_a_column_that_training_lacks_has_the_type_of_the_rows(mlops: Rooms) -> None:
    read = mlops("model.inferred_schema")
    tables = [pd.DataFrame({"z": ["a"]}), pd.DataFrame({"x": [0.5], "y": ["a"]})]
    rows = pd.DataFrame({"request": ["r"], "x": [1], "y": ["b"]})
    found = read.model_schema(rows, None, map(read.of_table, tables))
    assert [each.type for each in found.columns] == ["string", "double", "string"]


class Declared(pa.DataFrameModel):
    number: float = pa.Field(ge=0, lt=10, description="How much.", metadata={"unit": "kg"})
    whole: int = pa.Field(isin=[1, 2])
    plan: str = pa.Field(str_length={"min_value": 1}, nullable=True)
    customer: str = pa.Field(metadata={"id": True}, unique=True)
    kind: Series[Category]
    extra: float | None = pa.Field(default=None)
    a_1: float = pa.Field(alias="a_.*", regex=True)


def test_the_pandera_schema_decides_before_any_table(mlops: Rooms) -> None:
    read = mlops("model.inferred_schema")
    table = pd.DataFrame(
        {
            "number": [1, 2],
            "whole": of([1, 2], "int32"),
            "plan": of(["x", "y"], object),
            "customer": ["a", "b"],
            "kind": of(["k", "l"], "category"),
            "a_1": [0.5, 1.0],
            "a_2": [0.5, 1.0],
            "beside": [True, False],
        }
    )
    found = {
        each.name: each
        for each in read.of_pandera(Declared.to_schema(), read.of_table(table)).columns
    }
    assert [*found] == [*table.columns, "extra"]
    assert [each.dtype for each in found.values()] == [
        *("float64", "int32", "object", "str" if pd.__version__ >= "3" else "object", "category"),
        *("float64", "float64", "bool", "float64"),
    ]
    assert found["number"].about == {
        "description": "How much.",
        "minimum": 0,
        "exclusiveMaximum": 10,
        "x-unit": "kg",
    }
    assert found["whole"].about == {"type": "integer", "enum": [1, 2]}
    assert (found["plan"].nullable, found["plan"].about) == (True, {"minLength": 1})
    assert [name for name, each in found.items() if each.is_id] == ["customer"]
    assert found["kind"].categories == ("k", "l")


UNKNOWN = {
    "lists": of([[1], [2]]),
    "mixed": of(["a", 1], object),
    "complex": of([1j]),
    "period": of(pd.period_range("2026", periods=1, freq="M")),
    "interval": pd.Series(pd.interval_range(0, 1)),
    "categories of times": times("2026-01-31").astype("category"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_type_that_no_request_can_carry_is_refused_by_name(mlops: Rooms, name: str) -> None:
    with pytest.raises(mlops("errors").TrackingError, match=f"The column '{name}' of the model's"):
        mlops("model.inferred_schema").of_table(pd.DataFrame({name: UNKNOWN[name]}))


@pytest.mark.parametrize("names", [[("a", "b")], [1.5], ["x", "x"], ["1", 1]], ids=str)
def test_a_name_that_no_request_can_give_is_refused(mlops: Rooms, names: list[Any]) -> None:
    table = pd.DataFrame([[0.5] * len(names)])
    table.columns = pd.Index(names, dtype=object, tupleize_cols=False)
    with pytest.raises(mlops("errors").TrackingError, match="of the model's input"):
        mlops("model.inferred_schema").of_table(table)


def clean(rows: pd.DataFrame) -> pd.DataFrame:
    return rows


def test_the_table_that_the_same_function_reads_is_asked_first(mlops: Rooms) -> None:
    inference = Pipeline(
        [node(clean, "rows", "tidy"), node(shown, ["tidy", "state"], "predictions")]
    )
    training = Pipeline(
        [
            node(lambda raw: raw, "raw", "joined", name="join"),
            node(clean, "joined", "train", name="clean"),
            node(fit, "train", "state"),
        ]
    )
    tables = mlops("model.training_tables").TrainingTables()
    tables.expect(training, inference, "rows")
    for name, value in {"train": 3.5, "raw": "a", "joined": 1, "other": True}.items():
        tables.look({name: pd.DataFrame({"x": [value]})})
    tables.look({"joined": pd.DataFrame({"x": [None]})})
    found = [each.columns[0].type for each in tables.schemas(DataCatalog())]
    assert found == ["long", "string", "double"]


def test_a_run_that_trains_and_scores_does_not_ask_the_rows_to_score(mlops: Rooms) -> None:
    tables = mlops("model.training_tables").TrainingTables()
    tables.expect(TRAINING + INFERENCE, INFERENCE, "rows")
    for name, value in {"rows": "a", "table": 0.5}.items():
        tables.look({name: pd.DataFrame({"x": [value]})})
    assert [each.columns[0].type for each in tables.schemas(DataCatalog())] == ["double"]


def test_a_table_that_another_process_has_read_is_read_again(mlops: Rooms) -> None:
    tables = mlops("model.training_tables").TrainingTables()
    tables.expect(TRAINING, INFERENCE, "rows")
    catalog = DataCatalog({"table": MemoryDataset(pd.DataFrame({"x": [0.5]}))})
    assert [each.columns[0].dtype for each in tables.schemas(catalog)] == ["float64"]


# --- ids ---


def with_id(mlops: Rooms) -> Any:
    column = mlops("model.columns").Column
    return mlops("model.schema").Schema(
        [column("who", "string", "object", is_id=True), column("x", "double", "float64")]
    )


PREDICTIONS = {
    "a table": (pd.DataFrame({"y": [1, 2]}), ["who", "y"]),
    "a table that has it": (pd.DataFrame({"y": [1, 2], "who": ["a", "b"]}), ["y", "who"]),
    "a series": (pd.Series([1, 2], name="y"), ["who", "y"]),
    "a series without a name": (pd.Series([1, 2]), ["who", "prediction"]),
    "an array": (np.array([1, 2]), ["who", "prediction"]),
    "an array of columns": (np.array([[1, 3], [2, 4]]), ["who", "prediction_0", "prediction_1"]),
    "a list": ([1, 2], ["who", "prediction"]),
}


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_an_id_passes_to_the_predictions(mlops: Rooms, kind: str) -> None:
    prediction, names = PREDICTIONS[kind]
    table = pd.DataFrame({"who": ["a", "b"], "x": [1.0, 2.0]}, index=[7, 8])
    found = with_id(mlops).add_ids(table, prediction)
    assert list(found.columns) == names
    assert found["who"].tolist() == ["a", "b"]
    assert found.drop(columns="who").iloc[:, 0].tolist() == [1, 2]


@pytest.mark.parametrize("prediction", [pd.DataFrame({"y": [1]}), {"y": [1, 2]}, 7], ids=repr)
def test_what_is_not_a_row_each_gets_no_id(mlops: Rooms, prediction: Any) -> None:
    table = pd.DataFrame({"who": ["a", "b"], "x": [1.0, 2.0]})
    assert with_id(mlops).add_ids(table, prediction) is prediction


class Customers(pa.DataFrameModel):
    who: str = pa.Field(metadata={"id": True})
    x: float = pa.Field(ge=0)

    class Config:
        coerce = True


def half(rows: pd.DataFrame, state: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame({"y": rows["x"] / 2}, index=rows.index)


def test_an_id_of_the_file_or_request_is_in_the_predictions(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the schema of the catalog's validator; the pipeline returns none."""
    pipelines = {"inference": Pipeline([node(half, ["rows", "state"], "predictions")])}
    monkeypatch.setattr(mlops("project"), "registered_pipelines", lambda *_: pipelines)
    rows = "who,x\n007,1\n008,2\n"
    catalog = catalog_of(tmp_path, rows, f"{__name__}.Customers", dtype={"who": "str"})
    folder = package(mlops, tmp_path, catalog)
    expected = [{"who": "007", "y": 0.5}, {"who": "008", "y": 1.0}]
    model = mlops("serving.model").Model.load(folder, "m", "7", 3)
    asked = Asked(
        mlops("serving.app").App(
            mlops("serving.mlflow_protocol").routes(model), {}, None, 999, None
        )
    )
    answer = asked.ask("/invocations", rows.encode(), "text/csv")
    assert answer.body["predictions"] == expected
    for use_model in (
        partial(use, mlops, folder),
        partial(mlops("model.batch").use_working_copy, options_of(mlops)),
    ):
        batch = catalog_of(tmp_path, rows, f"{__name__}.Customers", dtype={"who": "str"})
        batch["predictions"] = MemoryDataset()
        use_model(batch)
        batch["predictions"].save(half(batch.load("rows"), {}))
        assert batch.load("predictions").to_dict("records") == expected


# --- Polars ---


def polars_columns() -> dict[str, tuple[Any, list[Any]]]:
    pl = pytest.importorskip("polars")
    moment = pd.Timestamp("2026-07-01T12:00").to_pydatetime()
    return {
        "float": (pl.Series([1.5, None]), [1.5, None]),
        "int": (pl.Series([1, None]), [1.0, None]),
        "Int8": (pl.Series([1, 2], dtype=pl.Int8), [1, 2]),
        "bool": (pl.Series([True, None]), [True, None]),
        "text": (pl.Series(["007", None]), ["007", None]),
        "category": (pl.Series(["b", None], dtype=pl.Categorical), ["b", None]),
        "enum": (pl.Series(["b", None], dtype=pl.Enum(["b", "a"])), ["b", None]),
        "time": (pl.Series([moment, None]), ["2026-07-01T12:00:00", None]),
        "ns": (pl.Series([moment, None], dtype=pl.Datetime("ns")), ["2026-07-01T12:00:00", None]),
        "zone": (
            pl.Series([moment, None]).dt.replace_time_zone("Europe/Berlin"),
            ["2026-07-01T10:00:00Z", None],
        ),
        "date": (pl.Series([date(2026, 1, 31), None]), ["2026-01-31", None]),
        "duration": (pl.Series([timedelta(hours=1), None]), ["PT1H", None]),
        "bytes": (pl.Series([b"a", None]), ["YQ==", None]),
        "decimal": (pl.Series([Decimal("1.10"), None]), ["1.10", None]),
    }


def test_a_table_of_polars_is_one_of_polars_through_every_door(
    mlops: Rooms, tmp_path: Path
) -> None:
    columns = polars_columns()
    pl = pytest.importorskip("polars")
    assert_frame_equal = pytest.importorskip("polars.testing").assert_frame_equal

    table = pl.DataFrame({name: series for name, (series, _) in columns.items()})
    mlops("model.inferred_schema").of_table(table).write(tmp_path / "schema.json")
    schema = mlops("model.schema").Schema.read(tmp_path / "schema.json")
    given = {name: values for name, (_, values) in columns.items()}
    assert_frame_equal(schema.table(given), table)
    assert_frame_equal(schema.conform(table), table)
    assert_frame_equal(schema.conform(pd.DataFrame(given, dtype=object)), table)
    assert len(schema.signature().inputs) == len(columns)
    with pytest.raises(DataValidationError):
        schema.table(given | {"int": [2**70, 1]})


# --- described ---


def test_the_model_is_described_so_that_a_client_can_be_made(served: Asked) -> None:
    document = json.loads(served.ask("/openapi.json").content)
    row = document["components"]["schemas"]["Row"]
    assert row["required"] == list(JSON)
    assert row["properties"]["category"] == {"enum": ["a", "b", "c"]}
    assert row["properties"]["texts with gaps"] == {"type": ["string", "null"]}
    assert row["properties"]["time"] == {"type": ["string", "null"], "format": "date-time"}
    about = json.loads(served.ask("/").content)
    assert (about["name"], about["version"], about["max_rows"]) == ("m", "7", 3)
    assert [each["name"] for each in about["columns"]] == list(JSON)
    body = document["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"]
    answer = served.ask("/invocations", body["example"])
    assert answer.status == 200, answer.message


SPLIT = {"columns": list(JSON), "data": [list(row.values()) for row in ROWS]}
NO_BODIES: dict[str, Any] = {
    "nothing": {},
    "two at once": {"instances": ROWS, "inputs": ROWS},
    "a text among numbers": {"instances": [{**ROWS[0], "float": "x"}]},
    "no column": {"instances": [{}]},
    "an unknown column": {"instances": [{**ROWS[0], "more": 1}]},
    "an unknown key": {"dataframe_split": {**SPLIT, "more": 1}},
}
DESCRIBED = {
    **{name: (BODIES[name], 200) for name in ("dataframe_records", "dataframe_split", "instances")},
    "rows of columns": ({"dataframe_split": {"data": SPLIT["data"]}}, 200),
    "further keys": ({"instances": ROWS, "more": 1}, 200),
    "too many rows": ({"instances": [ROWS[0]] * 4}, 413),
    **{name: (body, 400) for name, body in NO_BODIES.items()},
}


@pytest.mark.parametrize("name", DESCRIBED)
def test_the_description_is_right_about_a_body_and_its_answer(served: Asked, name: str) -> None:
    validator = pytest.importorskip("jsonschema").Draft202012Validator
    document = json.loads(served.ask("/openapi.json").content)
    operation = document["paths"]["/invocations"]["post"]

    def fits(value: Any, media: Any) -> bool:
        return bool(validator({**media["schema"], "components": components}).is_valid(value))

    components = document["components"]
    body, status = DESCRIBED[name]
    answer = served.ask("/invocations", body)
    assert answer.status == status
    assert fits(body, operation["requestBody"]["content"]["application/json"]) is (status == 200)
    assert fits(answer.body, operation["responses"][str(status)]["content"]["application/json"])
