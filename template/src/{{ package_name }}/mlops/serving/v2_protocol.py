"""KServe's open inference protocol, version 2: its routes, and the tensors of a request.

Each tensor is a column, or one holds all of them.

See https://github.com/kserve/open-inference-protocol.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..errors import listed, shown
from ..model.columns import Column
from ..model.predictions import DATATYPES, Tensor, datatype_of, encoded, tensors
from ..model.schema import Schema, mlflow_type
from ..model.tensor_schema import TensorSchema, numbers
from .app import Headers, RefusalError, Route
from .cost import check_rows
from .mlflow_protocol import by_position, checked_length, parsed, version_of_mlflow
from .model import Model, Values

_DATATYPES = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
    "binary": "BYTES",
    "datetime": "BYTES",
}


def routes(model: Model) -> dict[str, Route]:
    """Return the protocol's routes, by path."""
    server = {"name": "kedro-mlflow-serving", "version": version_of_mlflow(), "extensions": []}
    ready = encoded({"name": model.name, "ready": True})
    metadata = {
        "name": model.name,
        "versions": [model.version],
        "platform": "mlflow",
        "inputs": _inputs(model.schema),
        "outputs": [each for each in map(_described, model.outputs) if each],
    }

    found = {
        "/v2": Route("/v2", encoded(server)),
        "/v2/health/live": Route("/v2/health/live", encoded({"live": True}), is_open=True),
        "/v2/health/ready": Route("/v2/health/ready", encoded({"ready": True}), is_open=True),
    }
    start = f"/v2/models/{model.name}"
    for base in (start, f"{start}/versions/{model.version}"):
        found |= {
            base: Route("/v2/models/NAME", encoded(metadata)),
            f"{base}/ready": Route("/v2/models/NAME/ready", ready, is_open=True),
            f"{base}/infer": Route("/v2/models/NAME/infer", predict=partial(infer, model)),
        }
    return found


def infer(model: Model, body: bytes, headers: Headers) -> tuple[bytes, int]:
    """Answer an inference request, or refuse it; also return how many rows it had."""
    content = parsed(body, model)
    wanted = _wanted(content.get("outputs"))
    is_array = isinstance(model.schema, TensorSchema)
    prediction, rows = model.predict((_array_of if is_array else _columns_of)(content, model))
    try:
        outputs = tensors(prediction)
    except (TypeError, ValueError) as error:
        text = f"This protocol cannot carry what the model returns ({error}): use /invocations."
        raise RefusalError(text, 501) from error
    return encoded(_response(content, wanted, model, outputs)), rows


def _inputs(schema: Schema | TensorSchema) -> list[dict[str, Any]]:
    if isinstance(schema, TensorSchema):
        datatype = datatype_of(schema.dtype.kind)
        return [{"name": "input", "datatype": datatype, "shape": [-1, *schema.shape]}]
    return [
        {"name": column.name, "datatype": _datatype(column), "shape": [-1]}
        for column in schema.columns
    ]


def _datatype(column: Column) -> str:
    return _DATATYPES.get(column.type) or _DATATYPES[mlflow_type(column)]


def _described(output: Mapping[str, Any]) -> dict[str, Any]:
    """Describe an output of the signature; nothing of one that has no tensor."""
    name, spec = output.get("name", "predict"), output.get("tensor-spec")
    if spec:
        datatype = datatype_of(np.dtype(spec["dtype"]).kind)
        return {"name": name, "datatype": datatype, "shape": spec["shape"]}
    datatype = _DATATYPES.get(str(output.get("type")), "")
    return {"name": name, "datatype": datatype, "shape": [-1]} if datatype else {}


def _array_of(content: Mapping[str, Any], model: Model) -> Any:
    ((name, shape, values),) = _tensors_of(content, 1)
    check_rows(shown(name), shape[0], model)
    try:
        return numbers(values).reshape(shape)
    except TypeError:
        raise RefusalError(f"inputs: {shown(name)} must hold numbers or booleans.") from None


def _tensors_of(content: Mapping[str, Any], most: int) -> list[tuple[str, list[int], list[Any]]]:
    inputs = content.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise RefusalError(
            "inputs must be a list of tensors, each with name, shape, datatype and data."
        )
    if len(inputs) > most:
        takes = "one tensor" if most == 1 else f"at most {most} tensors"
        raise RefusalError(f"inputs: the model takes {takes}, not {len(inputs):,}.")
    return [_tensor(each, f"inputs[{place}]") for place, each in enumerate(inputs)]


def _columns_of(content: Mapping[str, Any], model: Model) -> dict[str, Values]:
    names = list(model.schema.names)
    tensors = _tensors_of(content, len(names))
    if len(tensors) == 1:
        name, shape, values = tensors[0]
        if len(shape) == 2 and shape[1] == len(names) > 1:
            width = shape[1]
            rows = [values[start : start + width] for start in range(0, len(values), width)]
            return checked_length(name, by_position(name, rows, names), model)
    columns: dict[str, Values] = {}
    for name, shape, values in tensors:
        if name in columns:
            raise RefusalError(f"inputs: {shown(name)} is there more than once.")
        if len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
            raise RefusalError(
                f"inputs: {shown(name)} must have the shape [n] or [n, 1], not {shape}."
            )
        columns[name] = values
    return checked_length("inputs", columns, model)


def _tensor(tensor: Any, where: str) -> tuple[str, list[int], list[Any]]:
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise RefusalError(f"{where} must be an object with a name.")
    where = f"{where} ({shown(tensor['name'])})"
    shape, values, datatype = (tensor.get(key) for key in ("shape", "data", "datatype"))
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise RefusalError(f"{where}: datatype must be one of {', '.join(sorted(DATATYPES))}.")
    shape = shape if isinstance(shape, list) else []
    if not 0 < len(shape) < 9 or not all(type(each) is int and 0 <= each < 2**32 for each in shape):
        raise RefusalError(f"{where}: shape must be a list of one or a few whole numbers.")
    if not isinstance(values, list):
        raise RefusalError(f"{where}: data must be a list.")
    for _ in shape[1:]:  # A nested list stands for the same values.
        if values and all(isinstance(each, list) for each in values):
            values = [value for row in values for value in row]
    expected = 1
    for size in shape:
        expected *= size
    if len(values) != expected:
        raise RefusalError(
            f"{where}: data holds {len(values)} values, and shape says {shown(expected)}."
        )
    return tensor["name"], shape, values


def _response(
    content: Mapping[str, Any], wanted: Sequence[str], model: Model, found: Sequence[Tensor]
) -> dict[str, Any]:
    outputs = {tensor.name: tensor._asdict() for tensor in found}
    if unknown := [each for each in wanted if each not in outputs]:
        raise RefusalError(f"outputs: no {listed(unknown)}; there are {listed(list(outputs))}.")
    identity = {"id": content["id"]} if isinstance(content.get("id"), str) else {}
    return {
        "model_name": model.name,
        "model_version": model.version,
        **identity,
        "outputs": [outputs[each] for each in wanted or outputs],
    }


def _wanted(outputs: Any) -> list[str]:
    if not outputs:
        return []
    if not isinstance(outputs, list):
        raise RefusalError("outputs must be a list of objects with a name.")
    names = [each.get("name") if isinstance(each, dict) else None for each in outputs]
    if not all(isinstance(name, str) for name in names):
        raise RefusalError("outputs must be a list of objects with a name.")
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise RefusalError(f"outputs: more than once: {listed(twice)}.")
    return [str(name) for name in names]
