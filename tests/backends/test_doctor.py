"""`kedro mlflow doctor` on a database and an object store that a project opens itself."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from signal import SIGCONT, SIGSTOP

import pytest
from mlflow import MlflowClient

from tests.support.databases import PASSWORD, MariaDB, PostgreSQL
from tests.support.profiles import IS_WEEKLY
from tests.support.project import Project
from tests.support.stores import Store


@pytest.fixture(scope="module")
def runs(postgresql: PostgreSQL, tables: str) -> str:
    """A database with MLflow's tables, an experiment, and nothing else."""
    uri = postgresql.create("doctor", tables)
    MlflowClient(uri).search_experiments()
    return uri


def examine(
    project: Project, env: Mapping[str, str], *, code: int = 0
) -> dict[str, tuple[str, str]]:
    """What the doctor finds: by check, its status and its words."""
    result = project.kedro("mlflow", "doctor", "--json", code=code, env=env)
    assert "CANARY" not in result.stdout + result.stderr
    return {
        check["name"]: (check["status"], f"{check['message']} -> {check['remedy']}")
        for check in json.loads(result.stdout)["checks"]
    }


def test_a_database_is_named_and_left_as_it_was(project: Project, runs: str) -> None:
    findings = examine(project, {"MLFLOW_TRACKING_URI": runs})
    assert {status for status, _ in findings.values()} == {"ok"}
    assert "PostgreSQL at 127.0.0.1" in findings["database"][1]
    client = MlflowClient(runs)
    assert [experiment.name for experiment in client.search_experiments()] == ["Default"]
    assert not client.search_registered_models()


def test_a_wrong_password_and_a_missing_database_are_told_apart(
    project: Project, postgresql: PostgreSQL
) -> None:
    wrong = {"MLFLOW_TRACKING_URI": postgresql.uri("doctor", "CANARY-wrong")}
    findings = examine(project, wrong, code=1)
    assert "password authentication failed" in findings["database"][1]
    assert "Correct user and password" in findings["database"][1]
    assert findings["experiment"] == ("skipped", "needs database -> ")
    screen = project.kedro("mlflow", "ui", code=1, env=wrong).stderr
    assert "the database does not open" in screen
    assert "kedro mlflow doctor" in screen
    assert "CANARY" not in screen
    missing = {"MLFLOW_TRACKING_URI": postgresql.uri("nowhere")}
    assert "Create the database" in examine(project, missing, code=1)["database"][1]


def test_a_database_that_does_not_answer_is_not_waited_for(
    project: Project, postgresql: PostgreSQL, runs: str
) -> None:
    os.killpg(postgresql.service.group, SIGSTOP)
    try:
        findings = examine(project, {"MLFLOW_TRACKING_URI": runs}, code=1)
    finally:
        os.killpg(postgresql.service.group, SIGCONT)
    assert "timeout" in findings["database"][1]


def test_old_tables_are_migrated_by_the_command_that_is_given(
    project: Project, postgresql: PostgreSQL, aged: str
) -> None:
    uri = postgresql.create("old", aged)
    project.write(".env", f"MLFLOW_TRACKING_URI={uri}\n")
    status, words = examine(project, {}, code=1)["tables"]
    assert status == "failed"
    remedy = words.partition("then run: ")[2]
    assert PASSWORD not in remedy
    if IS_WEEKLY:
        uses = {"UV_PROJECT_ENVIRONMENT": str(project.environment), "UV_NO_SYNC": "1"}
        variables = project.variables(uses)
        subprocess.run(remedy, shell=True, cwd=project.folder, env=variables, check=True)
    else:  # What uv and the shell would run, in a fork.
        assert remedy == "uv run --env-file .env sh -c 'mlflow db upgrade \"$MLFLOW_TRACKING_URI\"'"
        project.forked("mlflow", "db", "upgrade", uri)
    assert examine(project, {})["tables"][0] == "ok"


def test_a_store_must_open_with_the_keys_that_are_given(
    project: Project, runs: str, s3: Store
) -> None:
    location = f"{s3.destination}/doctor"
    project.edit(
        "conf/base/mlflow.yml", "artifact_location: null", f"artifact_location: {location}"
    )
    variables = {**s3.variables, "MLFLOW_TRACKING_URI": runs}
    findings = examine(project, variables)
    assert "s3://mlflow: written, listed, read and compared" in findings["artifacts"][1]
    assert not [*s3.folder.rglob("*doctor*.txt")]
    wrong = variables | {"AWS_SECRET_ACCESS_KEY": "CANARY-wrong"}
    status, words = examine(project, wrong, code=1)["artifacts"]
    assert status == "failed"
    assert "s3://mlflow does not take files" in words
    assert ".env.example" in words
    half = {name: value for name, value in variables.items() if name != "AWS_ACCESS_KEY_ID"}
    findings = examine(project, half, code=1)
    assert findings["variables"][1].startswith("AWS_ACCESS_KEY_ID not set")


def test_a_database_that_takes_two_metrics_for_one_is_warned_of(
    project: Project, mariadb: MariaDB
) -> None:
    blurred = mariadb.create("blurred", "utf8mb4_general_ci")
    status, words = examine(project, {"MLFLOW_TRACKING_URI": blurred})["database"]
    assert status == "warning"
    assert "loss and Loss" in words
    assert "collate utf8mb4_bin" in words
