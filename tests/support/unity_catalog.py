"""A stand-in of Unity Catalog: what MLflow's client asks of its registry and of its files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.proxy import Request

_REGISTRY = "/api/2.0/mlflow/unity-catalog/"
_FILES, _FOLDERS = "/api/2.0/fs/files/", "/api/2.0/fs/directories/"
_LONGEST_TAG = 1000
_THREE_LEVELS = re.compile(r"[^.]+\.[^.]+\.[^.]+")


class UnityCatalog:
    """Registered models with three-level names.

    Attributes:
        models: their versions, the first first, by their names.
        aliases: the numbers of versions by name and alias.
    """

    def __init__(self, folder: Path) -> None:
        """Make an empty one that keeps files in a folder."""
        self.models: dict[str, list[dict[str, Any]]] = {}
        self.aliases: dict[tuple[str, str], str] = {}
        self._folder = folder

    def answer(self, request: Request) -> tuple[int, bytes] | None:
        """Answer a call of the registry's, or of the files'; none if it is another service's."""
        parts = urlsplit(request.path)
        if parts.path.startswith(_FILES):
            return self._file(request.method, parts.path.removeprefix(_FILES), request.body)
        if parts.path.startswith(_FOLDERS):
            return self._list(request.method, parts.path.removeprefix(_FOLDERS))
        if parts.path.startswith(_REGISTRY):
            asked = dict(parse_qsl(parts.query)) | json.loads(request.body or b"{}")
            call = f"{request.method} {parts.path.removeprefix(_REGISTRY)}"
            status, content = self._registry(call, asked)
            return status, json.dumps(content).encode()
        return None

    def _file(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        file = self._folder / path
        if method == "PUT":
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
            return 204, b""
        return (200, file.read_bytes()) if file.is_file() else (404, b"{}")

    def _list(self, method: str, path: str) -> tuple[int, bytes]:
        folder = self._folder / path
        if not folder.is_dir():
            return 404, json.dumps(_error("NOT_FOUND", path)).encode()
        contents = [
            {
                "path": f"/{each.relative_to(self._folder)}",
                "name": each.name,
                "is_directory": each.is_dir(),
                "file_size": each.stat().st_size,
            }
            for each in sorted(folder.iterdir())
        ]
        return 200, json.dumps({"contents": contents}).encode()

    def _registry(  # noqa: PLR0911 (a table of calls)
        self, call: str, asked: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        if call.endswith(":is-databricks-sdk-models-artifact-repository-enabled"):
            return 200, {"is_databricks_sdk_models_artifact_repository_enabled": True}
        if call == "GET model-versions/search":
            return 200, {"model_versions": self._search(asked["filter"])}
        name, number = asked.get("name", ""), str(asked.get("version", ""))
        if not _THREE_LEVELS.fullmatch(name):
            return 400, _error("INVALID_PARAMETER_VALUE", f"{name} has no catalog and schema")
        if call == "POST registered-models/create":
            return self._create(name)
        if name not in self.models:
            return 404, _error("RESOURCE_DOES_NOT_EXIST", f"no registered model {name}")
        if call == "GET registered-models/get":
            return 200, {"registered_model": self._model(name)}
        if call == "POST model-versions/create":
            if refused := [each for each in asked.get("tags", []) if _is_refused(each)]:
                return 400, _error("INVALID_PARAMETER_VALUE", f"no tags: {refused}")
            return 200, {"model_version": self._create_version(name, asked)}
        if call == "POST registered-models/alias":
            self.aliases[name, asked["alias"]] = number
            return 200, {}
        if call == "DELETE registered-models/alias":
            self.aliases.pop((name, asked["alias"]), None)
            return 200, {}
        if call == "GET registered-models/alias":
            number = self.aliases.get((name, asked["alias"]), "")
        found = [version for version in self.models[name] if version["version"] == number]
        if not found:
            return 404, _error("RESOURCE_DOES_NOT_EXIST", f"no such version of {name}")
        return self._of_version(call, found[0], asked)

    def _of_version(
        self, call: str, version: dict[str, Any], asked: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        if call == "POST model-versions/set-tag":
            if _is_refused(asked):
                return 400, _error("INVALID_PARAMETER_VALUE", f"no tag: {asked['key']}")
            tags = version.get("tags", [])
            version["tags"] = [each for each in tags if each["key"] != asked["key"]]
            version["tags"].append({"key": asked["key"], "value": asked["value"]})
            return 200, {}
        if call == "POST model-versions/finalize":
            version["status"] = "READY"
        if call == "GET model-versions/get-download-uri":
            return 200, {"artifact_uri": version["storage_location"]}
        return 200, {"model_version": version}

    def _create(self, name: str) -> tuple[int, dict[str, Any]]:
        if name in self.models:
            return 409, _error("RESOURCE_ALREADY_EXISTS", f"{name} exists")
        self.models[name] = []
        return 200, {"registered_model": self._model(name)}

    def _model(self, name: str) -> dict[str, Any]:
        aliases = [
            {"alias": alias, "version": number}
            for (model, alias), number in self.aliases.items()
            if model == name
        ]
        return {"name": name, "aliases": aliases}

    def _create_version(self, name: str, asked: dict[str, Any]) -> dict[str, Any]:
        number = str(len(self.models[name]) + 1)
        kept = {key: asked[key] for key in ("name", "source", "run_id") if key in asked}
        version = kept | {
            "version": number,
            "status": "PENDING_REGISTRATION",
            "tags": asked.get("tags", []),
            "storage_location": f"dbfs:/Models/{name.replace('.', '/')}/{number}",
        }
        self.models[name].append(version)
        return version

    def _search(self, query: str) -> list[dict[str, Any]]:
        name = query.removeprefix("name = '").removesuffix("'")
        return [
            {key: value for key, value in version.items() if key != "tags"}
            for version in self.models.get(name, [])
        ]


def _is_refused(tag: Mapping[str, str]) -> bool:
    # https://docs.databricks.com/aws/en/database-objects/tags
    return bool(re.search(r"[.,\-=/:]", tag["key"])) or len(tag["value"]) > _LONGEST_TAG


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error_code": code, "message": message}
