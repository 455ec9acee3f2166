"""What KServe knows of an InferenceService, read from the models of its Python client.

Its wheel alone is fetched, and nothing of it is run: what it depends on would not go with MLflow.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = "0.16.0"
SIMPLE: dict[str, type] = {"str": str, "int": int, "bool": bool}


@dataclass(frozen=True)
class Schema:
    """The models in a folder.

    Attributes:
        folder: where the client's wheel is unpacked.
    """

    folder: Path

    @classmethod
    def fetch(cls, folder: Path) -> Schema:
        """Fetch the wheel of KServe's Python client."""
        command = ["uv", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        subprocess.run([*command, f"kserve=={VERSION}"], check=True)
        return cls(folder)

    def problems(self, value: Any, kind: str, path: str = "") -> Iterator[str]:
        """Name every key that KServe does not know, and every value of another type.

        What is of a core type of Kubernetes is left to the schema of that.
        """
        if inner := re.fullmatch(r"list\[(.+)\]", kind):
            for number, item in enumerate(value):
                yield from self.problems(item, inner[1], f"{path}[{number}]")
        elif kind in SIMPLE:
            if type(value) is not SIMPLE[kind]:
                yield f"{path} is no {kind}: {value!r}"
        elif kind == "dict(str, str)":
            yield from (f"{path}.{key} is no text" for key in value if type(value[key]) is not str)
        elif (fields := self._fields(kind)) is not None:
            for key in value:
                if key not in fields:
                    yield f"{path}.{key} is unknown"
                else:
                    yield from self.problems(value[key], fields[key], f"{path}.{key}")

    def _fields(self, kind: str) -> dict[str, str] | None:
        """The type of each key of a model; none for a model that is not KServe's."""
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
        file = self.folder / "kserve" / "models" / f"{snake}.py"
        if not file.is_file():
            return None
        body = next(
            node for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)
        ).body
        told = {
            node.targets[0].id: ast.literal_eval(node.value)
            for node in body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        return {told["attribute_map"][name]: kind for name, kind in told["openapi_types"].items()}
