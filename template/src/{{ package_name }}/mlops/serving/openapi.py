"""What the server is, in words of OpenAPI 3.1: columns, types and limits, with an example.

A client can be generated of `/openapi.json`. It is made from the model's schema.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ..model.columns import Column
from ..model.predictions import DATATYPES, encoded
from ..model.tensor_schema import TensorSchema
from ..project import is_rendered
from .app import Route
from .model import Model

_TYPES: dict[str, dict[str, Any]] = {
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer"},
    "long": {"type": "number"},
    "float": {"type": "number"},
    "double": {"type": "number"},
    "decimal": {"type": ["number", "string"]},
    "string": {"type": "string"},
    "datetime": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
    "timedelta": {"type": ["number", "string"], "description": "Seconds, or as ISO 8601: P1DT2H."},
    "binary": {"type": "string", "contentEncoding": "base64"},
    "category": {},
}
_TEXT = {"type": "string"}
_JSON_TYPES = {"b": "boolean", "i": "integer", "u": "integer"}  # Of arrays, by NumPy's kinds.
# A time without a zone is no "date-time".
_OUTPUTS = _TYPES | {"long": {"type": "integer"}, "datetime": {"type": "string"}}
_ERRORS = {
    400: "The rows or the body are refused: which column, which row, why.",
    401: "The token is missing or wrong.",
    408: "The body did not arrive in time.",
    413: "The body is too large, or has too many rows or values.",
    415: "The content is neither application/json nor text/csv.",
    500: "The model has failed; the server's log says why.",
    503: "All connections are taken, or too many large bodies arrive: try again.",
}


def routes(model: Model) -> dict[str, Route]:
    """Return what describes the model, by path."""
    about = {"name": model.name, "version": model.version, "max_rows": model.max_rows}
    if isinstance(model.schema, TensorSchema):
        about |= {"input": model.schema.described()}
    else:
        about["columns"] = [
            {"name": column.name, "required": column.required, **described(column)}
            for column in model.schema.columns
        ]
    about["openapi"] = "/openapi.json"
    return {
        "/": Route("/", encoded(about)),
        "/openapi.json": Route("/openapi.json", encoded(document(model))),
    }


def described(column: Column) -> dict[str, Any]:
    """Return what a value of a column may be, as JSON Schema."""
    schema = {**_TYPES[column.type], **column.about}
    if column.type == "long" and column.strict:
        schema["type"] = "integer"
    if column.categories:
        schema["enum"] = list(column.categories)
    if column.nullable and not column.strict:
        if "type" in schema:
            kinds = schema["type"]
            schema["type"] = [*([kinds] if isinstance(kinds, str) else kinds), "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    return schema


def document(model: Model) -> dict[str, Any]:
    """Return the description of all routes."""
    paths = {"/invocations": {"post": _invocations(model)}}
    if is_rendered("serving.v2_protocol"):
        paths[f"/v2/models/{model.name}/infer"] = {"post": _infer(model)}
    for path, text in {
        "/ping": "Whether the server is up.",
        "/version": "MLflow's version.",
    }.items():
        answer = {"description": text, "content": {"text/plain": {"schema": _TEXT}}}
        paths[path] = {"get": {"summary": text, "responses": {"200": answer}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": model.name, "version": model.version},
        "paths": paths,
        "security": [{}, {"token": []}],
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Row": _row(model), "Prediction": _prediction(model.outputs)},
        },
    }


def _row(model: Model) -> dict[str, Any]:
    columns = model.schema.columns
    if isinstance(model.schema, TensorSchema):
        row: dict[str, Any] = {"type": _JSON_TYPES.get(model.schema.dtype.kind, "number")}
        for size in reversed(model.schema.shape):
            row = {"type": "array", "items": row, "minItems": size, "maxItems": size}
        return row
    return {
        "type": "object",
        "properties": {column.name: described(column) for column in columns},
        "required": [column.name for column in columns if column.required],
        "additionalProperties": False,
    }


def _prediction(outputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Describe the prediction for one row, as far as the signature knows it."""
    if not outputs or not all("name" in one and one.get("type") in _OUTPUTS for one in outputs):
        return {}
    values = {}
    for one in outputs:
        schema = _OUTPUTS[one["type"]]
        values[one["name"]] = {**schema, "type": [schema["type"], "null"]}
    return {"type": "object", "properties": values}


def _invocations(model: Model) -> dict[str, Any]:
    rows = _list({"$ref": "#/components/schemas/Row"}, model)
    names = [column.name for column in model.schema.columns]
    data = {"type": "array", "minItems": len(names), "maxItems": len(names)}
    data["prefixItems"] = [described(column) for column in model.schema.columns]
    split = {
        "type": "object",
        "properties": {"columns": {"const": names}, "data": _list(data, model), "index": {}},
        "required": ["data"],
        "additionalProperties": False,
    }
    shapes = {
        "dataframe_records": rows,
        "instances": rows,
        "inputs": rows,
        "dataframe_split": split,
    }
    content: dict[str, Any] = {}
    if isinstance(model.schema, TensorSchema):
        shapes = {name: shapes[name] for name in ("instances", "inputs")}
    else:
        text = {"minLength": 1, "description": "With a header, as a batch's file.", **_TEXT}
        content = {"text/csv": {"schema": text}}
    bodies = [{**_object({k: v}), "additionalProperties": True} for k, v in shapes.items()]
    json_body: dict[str, Any] = {"schema": {"oneOf": bodies}}
    if model.example:
        row = {name: values[0] for name, values in model.example.items()}
        for column in model.schema.columns:
            if column.type == "datetime" and row.get(column.name):
                row[column.name] += "Z"  # Which the format "date-time" wants.
        json_body["example"] = {"dataframe_records": [row]}
    predictions = {"type": "array", "items": {"$ref": "#/components/schemas/Prediction"}}
    tables = {"predictions": predictions, "model_version": {"type": "string"}}
    answer = _object(tables if model.outputs else tables | {"predictions": {}})
    return {
        "summary": f"Predict with {model.name} version {model.version}.",
        "requestBody": {
            "required": True,
            "content": {"application/json": json_body, **content},
        },
        "responses": _responses(answer, _object({"error_code": _TEXT, "message": _TEXT})),
    }


def _infer(model: Model) -> dict[str, Any]:
    values: dict[str, Any] = {"type": "array"}
    shape = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
    datatype = {"enum": sorted(DATATYPES)}
    tensor = _object({"name": _TEXT, "shape": shape, "datatype": datatype, "data": values})
    tensor["additionalProperties"] = True
    tensors = {"type": "array", "items": tensor, "minItems": 1}
    body = {
        "type": "object",
        "properties": {"id": _TEXT, "inputs": tensors},
        "required": ["inputs"],
    }
    names = {"model_name": _TEXT, "model_version": _TEXT, "outputs": tensors}
    answer = {"type": "object", "properties": names, "required": list(names)}
    return {
        "summary": "The same by KServe's open inference protocol: one tensor per column.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": _responses(answer, _object({"error": _TEXT})),
    }


def _list(items: Mapping[str, Any], model: Model) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": model.max_rows}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _responses(answer: Mapping[str, Any], error: Mapping[str, Any]) -> dict[str, Any]:
    good = {"description": "Predictions", "content": {"application/json": {"schema": answer}}}
    content = {"application/json": {"schema": error}}
    bad = {
        str(status): {"description": text, "content": content} for status, text in _ERRORS.items()
    }
    return {"200": good} | bad
