"""A model's signature, as its MLmodel has it, without MLflow.

Importing MLflow takes a second and a hundred megabytes in each worker, which it would use for this
alone.
"""

import json
from enum import Enum
from typing import Any, NamedTuple

import numpy as np


class DataType(Enum):
    """MLflow's types of a value."""

    boolean = "boolean"
    integer = "integer"
    long = "long"
    float = "float"
    double = "double"
    string = "string"
    binary = "binary"
    datetime = "datetime"


NUMPY_TYPES: dict[DataType, type[Any]] = {
    DataType.integer: np.int32,
    DataType.long: np.int64,
    DataType.float: np.float32,
    DataType.double: np.float64,
}


class Column(NamedTuple):
    """A column of a table."""

    name: str
    type: DataType
    is_required: bool


def columns_of_signature(text: str | None) -> list[Column] | None:
    """Read the inputs or the outputs of a signature.

    Returns:
        The columns; none when they are no named columns that hold one value a row.
    """
    described = json.loads(text or "[]")
    if not all("name" in each and each["type"] in _NAMES for each in described):
        return None
    return [
        Column(each["name"], DataType(each["type"]), each.get("required", True))
        for each in described
    ] or None


_NAMES = {kind.value for kind in DataType}
