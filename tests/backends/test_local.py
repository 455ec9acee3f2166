"""Projects that write straight into a database and an object store, as their answers say."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.support import answers
from tests.support.databases import Database
from tests.support.little import predicted
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project
from tests.support.stores import Store
from tests.support.tiny import said
from tests.support.training import training_as_answered

# What is answered, and the fixtures that run it.
CHOICES = [
    ("postgresql", "s3", "postgresql"),
    pytest.param("mysql", "azure", "mariadb", marks=weekly),
]


@pytest.mark.parametrize(("backend", "artifacts", "server"), CHOICES)
def test_runs_and_files_go_where_dotenv_says_and_no_secret_stays_behind(
    backend: str,
    artifacts: str,
    server: str,
    installed: Project,
    template: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    database: Database = request.getfixturevalue(server)
    store: Store = request.getfixturevalue(artifacts)
    choice = {"backend_store": backend, "artifact_store": artifacts}
    folder = answers.render(template, tmp_path / "project", choice)
    project = Project(folder, installed.environment)
    uri = database.create("local")
    variables = {
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": store.destination,
        **store.variables,
    }
    lines = [f"{name}='{value}'\n" for name, value in variables.items()]
    project.write(".env", "".join(lines))
    training_as_answered(project)

    results = [
        project.kedro("run"),
        project.kedro("run", "--pipelines", "inference"),
    ]

    client = MlflowClient(uri)
    scored, trained = project.runs(client)
    assert {trained.info.status, scored.info.status} == {"FINISHED"}
    assert str(trained.info.artifact_uri).startswith(store.destination)
    assert client.get_model_version_by_alias(PACKAGE, "champion").run_id == trained.info.run_id
    assert len(predicted(project)) == 2
    assert not (folder / "mlflow.db").exists()
    assert not (folder / "mlartifacts").exists()
    screen = said("".join(result.stdout + result.stderr for result in results))
    assert "CANARY" not in screen
    assert "WARNING" not in screen
    traces = [path for path, content in answers.files(folder).items() if b"CANARY" in content]
    assert traces == [".env"]
