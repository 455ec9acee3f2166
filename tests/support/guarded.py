"""A tracking server that asks who you are: MLflow's own, with its basic auth."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.support.machine import free_port
from tests.support.project import Project, listening
from tests.support.proxy import basic

PASSWORD = "CANARY-pass-phrase"


class GuardedServer:
    """A running tracking server.

    Attributes:
        url: where it answers.
        files: the folder that it keeps files in.
    """

    def __init__(self, url: str, files: Path) -> None:
        self.url = url
        self.files = files
        self._users = {"admin"}

    def login(self, user: str = "admin", password: str = PASSWORD) -> dict[str, str]:
        """The variables of somebody who tracks on it."""
        if user not in self._users:
            self.call("POST", "2.0/mlflow/users/create", username=user, password=PASSWORD)
            self._users.add(user)
        return {
            "MLFLOW_TRACKING_URI": self.url,
            "MLFLOW_TRACKING_USERNAME": user,
            "MLFLOW_TRACKING_PASSWORD": password,
        }

    def grant(self, user: str, permission: str, kind: str, resource: str) -> None:
        """Give somebody a permission on an experiment's id or a registered model's name."""
        self.login(user)
        self.call(
            "POST",
            "3.0/mlflow/users/permissions/grant",
            username=user,
            permission=permission,
            resource_type=kind,
            resource_id=resource,
            resource_pattern=resource,
        )

    def create_experiment(self, name: str) -> str:
        """Create an experiment that belongs to the admin."""
        created = self.call("POST", "2.0/mlflow/experiments/create", name=name)
        return str(created["experiment_id"])

    def create_model(self, name: str) -> None:
        """Create a registered model that belongs to the admin."""
        self.call("POST", "2.0/mlflow/registered-models/create", name=name)

    def contents(self) -> dict[str, Any]:
        """All that is on it: experiments with their tags, runs, registered models, files."""
        found = self.call(
            "POST", "2.0/mlflow/experiments/search", max_results=1000, view_type="ALL"
        )["experiments"]
        ids = [experiment["experiment_id"] for experiment in found]
        return {
            "experiments": {e["name"]: (e["lifecycle_stage"], e.get("tags")) for e in found},
            "runs": self.call(
                "POST", "2.0/mlflow/runs/search", experiment_ids=ids, run_view_type="ALL"
            ),
            "models": self.call("GET", "2.0/mlflow/registered-models/search?max_results=1000"),
            # An experiment's own folder comes with its first file.
            "files": sorted(str(path) for path in self.files.glob("*/**/*")),
        }

    def call(self, method: str, path: str, **content: Any) -> Any:
        """Call the server as its admin."""
        request = urllib.request.Request(
            f"{self.url}/api/{path}",
            json.dumps(content).encode() if method != "GET" else None,
            {"Authorization": basic("admin", PASSWORD), "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read() or b"{}")


@contextmanager
def guarded_server(rendered: Project, folder: Path) -> Iterator[GuardedServer]:
    """Run it in a folder of its own, with what a project's environment lacks for users."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    files = folder / "artifacts"
    (folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\nadmin_username = admin\n"
        # A password is hashed at length: once a user is enough here.
        f"database_uri = sqlite:///{folder}/users.db\nauth_cache_ttl_seconds = 600\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    for name in ("flask_wtf", "wtforms"):
        spec = find_spec(name)
        assert spec
        assert spec.origin
        (folder / name).symlink_to(Path(spec.origin).parent)
    with listening(
        Project(folder, rendered.environment),
        *("mlflow", "server", "--app-name", "basic-auth", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder}/server.db"),
        *("--artifacts-destination", str(files)),
        url=f"{url}/health",
        env={
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "CANARY-secret-key",
            "PYTHONPATH": str(folder),
        },
        forked=True,
    ):
        yield GuardedServer(url, files)
