"""Airflow and Prefect run what is rendered for them; models of Argo and Databricks take it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support import answers
from tests.support.machines import Machines, differing, with_orchestrator
from tests.support.orchestrators import bundle, lines_of, manifests, run_pods
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project
from tests.support.rooms import EXAMPLES
from tests.support.training import training

pytestmark = weekly


def environment(folder: Path, *packages: str) -> Path:
    """The programs of an environment with these packages and nothing of the project."""
    subprocess.run(["uv", "venv", "--quiet", folder], check=True)
    install = ["uv", "pip", "install", "--quiet", "--python", str(folder), *packages]
    subprocess.run(install, check=True)
    return folder / "bin"


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("airflow") / "venv", "apache-airflow==3.3.2")


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("prefect") / "venv", "prefect==3.9.1")


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    packages = ("hera==7.1.0", "databricks-bundles==1.22.1", "pyyaml")
    return environment(tmp_path_factory.mktemp("schemas") / "venv", *packages)


def run(
    command: Sequence[str | Path], project: Project, variables: Mapping[str, str], code: int = 0
) -> str:
    """Run a program of an orchestrator's environment in the project; what it says."""
    env = {**project.variables(), **Machines(project, project.folder).variables, **variables}
    result = subprocess.run(
        command, cwd=project.folder, env=env, capture_output=True, text=True, check=False
    )
    text = result.stdout + result.stderr
    assert result.returncode == code, text
    return text


def run_airflow(programs: Path, project: Project, code: int = 0) -> str:
    """Run the DAG once, without a scheduler."""
    home = project.folder.parent / "airflow"
    variables = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }
    if not home.exists():
        with_orchestrator(project, "airflow")
        project.edit("deploy/airflow/training_dag.py", "minutes=1", "seconds=1")
        (home / "dags").mkdir(parents=True)
        (home / "dags/training_dag.py").symlink_to(
            project.folder / "deploy/airflow/training_dag.py"
        )
        run([programs / "airflow", "db", "migrate"], project, variables)
    return run([programs / "airflow", "dags", "test", PACKAGE], project, variables, code)


def run_prefect(programs: Path, project: Project, code: int = 0) -> str:
    """Run the flow once, with a server of its own."""
    if not (project.folder / "deploy/prefect").exists():
        with_orchestrator(project, "prefect")
        project.edit(
            "deploy/prefect/flow.py", '"retry_delay_seconds": 60', '"retry_delay_seconds": 1'
        )
    variables = {"PREFECT_HOME": str(project.folder.parent / "prefect")}
    variables["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "true"
    return run([programs / "python", "deploy/prefect/flow.py"], project, variables, code)


@pytest.mark.parametrize("name", ["airflow", "prefect"])
def test_an_orchestrators_run_is_that_of_one_process_though_a_task_is_killed(
    name: str, project: Project, request: pytest.FixtureRequest
) -> None:
    runs = {"airflow": run_airflow, "prefect": run_prefect}[name]
    train = partial(runs, request.getfixturevalue(name))
    training(project).kedro("run")
    (alone,) = project.runs()
    project.write("kill-fit", "")
    train(project)
    assert not (project.folder / "kill-fit").exists()
    joined, _ = project.runs()
    assert joined.info.status == "FINISHED"
    assert differing(project, joined.info.run_id, alone.info.run_id) == []
    # A task that fails each time ends the run all the same, and is named.
    project.write("fail-train", "")
    train(project, code=1)
    failed, *_ = project.runs()
    assert failed.info.status == "FAILED"
    assert failed.data.tags["kedro.failure"] == "node 'train': ValueError: as told"
    assert len(project.runs()) == 3


# Reads a manifest as a package's models do; what they do not know, they leave out.
ARGO = """\
import json, sys
from hera.workflows import models
for content in json.load(sys.stdin):
    read = getattr(models, content["kind"]).model_validate(content)
    assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == content
"""
DATABRICKS = """\
import json, sys
from databricks.bundles.jobs import Job
for content in json.load(sys.stdin):
    Job.from_dict(content)
"""


def refused(schemas: Path, source: str, *contents: Any) -> str:
    """What a package's models say against contents; nothing if they take them."""
    command = [str(schemas / "python"), "-c", source]
    given = json.dumps(contents)
    result = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    return result.stderr


def test_the_models_of_argo_and_databricks_take_what_is_printed(
    project: Project, schemas: Path
) -> None:
    template, cron = manifests(training(project))
    assert refused(schemas, ARGO, template, cron) == ""
    template["spec"]["templates"][0]["dag"]["tasks"][1]["dependancies"] = []
    assert "AssertionError" in refused(schemas, ARGO, template)
    with_orchestrator(project, "databricks")
    (job,) = bundle(project)["resources"]["jobs"].values()
    assert refused(schemas, DATABRICKS, job) == ""
    job["tasks"][0]["max_retrys"] = 1
    assert "max_retrys" in refused(schemas, DATABRICKS, job)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs_on_machines_without_a_shared_disk(
    example: str, rendered: Project, template: Path, tmp_path: Path
) -> None:
    folder = answers.render(template, tmp_path / "project", {"example": example})
    project = Project(folder, rendered.environment)
    project.kedro("run")
    machines = Machines(project, tmp_path / "machine" / "project")
    machines.run("kedro", "run")
    lines, needs, end = lines_of(manifests(project)[0])
    begun = run_pods(machines, lines, needs, end)
    newest, alone, _ = project.runs()
    assert (newest.info.run_id, newest.info.status) == (begun, "FINISHED")
    assert differing(project, begun, alone.info.run_id) == []
