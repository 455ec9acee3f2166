"""docs/retraining.md: Kedro's own server trains over HTTP, for those who show a token."""

from __future__ import annotations

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.answers import REPOSITORY
from tests.support.machine import free_port
from tests.support.project import PACKAGE, Project, listening

TOKEN = "canary-of-sixteen-letters"
PAGE = (REPOSITORY / "docs/retraining.md").read_text("utf-8")
(CURL,) = re.findall(r"^curl .*", PAGE, re.MULTILINE)


def alpha_of(project: Project, version: str) -> float:
    """The parameter of the estimator that a version has."""
    uri = project.client.get_model_version_download_uri(PACKAGE, version)
    (path,) = Path(uri.removeprefix("file://")).rglob("regressor.skops")
    return float(project.script(f"import skops.io\nprint(skops.io.load({str(path)!r}).alpha)")[-1])


def posted(port: int, content: Any, token: str | None = TOKEN) -> tuple[int, dict[str, Any]]:
    """Send the request that the page shows; its status and what is answered."""
    line = CURL.replace(":8000", f":{port}")
    line = re.sub(r"-d '.*'", "-d \"$BODY\" --silent --write-out '\\\\n%{http_code}'", line)
    env = {"BODY": json.dumps(content), "PATH": "/usr/bin:/bin"}
    env |= {"KEDRO_SERVER_TOKEN": token} if token else {}
    done = subprocess.run(
        ["sh", "-c", line], env=env, capture_output=True, text=True, timeout=200, check=True
    )
    text, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(text)


def test_a_caller_with_the_token_trains_as_kedro_run_does(project: Project) -> None:
    port, (shown,) = free_port(), re.findall(r"-d '(.*)'", CURL)
    command = ("kedro", "server", "start", "--port", str(port))
    url = f"http://127.0.0.1:{port}/health"
    env = {"KEDRO_SERVER_TOKEN": TOKEN}
    project.edit("conf/base/promotion.yml", "auto: false", "auto: true")
    with listening(project, *command, url=url, env=env):
        for token in (None, "x" * 20):
            status, refused = posted(port, {}, token)
            assert (status, [*refused]) == (401, ["detail"])
        assert not (project.folder / "mlflow.db").exists()
        # Several at once: each registers the model that it has fitted.
        with ThreadPoolExecutor() as pool:
            several = pool.map(
                lambda content: posted(port, content),
                (json.loads(shown), {"params": {"model": {"alpha": 7}}}),
            )
            assert {(status, done["status"]) for status, done in several} == {(200, "success")}
        status, failed = posted(port, {"pipeline_names": ["infrence"]})
        assert failed["status"] == "failure"
        assert "inference" in failed["error"]["message"]
    runs = project.runs()
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert sorted(run.data.params["model.alpha"] for run in runs) == ["3.0", "7.0"]
    replayed = {run.data.tags["kedro.command"] for run in runs}
    assert "kedro run --pipelines __default__ --params model.alpha=3" in replayed
    assert TOKEN not in str([run.data for run in runs])
    client = project.client
    versions = client.search_model_versions(f"name='{PACKAGE}'")
    assert {version.run_id for version in versions} == {run.info.run_id for run in runs}
    for version in versions:
        run = client.get_run(str(version.run_id))
        assert alpha_of(project, str(version.version)) == float(run.data.params["model.alpha"])
    # Judged as at the end of any run; the first one had no champion before it.
    assert ["promotion.verdict" in run.data.tags for run in runs] == [True, False]


@pytest.mark.parametrize(
    ("host", "token", "said"),
    [
        ("0.0.0.0", "", "give KEDRO_SERVER_TOKEN in the environment or in .env a value"),
        ("example.com", "short", "of at least 16 characters"),
        ("127.0.0.1", "a b", "KEDRO_SERVER_TOKEN holds a space"),
    ],
)
def test_a_server_that_needs_a_token_does_not_start_without(
    host: str, token: str, said: str, project: Project
) -> None:
    env = {"KEDRO_SERVER_TOKEN": token}
    refused = project.kedro("server", "start", "--host", host, code=1, env=env)
    assert said in " ".join(refused.stderr.split())
