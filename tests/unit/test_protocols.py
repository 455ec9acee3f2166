"""Both protocols in this process: every shape, type and refusal of a request, and its answer."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from kedro.validation.exceptions import CheckFailure, DataValidationError
from mlflow.exceptions import MlflowException

from tests.support.asgi import Asked
from tests.support.rooms import Rooms
from tests.support.serving import Answer

CSV = "text/csv"
NAMES = ["age", "sex", "bmi"]
TYPES = {
    "boolean": "yes",
    "integer": "count",
    "long": "total",
    "float": "share",
    "double": "size",
    "string": "name",
    "binary": "blob",
    "datetime": "time",
}
INFER = "/v2/models/study/infer"


def served(
    mlops: Rooms, columns: dict[str, str], predict: Any, token: str | None = None, **more: Any
) -> Asked:
    """Serve a model of these columns, with their types, by both protocols."""
    optional = more.get("optional", ())
    signature = [
        {"name": name, "type": kind, "required": name not in optional}
        for name, kind in columns.items()
    ]
    schema = mlops("model.schema").Schema.of_signature(json.dumps(signature))
    outputs = [{"name": "sum", "type": "double"}]
    model = mlops("serving.model").Model("study", "7", 3, schema, predict, outputs)
    model = replace(model, load_args=more.get("load_args", {}))
    routes = mlops("serving.mlflow_protocol").routes(model)
    routes |= mlops("serving.v2_protocol").routes(model)
    routes |= mlops("serving.openapi").routes(model)
    about = {"x-model-version": "7"}
    return Asked(mlops("serving.app").App(routes, about, token, 100_000, None))


@pytest.fixture(scope="module")
def sums(mlops: Rooms) -> Asked:
    """A model of three numbers, which adds them up."""
    return served(mlops, dict.fromkeys(NAMES, "double"), lambda rows: rows.sum(axis=1).rename("s"))


@pytest.fixture(scope="module")
def typed(mlops: Rooms) -> Asked:
    """A model of all types, which returns its rows."""
    columns = {name: kind for kind, name in TYPES.items()}
    return served(mlops, columns, lambda rows: rows, optional=set(columns))


ROWS: list[dict[str, float]] = [{"age": 1, "sex": 2, "bmi": 3}, {"age": 4, "sex": 5.5, "bmi": 6}]
SHAPES: list[Any] = [
    {"dataframe_records": ROWS},
    {"dataframe_records": [dict(reversed(row.items())) for row in ROWS]},
    {"dataframe_split": {"columns": NAMES, "data": [[1, 2, 3], [4, 5.5, 6]]}},
    {"dataframe_split": {"columns": NAMES[::-1], "data": [[3, 2, 1], [6, 5.5, 4]], "index": [0]}},
    {"dataframe_split": {"data": [[1, 2, 3], [4, 5.5, 6]]}},
    {"instances": ROWS, "params": {}},
    {"instances": [[1, 2, 3], [4, 5.5, 6]]},
    {"inputs": {"age": [1, 4], "sex": [2, 5.5], "bmi": [3, 6]}},
    {"inputs": ROWS},
    {"inputs": [[1, 2, 3], [4, 5.5, 6]]},
]


@pytest.mark.parametrize("body", SHAPES, ids=range(len(SHAPES)))
def test_every_shape_of_json_is_the_same_rows(sums: Asked, body: Any) -> None:
    answer = sums.ask("/invocations", body)
    assert answer.status == 200, answer.content
    assert answer.body == {"predictions": [{"s": 6.0}, {"s": 15.5}], "model_version": "7"}
    assert answer.headers["x-model-version"] == "7"
    assert answer.headers["content-type"] == "application/json"


def test_one_row_may_be_values_by_name(sums: Asked) -> None:
    answer = sums.ask("/invocations", {"inputs": ROWS[0]})
    assert answer.body["predictions"] == [{"s": 6.0}]


@pytest.mark.parametrize("kind", [CSV, "Text/CSV; charset=UTF-8", 'text/csv; charset="us-ascii"'])
def test_rows_may_be_csv(sums: Asked, kind: str) -> None:
    answer = sums.ask("/invocations", b"sex,age,bmi\n2,1,3\n5.5,4,6\n", kind)
    assert answer.body["predictions"] == [{"s": 6.0}, {"s": 15.5}]


MALFORMED = [
    (b"", "The body is not JSON"),
    (b"{", "The body is not JSON"),
    (b"\xff\xfe", "The body is not JSON"),
    (b"[" * 50_000, "The body is nested too deeply."),
    (b'{"a":' * 20_000, "The body is nested too deeply."),
    (b"1" * 5000, "The body is not JSON"),
    (b"[]", "The body must be a JSON object, not a list."),
    (b"null", "The body must be a JSON object, not null."),
    (b"true", "The body must be a JSON object, not true or false."),
    (b'"a"', "The body must be a JSON object, not a text."),
    (b"{}", "it holds none."),
    (b'{"rows": []}', "dataframe_split, instances, inputs; it holds rows."),
    (b'{"instances": [], "inputs": []}', "it holds instances, inputs."),
    (b'{"dataframe_records": []}', "dataframe_records: there are no rows"),
    (b'{"dataframe_records": {}}', "must be a list of rows, not an object."),
    (b'{"dataframe_records": [{}, []]}', "dataframe_records: row 2 must be an object, not a list."),
    (b'{"dataframe_records": [{}]}', "The data is refused: missing columns: age, sex, bmi."),
    (b'{"dataframe_split": []}', "must be an object with columns and data, not a list."),
    (b'{"dataframe_split": {"data": [[1]]}}', "row 1 has 1 values for 3 columns (age, sex, bmi)."),
    (b'{"dataframe_split": {"data": [[1, 2, 3], 4]}}', "row 2 must be a list, not a number."),
    (b'{"dataframe_split": {"columns": [1], "data": []}}', "columns must be a list of names."),
    (b'{"dataframe_split": {"columns": "age", "data": []}}', "columns must be a list of names."),
    (b'{"dataframe_split": {"columns": ["a", "a"], "data": []}}', "columns: more than once: a."),
    (b'{"dataframe_split": {"columns": ["age"], "data": 7}}', ".data must be a list of rows, not"),
    (b'{"dataframe_split": {"data": []}}', "dataframe_split: there are no rows"),
    (b'{"dataframe_split": {"rows": []}}', "unknown keys rows; it has columns, index and data."),
    (b'{"instances": 7}', "instances must be a list of rows, not a number."),
    (b'{"instances": [1, 2]}', "instances: row 1 must be an object, not a number."),
    (b'{"instances": [[1, 2], 3]}', "instances: row 1 has 2 values for 3 columns"),
    (b'{"inputs": {"age": [1, 2], "sex": [1]}}', "the same number of rows (age 2, sex 1)."),
    (b'{"inputs": {"age": [1, 2], "sex": 1}}', "inputs: sex must be a list, not a number."),
    (b'{"inputs": {}}', "inputs: there are no rows"),
    (b'{"params": {"a": 1}, "inputs": []}', "params: the model takes none."),
]


@pytest.mark.parametrize(("body", "text"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_body_is_refused_in_a_sentence(sums: Asked, body: bytes, text: str) -> None:
    answer = sums.ask("/invocations", body)
    assert (answer.status, answer.body["error_code"]) == (400, "BAD_REQUEST")
    assert text in answer.message
    assert len(answer.content) < 1000
    assert "x-model-version" not in answer.headers


REFUSED_CSV = [
    (b"", "The body is not CSV: No columns to parse from file."),
    (b"\xff\xfe\x00", "The body is not CSV: 'utf-8' codec can't decode byte"),
    (b"age,sex,bmi\n", "The body: there are no rows; at least one is needed."),
    (b"age,sex,bmi\n1,2,3,4\n", "The body is not CSV: rows have more fields than the header."),
    (b"age,sex,bmi\n1,2,3\n1,2,3,4\n", "The body is not CSV: Error tokenizing data."),
    (b"age,sex,bmi,age\n1,2,3,4\n", "The data is refused: unexpected columns: 'age.1'."),
    (b"age,sex\n1,2\n", "The data is refused: missing columns: bmi."),
    (b"age,sex,BMI\n1,2,3\n", "missing columns: bmi; unexpected columns: 'BMI' (is it bmi?)."),
    (b"age,sex,bmi\n1,2,3\n1,2,fat\n", "bmi must be a number (data row 2: 'fat')."),
    (b"\x00" * 1000, "The body: there are no rows; at least one is needed."),
]


@pytest.mark.parametrize(("body", "sentence"), REFUSED_CSV, ids=range(len(REFUSED_CSV)))
def test_csv_that_is_none_is_refused_and_why(sums: Asked, body: bytes, sentence: str) -> None:
    answer = sums.ask("/invocations", body, CSV)
    assert (answer.status, sentence in answer.message) == (400, True), answer.message


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"age,sex,bmi\n" + b"1,2,3\n" * 4, CSV),
        ({"instances": [[1, 2, 3]] * 4}, "application/json"),
        ({"inputs": {name: [1] * 4 for name in NAMES}}, "application/json"),
    ],
    ids=["csv", "rows", "columns"],
)
def test_more_rows_than_the_bound_are_refused(sums: Asked, body: Any, kind: str) -> None:
    answer = sums.ask("/invocations", body, kind)
    assert (answer.status, answer.body["error_code"]) == (413, "REQUEST_ENTITY_TOO_LARGE")
    assert answer.message.endswith(": more than 3 rows; send them in parts.")


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (None, "Content-Type must be application/json or text/csv, not missing."),
        ("", "Content-Type must be application/json or text/csv, not missing."),
        ("text/plain", "not 'text/plain'."),
        ("application/json; charset=latin-1", "Content-Type: charset must be utf-8, not 'latin-1"),
    ],
)
def test_another_content_type_is_refused(sums: Asked, kind: str | None, named: str) -> None:
    answer = sums.ask("/invocations", b"{}", kind)
    assert (answer.status, named in answer.message) == (415, True), answer.message


def test_a_compressed_body_is_refused(sums: Asked) -> None:
    answer = sums.ask("/invocations", b"{}", Content_Encoding="gzip")
    assert (answer.status, "Content-Encoding" in answer.message) == (415, True)
    assert sums.ask("/invocations", {"inputs": ROWS[0]}, Content_Encoding="Identity").status == 200


def test_a_wrong_method_is_told_the_right_one(sums: Asked) -> None:
    answer = sums.ask("/invocations", method="GET")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    answer = sums.ask("/ping", b"{}")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert sums.ask("/ping", method="HEAD").status == 200


@pytest.mark.parametrize("path", ["/nothing", "/invocations/", "/v2/models/other/infer"])
def test_there_is_nothing_at_another_path(sums: Asked, path: str) -> None:
    answer = sums.ask(path)
    assert (answer.status, path in answer.message) == (404, True)


OPEN = ["/ping", "/health", "/v2/health/live", "/v2/health/ready"]
OPEN += ["/v2/models/study/ready", "/v2/models/study/versions/7/ready"]
CLOSED = [
    "/",
    "/openapi.json",
    "/version",
    "/v2",
    "/v2/models/study",
    "/invocations",
    INFER,
    "/nothing",
]


@pytest.mark.parametrize("path", OPEN + CLOSED)
def test_without_the_token_only_health_is_told(mlops: Rooms, path: str) -> None:
    asked = served(mlops, {"x": "double"}, lambda rows: rows, token="CANARY-token")
    for shown in ("", "Bearer", "Bearer wrong", "Basic CANARY-token", "Bearer CANARY-tokens"):
        answer = asked.ask(path, Authorization=shown)
        assert answer.status == (200 if path in OPEN else 401)
        if path in CLOSED:
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.message == "Unauthorized."
    for shown in ("Bearer CANARY-token", "bearer  CANARY-token "):
        assert asked.ask(path, Authorization=shown).status != 401


# --- types ---

# Column, values as JSON, and as the model gets them.
TAKEN = [
    ("yes", [True, False], [True, False]),
    ("count", [1, -2.0, 2**31 - 1, -(2**31)], [1, -2, 2**31 - 1, -(2**31)]),
    ("total", [2**63 - 1, -(2**63)], [2**63 - 1, -(2**63)]),
    ("share", [1, 0.5, None], [1.0, 0.5, np.nan]),
    ("size", [1, 0.25, None], [1.0, 0.25, np.nan]),
    ("name", ["NA", "", None], ["NA", "", None]),
    ("blob", ["YQ==", "", None], [b"a", b"", b""]),
    (
        "time",
        ["2026-01-31T12:00:00", "2026-01-31", "2026-01-31T12:00:00+02:00", None],
        [*map(pd.Timestamp, ("2026-01-31T12", "2026-01-31", "2026-01-31T10")), pd.NaT],
    ),
]


@pytest.mark.parametrize(("name", "given", "expected"), TAKEN, ids=[each[0] for each in TAKEN])
def test_values_reach_the_model_as_what_they_are(
    mlops: Rooms, name: str, given: list[Any], expected: list[Any]
) -> None:
    kinds = {named: kind for kind, named in TYPES.items()}
    signature = json.dumps([{"name": name, "type": kinds[name]}])
    frame = mlops("model.schema").Schema.of_signature(signature).table({name: given})
    found = frame[name].tolist()
    assert [type(value) for value in found] == [type(value) for value in expected]
    for value, wanted in zip(found, expected, strict=True):
        assert value == wanted or (pd.isna(value) and pd.isna(wanted))


REFUSED = [
    ("yes", [1, True, "true"], "yes must be true or false (data row 1: 1, data row 3: 'true')."),
    ("yes", [None], "yes must be true or false (data row 1: None)."),
    ("count", [1, 2**31], "count must be a whole number (data row 2: 2147483648)."),
    ("count", [-(2**31) - 1], "count must be a whole number (data row 1: -2147483649)."),
    ("count", [1, 1.5], "count must be a whole number (data row 2: 1.5)."),
    ("count", [True], "count must be a whole number (data row 1: True)."),
    ("count", [None], "count must be a whole number (data row 1: None)."),
    ("count", ["1"], "count must be a whole number (data row 1: '1')."),
    ("total", [2**63], "total must be a whole number (data row 1: 9223372036854775808)."),
    ("total", [-(2**63) - 1], "total must be a whole number (data row 1: -92233720"),
    ("share", ["1"], "share must be a number (data row 1: '1')."),
    ("size", [1, True], "size must be a number (data row 2: True)."),
    ("size", [10**400], "size is too large a number (data row 1: 1000"),
    ("name", ["a", 1], "name must be a text (data row 2: 1)."),
    ("name", [["a"]], "name must be a text (data row 1: ['a'])."),
    ("blob", ["YQ"], "blob must be bytes in base64 (data row 1: 'YQ')."),
    ("blob", ["Y!Q=="], "blob must be bytes in base64 (data row 1: 'Y!Q==')."),
    ("blob", ["ä"], "blob must be bytes in base64 (data row 1: 'ä')."),
    ("blob", [1], "blob must be bytes in base64 (data row 1: 1)."),
    ("time", ["31.1.2026"], "time must be a time, as 2026-01-31T12:00:00 (data row 1: '31.1.2026"),
    ("time", ["2026-02-30"], "time must be a time, as 2026-01-31T12:00:00 (data row 1: '2026-02-"),
    ("time", [1], "time must be a time, as 2026-01-31T12:00:00 (data row 1: 1)."),
    ("time", ["now"], "time must be a time, as 2026-01-31T12:00:00 (data row 1: 'now')."),
    ("time", ["today"], "time must be a time, as 2026-01-31T12:00:00 (data row 1: 'today')."),
    ("time", [""], "time must be a time, as 2026-01-31T12:00:00 (data row 1: '')."),
    ("time", ["2026-01-31", "9999-12-31"], "time must be a time, as 2026-01-31T12:00:00 (data row"),
]


@pytest.mark.parametrize(("name", "given", "sentence"), REFUSED, ids=range(len(REFUSED)))
def test_values_of_another_type_are_refused_by_column_and_row(
    typed: Asked, name: str, given: list[Any], sentence: str
) -> None:
    answer = typed.ask("/invocations", {"inputs": {name: given}})
    assert answer.status == 400, answer.content
    assert answer.message.startswith(f"The data is refused: {sentence}"), answer.message


def test_csv_is_read_by_the_columns_types(mlops: Rooms) -> None:
    seen: list[pd.DataFrame] = []

    def predict(rows: pd.DataFrame) -> list[int]:
        seen.append(rows)
        return [1] * len(rows)

    columns = {name: kind for kind, name in TYPES.items()}
    asked = served(mlops, columns, predict)
    text = "yes,count,total,share,size,name,blob,time\n"
    text += "True,1,2,0.5,,007,MTIz,2026-01-31\nFalse,3,4,,0.25,,,\n"
    answer = asked.ask("/invocations", text.encode(), CSV)
    assert answer.body == {"predictions": [1, 1], "model_version": "7"}
    first, second = json.loads(seen[0].drop(columns="time").to_json(orient="values"))
    assert first[:6] == [True, 1, 2, 0.5, None, "007"]
    assert second[:6] == [False, 3, 4, None, 0.25, None]
    assert seen[0]["blob"].tolist() == [b"123", b""]
    assert seen[0]["time"].tolist() == [pd.Timestamp("2026-01-31"), pd.NaT]


def test_csv_with_dates_of_the_catalog_is_refused_in_words_too(mlops: Rooms) -> None:
    asked = served(
        mlops,
        {"day": "datetime", "note": "string"},
        lambda rows: rows["day"].dt.year.tolist(),
        load_args={"parse_dates": ["day"], "dayfirst": True},
    )
    for body, expected in [
        ("day,note\n01/02/2026,knows\n", [2026]),
        ("day,note\n2026-01-31,now\n", [2026]),
        ("day,note\nnow,a\n", "day must be a time, as 2026-01-31T12:00:00 (data row 1: 'now')."),
        ('day,note\n"today",a\n', "(data row 1: 'today')."),
        ("note\na\n", "The data is refused: missing columns: day."),
        ("day;note\n2026-01-31;a\n", "unexpected columns: 'day;note'"),
    ]:
        answer = asked.ask("/invocations", body.encode(), CSV)
        if isinstance(expected, str):
            assert (answer.status, expected in answer.message) == (400, True), answer.message
        else:
            assert answer.body["predictions"] == expected, answer.body


def test_columns_that_need_not_be_there_may_be_missing(mlops: Rooms) -> None:
    asked = served(
        mlops, {"a": "double", "b": "double"}, lambda rows: list(rows.columns), optional={"b"}
    )
    assert asked.ask("/invocations", {"inputs": {"a": [1]}}).body["predictions"] == ["a"]
    assert "missing columns: a." in asked.ask("/invocations", {"inputs": {"b": [1]}}).message


def test_a_request_of_a_million_names_is_refused_in_a_line(sums: Asked) -> None:
    many = {f"column_{number:04}{'x' * 60}": [1] for number in range(900)}
    answer = sums.ask("/invocations", {"inputs": many})
    assert "and 895 more" in answer.message
    assert len(answer.message) <= 500


# --- answers ---

ANSWERS = [
    (pd.DataFrame({"a": [1, 2], "b": ["x", None]}), [{"a": 1, "b": "x"}, {"a": 2, "b": None}]),
    (pd.DataFrame([[1, 2]], columns=["a", "a"]), [{"a": 2}]),
    (pd.DataFrame({0: [True]}), [{"0": True}]),
    (pd.Series([1.5, np.nan], name="y"), [{"y": 1.5}, {"y": None}]),
    (pd.Series([np.inf, 1.0]), [{"0": None}, {"0": 1.0}]),
    (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    ([np.int64(3), np.float32(0.5)], [3, 0.5]),
    ([{"a": [1]}, "text"], [{"a": [1]}, "text"]),
    (
        {"label": np.array(["a", "b"]), "score": [0.5, np.nan]},
        {"label": ["a", "b"], "score": [0.5, None]},
    ),
    ({1: {np.int64(2): pd.NA}}, {"1": {"2": None}}),
    (
        pd.DataFrame({"x": np.array([1.5, np.inf]), "when": pd.to_datetime(["2026-01-31", None])}),
        [{"x": 1.5, "when": "2026-01-31T00:00:00"}, {"x": None, "when": None}],
    ),
    (np.array([[0.5, np.nan]]), [[0.5, None]]),
    (np.array(["2026-01-31T12:00"], dtype="datetime64[ns]"), ["2026-01-31T12:00:00"]),
    (np.float64(0.5), 0.5),
]

# A value of a prediction, and its form in both protocols.
FORMS = [
    (None, None),
    (pd.NA, None),
    (pd.NaT, None),
    (float("nan"), None),
    (float("-inf"), None),
    (np.float32("nan"), None),
    (np.bool(True), True),
    (np.int8(3), 3),
    (Decimal("1.25"), 1.25),
    (pd.Timestamp("2026-01-31T12:00"), "2026-01-31T12:00:00"),
    (pd.Timestamp("2026-01-31T12:00", tz="Europe/Berlin"), "2026-01-31T12:00:00+01:00"),
    (np.datetime64("2026-01-31"), "2026-01-31T00:00:00"),
    (datetime(2026, 1, 31, 12), "2026-01-31T12:00:00"),
    (date(2026, 1, 31), "2026-01-31"),
    (time(12, 30), "12:30:00"),
    (pd.Timedelta("26h"), "P1DT2H0M0S"),
    (timedelta(hours=26), "P1DT2H0M0S"),
    (np.timedelta64(26, "h"), "P1DT2H0M0S"),
    (pd.Interval(0, 10), "(0, 10]"),
    (pd.Period("2026-01", "M"), "2026-01"),
    (b"bytes", "Ynl0ZXM="),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
]


@pytest.mark.parametrize(("value", "form"), FORMS, ids=repr)
def test_a_value_has_one_form_in_every_protocol(mlops: Rooms, value: Any, form: Any) -> None:
    table = pd.DataFrame({"y": pd.Series([value, value], dtype=object)})
    asked = served(mlops, {"age": "double"}, lambda rows: table)
    answer = asked.ask("/invocations", {"instances": [[1]]})
    assert answer.body["predictions"] == [{"y": form}, {"y": form}]
    (output,) = asked.ask(INFER, {"inputs": [tensor()]}).body["outputs"]
    assert output["data"] == [form, form]


@pytest.mark.parametrize("kind", ["Int64", "boolean", "category", "string", "datetime64[ns, UTC]"])
def test_a_column_of_pandas_with_a_gap_has_a_null(mlops: Rooms, kind: str) -> None:
    whole = {"Int64": 1, "boolean": True, "datetime64[ns, UTC]": "2026-01-31T00:00:00+00:00"}.get(
        kind, "a"
    )
    table = pd.DataFrame({"y": pd.Series([whole, None]).astype(kind)})
    asked = served(mlops, {"age": "double"}, lambda rows: table)
    answer = asked.ask("/invocations", {"instances": [[1]]})
    assert answer.body["predictions"] == [{"y": whole}, {"y": None}]
    (output,) = asked.ask(INFER, {"inputs": [tensor()]}).body["outputs"]
    assert output["data"] == [whole, None]
    assert output["datatype"] == {"Int64": "INT64", "boolean": "BOOL"}.get(kind, "BYTES")


@pytest.mark.parametrize(("prediction", "expected"), ANSWERS, ids=range(len(ANSWERS)))
def test_a_prediction_is_json_as_mlflow_writes_it(
    mlops: Rooms, prediction: Any, expected: Any
) -> None:
    asked = served(mlops, {"x": "double"}, lambda rows: prediction)
    answer = asked.ask("/invocations", {"instances": [[1]]})
    assert answer.body["predictions"] == expected


def failing(mlops: Rooms, error: Exception) -> Answer:
    def predict(rows: pd.DataFrame) -> None:
        raise error

    return served(mlops, {"x": "double"}, predict).ask("/invocations", {"instances": [[1]]})


def verdict(*failures: CheckFailure) -> DataValidationError:
    return DataValidationError("not so", failures=list(failures))


def caused_by(error: Exception) -> MlflowException:
    raised: MlflowException = MlflowException.invalid_parameter_value("no")
    raised.__cause__ = error
    return raised


AGE = CheckFailure("age must be from 0", failure_examples=["row 1", "row 2", "row 3", "row 4"])
SEX = CheckFailure("no sex")
VERDICTS = [
    (
        verdict(AGE, SEX),
        "The data is refused: age must be from 0 (row 1, row 2, row 3 and 1 more);",
    ),
    (verdict(), "not so"),
    (caused_by(verdict(SEX)), "The data is refused: no sex."),
    (MlflowException.invalid_parameter_value("below zero"), "below zero"),
]


@pytest.mark.parametrize(("error", "sentence"), VERDICTS, ids=range(len(VERDICTS)))
def test_what_a_model_says_of_the_rows_is_told(
    mlops: Rooms, error: Exception, sentence: str
) -> None:
    answer = failing(mlops, error)
    assert (answer.status, sentence in answer.message) == (400, True), answer.message


@pytest.mark.parametrize("error", [MlflowException("inside"), ValueError("inside")], ids=repr)
def test_what_fails_in_a_model_is_not(mlops: Rooms, error: Exception) -> None:
    answer = failing(mlops, error)
    assert (answer.status, "inside" in answer.message) == (500, False)


# --- KServe's protocol ---


def tensor(**changes: Any) -> dict[str, Any]:
    whole = {"name": "age", "datatype": "FP64", "shape": [1], "data": [1]}
    return {key: value for key, value in (whole | changes).items() if value != "LESS"}


def columns_as_tensors(shape: list[int], data: Any) -> list[dict[str, Any]]:
    return [tensor(name=name, shape=shape, data=data) for name in NAMES]


TENSORS = [
    columns_as_tensors([2], [1, 2]),
    columns_as_tensors([2, 1], [1, 2]),
    columns_as_tensors([2, 1], [[1], [2]]),
    [tensor(name="all", shape=[2, 3], data=[[1, 1, 1], [2, 2, 2]])],
    [tensor(name="all", shape=[2, 3], data=[1, 1, 1, 2, 2, 2])],
]


@pytest.mark.parametrize("inputs", TENSORS, ids=range(len(TENSORS)))
@pytest.mark.parametrize("path", [INFER, "/v2/models/study/versions/7/infer"])
def test_tensors_are_columns_or_all_of_them(sums: Asked, path: str, inputs: Any) -> None:
    answer = sums.ask(path, {"inputs": inputs, "id": "42"})
    output = {"name": "s", "shape": [2], "datatype": "FP64", "data": [3.0, 6.0]}
    assert answer.body == {
        "model_name": "study",
        "model_version": "7",
        "id": "42",
        "outputs": [output],
    }


MALFORMED_TENSORS = [
    ({}, "inputs must be a list of tensors, each with name, shape, datatype and data."),
    ({"inputs": []}, "inputs must be a list of tensors"),
    ({"inputs": [7]}, "inputs[0] must be an object with a name."),
    ({"inputs": [tensor(), tensor(name=1)]}, "inputs[1] must be an object with a name."),
    ({"inputs": [tensor(datatype="LESS")]}, "inputs[0] ('age'): datatype must be one of BOOL, BYT"),
    ({"inputs": [tensor(datatype="FP128")]}, "datatype must be one of"),
    *(
        ({"inputs": [tensor(shape=shape)]}, "shape must be a list of one or a few whole numbers.")
        for shape in ("LESS", [], 1, [1.5], [True], [-1], [2**32], [1] * 9)
    ),
    ({"inputs": [tensor(data="LESS")]}, "inputs[0] ('age'): data must be a list."),
    ({"inputs": [tensor(shape=[2])]}, "inputs[0] ('age'): data holds 1 values, and shape says 2."),
    ({"inputs": [tensor(shape=[1, 2], data=[1])]}, "data holds 1 values, and shape says 2."),
    ({"inputs": [tensor(shape=[2**31, 2**31])]}, "shape says 4611686018427387904."),
    (
        {"inputs": [tensor(shape=[1, 2], data=[1, 2])]},
        "inputs: 'age' must have the shape [n] or [n, 1], not [1, 2].",
    ),
    ({"inputs": [tensor(shape=[1, 1, 1])]}, "must have the shape [n] or [n, 1], not [1, 1, 1]."),
    ({"inputs": [tensor(), tensor()]}, "inputs: 'age' is there more than once."),
    ({"inputs": [tensor(shape=[0], data=[])]}, "inputs: there are no rows"),
    ({"inputs": [tensor(name="all", shape=[0, 3], data=[])]}, "all: there are no rows"),
    ({"inputs": [tensor()]}, "The data is refused: missing columns: sex, bmi."),
    ({"inputs": [tensor(), tensor(name="sex", shape=[2], data=[1, 2])]}, "same number of rows"),
]


@pytest.mark.parametrize(("body", "text"), MALFORMED_TENSORS, ids=range(len(MALFORMED_TENSORS)))
def test_a_malformed_inference_request_is_refused_as_kserve_does(
    sums: Asked, body: Any, text: str
) -> None:
    answer = sums.ask(INFER, body)
    assert (answer.status, answer.body.keys()) == (400, {"error"})
    assert text in answer.message, answer.message


def test_more_rows_in_tensors_than_the_bound_are_refused(sums: Asked) -> None:
    for inputs in (
        columns_as_tensors([4], [1] * 4),
        [tensor(name="all", shape=[4, 3], data=[1] * 12)],
    ):
        assert sums.ask(INFER, {"inputs": inputs}).status == 413


def test_a_model_of_one_column_takes_one_tensor(mlops: Rooms) -> None:
    asked = served(mlops, {"x": "double"}, lambda rows: rows["x"].to_numpy())
    answer = asked.ask(INFER, {"inputs": [tensor(name="x", shape=[2, 1], data=[1, 2])]})
    assert answer.body["outputs"] == [
        {"name": "predict", "shape": [2], "datatype": "FP64", "data": [1.0, 2.0]}
    ]


WANTED = [
    (None, ["a", "b"]),
    ([], ["a", "b"]),
    ([{"name": "b"}], ["b"]),
    ([{"name": "b"}, {"name": "a"}], ["b", "a"]),
    ([{"name": "c"}], "outputs: no c; there are a, b."),
    ({"name": "a"}, "outputs must be a list of objects with a name."),
    (["a"], "outputs must be a list of objects with a name."),
    ([{"name": 1}], "outputs must be a list of objects with a name."),
]


@pytest.mark.parametrize(("outputs", "expected"), WANTED, ids=range(len(WANTED)))
def test_a_request_may_say_which_outputs_it_wants(
    mlops: Rooms, outputs: Any, expected: Any
) -> None:
    table = pd.DataFrame({"a": [1], "b": [2]})
    asked = served(mlops, {"age": "double"}, lambda rows: table)
    answer = asked.ask(INFER, {"inputs": [tensor()], "outputs": outputs})
    if isinstance(expected, str):
        assert (answer.status, answer.message) == (400, expected)
    else:
        assert [each["name"] for each in answer.body["outputs"]] == expected
        assert "id" not in answer.body


OUTPUTS = [
    (pd.Series([True]), "BOOL", [True]),
    (pd.Series([1], dtype="int32"), "INT64", [1]),
    (pd.Series([1], dtype="uint8"), "UINT64", [1]),
    (pd.Series([0.5]), "FP64", [0.5]),
    (pd.Series(["a"]), "BYTES", ["a"]),
    (pd.Series([pd.Timestamp("2026-01-31")]), "BYTES", ["2026-01-31T00:00:00"]),
    (pd.Series([None, 1], dtype=object).head(1), "BYTES", [None]),
    (pd.Series([2], dtype=object), "INT64", [2]),
    (pd.Series([[1, "a"]]), "BYTES", ['[1, "a"]']),
]


@pytest.mark.parametrize(("values", "datatype", "data"), OUTPUTS, ids=range(len(OUTPUTS)))
def test_an_output_has_the_datatype_of_its_values(
    mlops: Rooms, values: pd.Series, datatype: str, data: list[Any]
) -> None:
    asked = served(mlops, {"age": "double"}, lambda rows: pd.DataFrame({"y": values}))
    (output,) = asked.ask(INFER, {"inputs": [tensor()]}).body["outputs"]
    assert output == {"name": "y", "shape": [1], "datatype": datatype, "data": data}


SHAPED: list[tuple[Any, list[tuple[str, list[int], str, list[Any]]]]] = [
    (np.array([[1.5, 2], [3, 4]]), [("predict", [2, 2], "FP64", [1.5, 2, 3, 4])]),
    (np.arange(4).reshape(1, 2, 2), [("predict", [1, 2, 2], "INT64", [0, 1, 2, 3])]),
    (np.array(0.5), [("predict", [1], "FP64", [0.5])]),
    ([[1, 2], [3, 4]], [("predict", [2, 2], "INT64", [1, 2, 3, 4])]),
    (["a", None], [("predict", [2], "BYTES", ["a", None])]),
    (0.5, [("predict", [1], "FP64", [0.5])]),
    (pd.Series([1, 2], name="y"), [("y", [2], "INT64", [1, 2])]),
    ({"label": np.array(["a", "b"]), "score": [0.5, None]},
     [("label", [2], "BYTES", ["a", "b"]), ("score", [2], "FP64", [0.5, None])]),
    ({"probability": np.array([[0.25, 0.75]])}, [("probability", [1, 2], "FP64", [0.25, 0.75])]),
    ([{"label": "a", "score": 1}, {"label": "b"}],
     [("label", [2], "BYTES", ["a", "b"]), ("score", [2], "FP64", [1, None])]),
]  # fmt: skip


@pytest.mark.parametrize(("prediction", "expected"), SHAPED, ids=range(len(SHAPED)))
def test_a_prediction_of_any_shape_is_tensors(mlops: Rooms, prediction: Any, expected: Any) -> None:
    asked = served(mlops, {"age": "double"}, lambda rows: prediction)
    answer = asked.ask(INFER, {"inputs": [tensor()]})
    names = ("name", "shape", "datatype", "data")
    assert answer.body["outputs"] == [dict(zip(names, one, strict=True)) for one in expected]


NO_TENSORS = [{"a": {"b": 1}}, [[1, 2], [3]], {"a": [{"b": 1}]}, {"a": object()}]


@pytest.mark.parametrize("prediction", NO_TENSORS, ids=range(len(NO_TENSORS)))
def test_what_tensors_cannot_hold_is_never_answered_wrong(mlops: Rooms, prediction: Any) -> None:
    asked = served(mlops, {"age": "double"}, lambda rows: prediction)
    answer = asked.ask(INFER, {"inputs": [tensor()]})
    assert (answer.status, "use /invocations" in answer.message) == (501, True)


def test_server_and_model_are_described(typed: Asked) -> None:
    assert typed.ask("/v2").body.keys() == {"name", "version", "extensions"}
    assert typed.ask("/v2/health/live").body == {"live": True}
    assert typed.ask("/v2/health/ready").body == {"ready": True}
    for path in ("/v2/models/study", "/v2/models/study/versions/7"):
        assert typed.ask(f"{path}/ready").body == {"name": "study", "ready": True}
        model = typed.ask(path).body
        assert model["versions"] == ["7"]
        assert model["outputs"] == [{"name": "sum", "datatype": "FP64", "shape": [-1]}]
        described = {each["name"]: each["datatype"] for each in model["inputs"]}
        assert described == {
            **{"yes": "BOOL", "count": "INT32", "total": "INT64", "share": "FP32"},
            **{"size": "FP64", "name": "BYTES", "blob": "BYTES", "time": "BYTES"},
        }
    assert typed.ask("/version").content.decode().startswith("3.")
    assert typed.ask("/ping").content == b"\n"
