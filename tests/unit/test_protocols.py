"""Both protocols in this process: every shape, type and refusal of a request, and its answer."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from copy import deepcopy
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kedro.validation.exceptions import CheckFailure, DataValidationError
from mlflow.exceptions import MlflowException

from tests.support.asgi import Asked
from tests.support.profiles import examples
from tests.support.rooms import Rooms
from tests.support.serving import Answer

CSV, JSON = "text/csv", "application/json"
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
    optional = more.pop("optional", ())
    signature = [
        {"name": name, "type": kind, "required": name not in optional}
        for name, kind in columns.items()
    ]
    schema = mlops("model.schema").Schema.of_signature(json.dumps(signature))
    outputs = [{"name": "sum", "type": "double"}]
    model = mlops("serving.model").Model("study", "7", 3, schema, predict, outputs)
    model = replace(model, **{"load_args": {}, "max_cells": 100, **more})
    routes = mlops("serving.mlflow_protocol").routes(model)
    routes |= mlops("serving.v2_protocol").routes(model)
    routes |= mlops("serving.openapi").routes(model)
    about = {"x-model-version": "7"}
    return Asked(mlops("serving.app").App(routes, about, token, 200_000, None))


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


# What costs much of little: body, content type, status, and the sentence.
FEW = "more than 3 rows, or lists in lists; send the rows in parts."
COSTLY = [
    (b"," * 60_000, CSV, 400, "more than 19 fields for 3 columns."),
    (b"age,sex,bmi\n" + b"1," * 40_000, CSV, 400, "more than 19 fields for 3 columns."),
    (b"\n" * 9000 + b"," * 60_000, CSV, 400, "more than 19 fields for 3 columns."),
    (b'"\n",' * 10_000, CSV, 400, "more than 19 fields for 3 columns."),
    (b'"a\r\n,' * 10_000, CSV, 400, "The data is refused: missing columns"),
    (b"age,sex,bmi" + b",x" * 12, CSV, 400, "unexpected columns: 'x'"),
    (b"age,sex,bmi\n" + b"1,2,3\n" * 10_000, CSV, 413, "more than 3 rows"),
    (b"age,sex,bmi,1,2,3\n1,2,3,4,5,6\n1,2,3,4,5,6\n", CSV, 400, "unexpected columns: '1'"),
    (b'{"instances": [' + b"[]," * 30_000 + b"[]]}", JSON, 413, FEW),
    (b'{"inputs": [' + b"{}," * 30_000 + b"{}]}", JSON, 413, FEW),
    (b'{"inputs": {"age": [' + b"1," * 40_000 + b"1]}}", JSON, 413, "The body: more than 9 values"),
    (b'{"a": "' + b"[" * 50_000 + b'"}', JSON, 400, "it holds a."),
    (b'{"a": "' + b'\\"[' * 20_000 + b'"}', JSON, 400, "it holds a."),
    (b'{"a": "' + b"\\\\" * 20_000 + b'"}' + b"[" * 1000, JSON, 413, FEW),
    (b'"' * 90_000, JSON, 400, "The body is not JSON"),
    (b'{"a": [' + b'"",' * 30_000 + b"1]}", JSON, 413, "The body: more than 9 values"),
]


@pytest.mark.parametrize(("body", "kind", "status", "sentence"), COSTLY, ids=range(len(COSTLY)))
def test_what_would_cost_much_is_refused_before_it_is_read(
    mlops: Rooms, body: bytes, kind: str, status: int, sentence: str, monkeypatch: Any
) -> None:
    """Neither pandas nor the parser of JSON sees what a line or a list holds too much."""
    columns = dict.fromkeys(NAMES, "double")
    asked = served(mlops, columns, lambda rows: rows, max_cells=9)
    protocol = mlops("serving.mlflow_protocol")
    if "fields" in sentence:
        monkeypatch.setattr(protocol.pd, "read_csv", lambda *_, **__: pytest.fail("it was read"))
    if status == 413 and kind == JSON:
        monkeypatch.setattr(protocol.json, "loads", lambda *_: pytest.fail("it was read"))
    answer = asked.ask("/invocations", body, kind)
    monkeypatch.undo()
    assert (answer.status, sentence in answer.message) == (status, True), answer.message
    assert len(answer.content) <= 700


# Inputs of a signature, most rows and cells; most lists, and values with these, of a body.
TENSOR = '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2, 3]}}]'
PAIR = '[{"name": "a", "type": "double"}, {"name": "b", "type": "double"}]'
EXACT = [
    (PAIR, 10, 1000, 10 + 2 * 4 + 100, 10 * 2),
    (PAIR, 10, 15, 10 + 2 * 4 + 100, 15),
    (TENSOR, 10, 1000, 10 * (1 + 2) + 100, 1000),
    (TENSOR, 10, 20, 20 + 100, 20),
]


@pytest.mark.parametrize(("inputs", "rows", "cells", "lists", "values"), EXACT, ids=range(4))
@pytest.mark.parametrize("opens", [b"[", b"{"])
def test_the_bounds_of_lists_and_values_are_exact(
    mlops: Rooms, opens: bytes, inputs: str, rows: int, cells: int, lists: int, values: int
) -> None:
    schemas = mlops("model.schema").Schema, mlops("model.tensor_schema").TensorSchema
    schema = next(filter(None, (each.of_signature(inputs) for each in schemas)))
    model = SimpleNamespace(schema=schema, max_rows=rows, max_cells=cells)
    check = mlops("serving.cost").check_json
    most = opens * 50 + b"," * (values + lists - 50)
    for body, more in ((opens * lists, opens), (most, b",")):
        check(body, model)
        with pytest.raises(mlops("serving.app").RefusalError):
            check(body + more, model)


@pytest.mark.parametrize(
    ("options", "start", "count"),
    [
        ({}, b"x\n\n \n\n\n", 3),
        ({"skiprows": 5}, b"x\n" * 5, 8),
        ({"skiprows": [0, 1, 2, 3, 4]}, b"x\n" * 5, 8),
        ({"skiprows": lambda row: row < 5}, b"x\n" * 5, 2003),
        ({"header": 5}, b"x\n" * 5, 8),
        ({"header": [0, 5]}, b"x\n" * 5, 9),
    ],
    ids=range(6),
)
def test_wide_lines_are_found_among_those_that_may_be_the_header(
    mlops: Rooms, options: dict[str, Any], start: bytes, count: int
) -> None:
    model = SimpleNamespace(schema=SimpleNamespace(names=["a"]))
    first = mlops("serving.cost").first_records
    assert len(first(b"x\n" * 9000, options, model)) == count
    with pytest.raises(mlops("serving.app").RefusalError, match="more than 17 fields"):
        first(start + b"," * 100, options, model)


@pytest.mark.parametrize(
    ("options", "body", "records"),
    [
        ({}, b"\xef\xbb\xbfa,b\n", [["a", "b"]]),
        ({}, b'"' + b"," * 100 + b'",b\n', [["," * 100, "b"]]),
        ({}, b'"' + b"x" * 140_000 + b'"\n', [["x" * 140_000]]),
        ({"comment": "#"}, b"#" + b"," * 100 + b"\na\n", [["a"]]),
        ({"quotechar": "'"}, b"'a,b',c\n", [["a,b", "c"]]),
        ({"quotechar": "'"}, b"'" + b"," * 100 + b"'\n", [["," * 100]]),
        ({"escapechar": "\\"}, b"a\\,b,c\n", [["a,b", "c"]]),
        ({"quoting": csv.QUOTE_NONE}, b'"a,b"\n', [['"a', 'b"']]),
        ({"skipinitialspace": True}, b'a, "b,c"\n', [["a", "b,c"]]),
        ({"doublequote": False, "escapechar": "\\"}, b'"a\\",b"\n', [['a",b']]),
    ],
    ids=range(10),
)
def test_the_header_is_read_as_pandas_reads_it(
    mlops: Rooms, options: dict[str, Any], body: bytes, records: list[list[str]]
) -> None:
    before = csv.field_size_limit(131_072)  # Python's own, whatever was read before.
    model = SimpleNamespace(schema=SimpleNamespace(names=["a"]))
    try:
        assert mlops("serving.cost").first_records(body, options, model) == records
        assert list(pd.read_csv(io.BytesIO(body), nrows=0, **options).columns) == records[0]
    finally:
        csv.field_size_limit(before)


def test_what_is_no_header_costs_nothing(mlops: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    cost, seen = mlops("serving.cost"), []

    def reader(lines: Any, **_: Any) -> Any:
        seen.extend(lines)
        raise csv.Error("line contains NUL")

    monkeypatch.setattr(cost.csv, "reader", reader)
    model = SimpleNamespace(schema=SimpleNamespace(names=["a"]))
    with pytest.raises(mlops("serving.app").RefusalError, match="is not CSV: line contains NUL"):
        cost.first_records(b"\n \r\n\t" * 1000 + b"," * 1000 + b"\n1\n", {}, model)
    assert seen == ["," * 18, "1\n"]


@pytest.mark.parametrize("body", [b"[" * 50_000, b'{"a":' * 20_000])
def test_lists_in_lists_are_refused_also_where_so_many_rows_may_be(
    mlops: Rooms, body: bytes
) -> None:
    asked = served(mlops, {"a": "double"}, lambda rows: rows, max_rows=100_000)
    answer = asked.ask("/invocations", body)
    assert (answer.status, answer.message) == (400, "The body is nested too deeply.")


def test_rows_times_columns_are_bounded_in_every_shape(mlops: Rooms) -> None:
    asked = served(mlops, dict.fromkeys(NAMES, "double"), lambda rows: rows, max_cells=8)
    rows = [[1, 2, 3]] * 3
    tensors = [{"name": n, "shape": [3], "datatype": "FP64", "data": [1] * 3} for n in NAMES]
    whole = {"name": "all", "shape": [3, 3], "datatype": "FP64", "data": [1] * 9}
    for path, body in (
        ("/invocations", {"instances": rows}),
        ("/invocations", {"inputs": {name: [1] * 3 for name in NAMES}}),
        ("/invocations", {"dataframe_split": {"data": rows}}),
        ("/invocations", {"dataframe_records": [dict.fromkeys(NAMES, 1), {}, {}]}),
        (INFER, {"inputs": tensors}),
        (INFER, {"inputs": [whole]}),
    ):
        answer = asked.ask(path, body)
        assert (answer.status, "more than 8 values" in answer.message) == (413, True), body
    answer = asked.ask("/invocations", b"age,sex,bmi\n" + b"1,2,3\n" * 3, CSV)
    assert (answer.status, "more than 8 values" in answer.message) == (413, True)


def test_rows_without_their_fields_are_no_cheap_way_to_many_cells(mlops: Rooms) -> None:
    columns = dict.fromkeys(NAMES, "double")
    asked = served(mlops, columns, lambda rows: rows, max_rows=1000, max_cells=9000)
    answer = asked.ask("/invocations", b"age,sex,bmi\n" + b"1\n" * 900, CSV)
    assert (answer.status, "rows have fewer fields" in answer.message) == (400, True)


def test_a_wide_file_of_which_the_catalog_takes_some_columns_is_read(mlops: Rooms) -> None:
    taken = served(
        mlops, {"a": "double"}, lambda rows: rows["a"].tolist(), load_args={"usecols": ["a"]}
    )
    wide = b"a," + b",".join(b"%d" % number for number in range(1500)) + b"\n" + b"1," * 1500 + b"2"
    assert taken.ask("/invocations", wide, CSV).body["predictions"] == [1.0]


@pytest.mark.parametrize(
    ("load_args", "body"),
    [
        ({"sep": ";"}, b"age;sex;bmi\n1;2;3\n"),
        ({"delimiter": "\t"}, b"age\tsex\tbmi\n1\t2\t3\n"),
        ({"sep": r"\s+"}, b"age   sex  bmi\n  1     2    3\n"),
        ({"sep": None, "engine": "python"}, b"age;sex;bmi\n1;2;3\n"),
        ({"skiprows": 2}, b"a title\nof, two, lines\nage,sex,bmi\n1,2,3\n"),
        ({"quotechar": "'"}, b"'age',sex,bmi\n1,2,'3'\n"),
        ({"index_col": 0}, b"id,age,sex,bmi\nx,1,2,3\n"),
        ({"names": ["age", "sex", "bmi"], "header": None}, b"1,2,3\n"),
        ({}, b"\xef\xbb\xbfage,sex,bmi\r\n1,2,3\r\n"),
    ],
    ids=range(9),
)
def test_every_way_that_a_catalog_reads_csv_is_bounded_and_taken(
    mlops: Rooms, load_args: dict[str, Any], body: bytes
) -> None:
    columns = dict.fromkeys(NAMES, "double")
    asked = served(mlops, columns, lambda rows: rows.sum(axis=1).tolist(), load_args=load_args)
    assert asked.ask("/invocations", body, CSV).body.get("predictions") == [6.0]
    separator = load_args.get("sep", load_args.get("delimiter", ",")) or ";"
    many = (separator if len(separator) == 1 else " x").encode() * 9000
    answer = asked.ask("/invocations", many, CSV)
    assert (answer.status, "fields for 3 columns" in answer.message) == (400, True), answer.message


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
    (b"\x00" * 1000, "The "),
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


# --- any value anywhere ---

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(2**63), 2**64, 1e308, float("nan"), float("inf")])
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["\ud800", "\0", "9" * 999, "now", "FP64", "BYTES", "age", "name", "2026-13-01"]
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=5) | st.sampled_from(["data", "name"]), inner, max_size=4
        )
        | inner.map(lambda value: [[[[value]]]])
    ),
    max_leaves=6,
)
VALUES |= VALUES.map(lambda value: nested(value, 300))
ALL = {
    **{
        "yes": True,
        "count": 1,
        "total": 2,
        "share": 0.5,
        "size": 0.25,
        "name": "x",
        "blob": "YQ==",
    },
    "time": "2026-01-31T12:00:00",
}
TENSORS: list[Any] = [
    {"name": name, "shape": [1], "datatype": "BYTES", "data": [value]}
    for name, value in ALL.items()
]
BODIES: list[dict[str, Any]] = [
    {"dataframe_records": [ALL, ALL]},
    {"dataframe_split": {"columns": list(ALL), "data": [list(ALL.values())], "index": [0]}},
    {"instances": [list(ALL.values())], "params": {}},
    {"inputs": {name: [value] for name, value in ALL.items()}},
    {"inputs": TENSORS, "outputs": [{"name": "name"}], "id": "1", "parameters": {}},
    {"inputs": [{"name": "all", "shape": [1, 8], "datatype": "FP64", "data": [*ALL.values()]}]},
    {"instances": [[[1, 2], [3, 4]]]},
    {"inputs": [{"name": "x", "shape": [1, 2, 2], "datatype": "FP64", "data": [[1, 2], [3, 4]]}]},
]


def nested(value: Any, times: int) -> Any:
    for _ in range(times):
        value = [value]
    return value


@st.composite
def spoiled(draw: Any) -> Any:
    """A right body with any value in the place of one that it holds, however deep."""
    body = deepcopy(draw(st.sampled_from(BODIES)))
    place = body
    while True:
        key = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        if not (isinstance(place[key], dict | list) and place[key]) or draw(st.integers(0, 3)) == 0:
            place[key] = draw(VALUES)
            return body
        place = place[key]


def test_any_value_anywhere_is_answered_or_refused(mlops: Rooms) -> None:
    """Whoever sends it is told so in a line; nothing fails."""
    columns = {name: kind for kind, name in TYPES.items()}
    typed = served(mlops, columns, lambda rows: rows, optional=set(columns), max_rows=1000)
    pixels = mlops("model.tensor_schema").TensorSchema("int64", (2, 2))
    images = served(mlops, {}, lambda rows: rows.sum(axis=(1, 2)), schema=pixels, max_rows=1000)
    statuses: Counter[int] = Counter()

    @settings(max_examples=examples(250, weekly=10_000), database=None)
    @given(st.sampled_from([typed, images]), st.sampled_from(["/invocations", INFER]), spoiled())
    def throw(asked: Asked, path: str, body: Any) -> None:
        answer = asked.ask(path, json.dumps(body).encode())
        statuses[answer.status] += 1
        assert answer.status in (200, 400, 413), answer.content
        assert answer.status == 200 or len(answer.content) < 2000

    throw()
    assert statuses[200]
    assert statuses[400] > 50


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"outputs": [{"name": "s"}] * 50}, "outputs: more than once: s."),
        ({"outputs": [{"name": "s"}, {"name": "t"}]}, "outputs: no t; there are s."),
        ({"inputs": TENSORS[:4]}, "inputs: the model takes at most 3 tensors, not 4."),
    ],
    ids=["again", "unknown", "many"],
)
def test_no_tensor_is_returned_again_or_taken_in_vain(
    sums: Asked, change: dict[str, Any], text: str
) -> None:
    inputs = [{"name": name, "shape": [1], "datatype": "FP64", "data": [1]} for name in NAMES]
    answer = sums.ask(INFER, {"inputs": inputs, **change})
    assert (answer.status, answer.message) == (400, text)


def test_a_request_of_a_million_names_is_refused_in_a_line(mlops: Rooms) -> None:
    sums = served(mlops, dict.fromkeys(NAMES, "double"), lambda rows: rows, max_rows=1000)
    many = {f"column_{number:04}{'x' * 60}": [1] for number in range(90)}
    answer = sums.ask("/invocations", {"inputs": many})
    assert "and 85 more" in answer.message
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


def test_what_is_described_is_made_once(typed: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GET of a few bytes may have a large answer, and costs no work."""
    documents = {path: route for path, route in typed.app.routes.items() if not route.predict}
    assert {"/", "/openapi.json", "/version", "/ping", "/v2", "/v2/models/study"} <= {*documents}
    monkeypatch.setattr(json.JSONEncoder, "encode", lambda *_: pytest.fail("It is written again."))
    for path, route in documents.items():
        for _ in range(2):
            assert typed.ask(path, b"", method="GET").content is route.content


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
