"""Real object stores, with credentials that are checked."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.answers import REPOSITORY
from tests.support.machine import free_port
from tests.support.processes import Service, listens

# Its telemetry and its driver of SQL Server, which nothing here uses, would be most of it: old ones
# are small.
AZURITE = {
    "dependencies": {"azurite": "3.37.0"},
    "overrides": {"applicationinsights": "1.8.10", "tedious": "1.15.0"},
}


@dataclass(frozen=True)
class Store:
    """An object store on this machine.

    Attributes:
        destination: where a tracking server is told to put its files.
        variables: what opens the store.
        folder: where the store itself keeps them.
    """

    destination: str
    variables: dict[str, str]
    folder: Path


@contextmanager
def s3(folder: Path) -> Iterator[Store]:
    """A store that speaks S3: rclone, which has the files in a folder as they are."""
    port, key, secret = free_port(), "team", "CANARY-s3-secret"
    (folder / "mlflow").mkdir(parents=True)
    command: list[str | Path] = [Path(sys.executable).with_name("rclone"), "serve", "s3", folder]
    command += ["--addr", f"127.0.0.1:{port}", "--auth-key", f"{key},{secret}"]
    service = Service(command, folder.with_suffix(".log"), lambda: listens(port))
    service.start()
    try:
        variables = {
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": "eu-central-1",
            "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        }
        yield Store("s3://mlflow/files", variables, folder / "mlflow")
    finally:
        service.stop()


@contextmanager
def azure(folder: Path, python: Path) -> Iterator[Store]:
    """Azure's own emulator of its blob store.

    Args:
        folder: where it keeps its data.
        python: an interpreter that has Azure's client: it makes the container.
    """
    port, key = free_port(), base64.b64encode(b"CANARY-azure").decode()
    folder.mkdir()
    command: list[str | Path] = [azurite(), "--blobPort", str(port), "--location", folder]
    command += ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    service = Service(
        command,
        folder.with_suffix(".log"),
        lambda: listens(port),
        env={
            "PATH": str(Path(shutil.which("node") or "").parent),
            "AZURITE_ACCOUNTS": f"team:{key}",
        },
    )
    service.start()
    try:
        address = (
            f"DefaultEndpointsProtocol=http;AccountName=team;AccountKey={key};"
            f"BlobEndpoint=http://127.0.0.1:{port}/team;"
        )
        make = "import sys; from azure.storage.blob import BlobServiceClient as C; "
        make += "C.from_connection_string(sys.argv[1]).create_container('mlflow')"
        subprocess.run([python, "-c", make, address], check=True)
        destination = "wasbs://mlflow@team.blob.core.windows.net/files"
        yield Store(destination, {"AZURE_STORAGE_CONNECTION_STRING": address}, folder)
    finally:
        service.stop()


def azurite() -> Path:
    """The emulator, fetched once into build/ from npm."""
    where = REPOSITORY / "build" / "azurite"
    found = where / "node_modules" / ".bin" / "azurite-blob"
    if not found.exists():
        if not (npm := shutil.which("npm")):
            pytest.skip("npm is not installed: it fetches Azure's emulator")
        where.mkdir(parents=True, exist_ok=True)
        (where / "package.json").write_text(json.dumps(AZURITE), "utf-8")
        install = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock"]
        subprocess.run(install, cwd=where, capture_output=True, check=False)
        if not found.exists():
            pytest.skip("npm did not fetch Azure's emulator")
    return found
