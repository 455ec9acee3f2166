"""Airflow, Prefect and Kubeflow run a training; models of Argo and Databricks take theirs."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from signal import SIGTERM
from types import MappingProxyType
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from tests.support import answers
from tests.support.machine import environment, free_port
from tests.support.machines import Machines, differing, with_orchestrator
from tests.support.orchestrators import bundle, lines_of, manifests, run_pods
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project, listening
from tests.support.proxy import Request, proxy_of
from tests.support.rooms import EXAMPLES
from tests.support.tiny import runs
from tests.support.training import training

pytestmark = weekly


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


def in_airflow(programs: Path, project: Project, *command: str, code: int = 0, **more: str) -> str:
    """Run a command of Airflow's, which knows the project's DAGs; what it says."""
    home = project.folder.parent / "airflow"
    variables = {
        **more,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }
    if not home.exists():
        folder = project.folder / "deploy/airflow"
        if not folder.exists():
            with_orchestrator(project, "airflow")
        (home / "dags").mkdir(parents=True)
        for path in folder.glob("*.py"):
            path.write_text(path.read_text("utf-8").replace("minutes=1", "seconds=1"), "utf-8")
            (home / "dags" / path.name).symlink_to(path)
        run([programs / "airflow", "db", "migrate"], project, variables)
    return run([programs / "airflow", *command], project, variables, code)


def run_airflow(
    programs: Path, project: Project, code: int = 0, more: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Run the DAG once, without a scheduler."""
    return in_airflow(programs, project, "dags", "test", PACKAGE, code=code, **more)


def give_flow(project: Project) -> None:
    with_orchestrator(project, "prefect")
    project.edit("deploy/prefect/flow.py", '"retry_delay_seconds": 60', '"retry_delay_seconds": 1')


def run_prefect(
    programs: Path,
    project: Project,
    code: int = 0,
    more: Mapping[str, str] = MappingProxyType({}),
    flow: str = "flow.py",
) -> str:
    """Run a flow once, with a server of its own."""
    if not (project.folder / "deploy/prefect").exists():
        give_flow(project)
    variables = {**more, "PREFECT_HOME": str(project.folder.parent / "prefect")}
    variables["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "true"
    variables["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "120"
    return run([programs / "python", f"deploy/prefect/{flow}"], project, variables, code)


@pytest.mark.parametrize("name", ["airflow", "prefect"])
def test_an_orchestrators_run_is_that_of_one_process_though_a_task_is_killed(
    name: str, project: Project, request: pytest.FixtureRequest
) -> None:
    run_in = {"airflow": run_airflow, "prefect": run_prefect}[name]
    train = partial(run_in, request.getfixturevalue(name))
    training(project).kedro("run")
    (alone,) = project.runs()
    project.write("kill-fit", "")
    train(project)
    assert not (project.folder / "kill-fit").exists()
    joined, _ = project.runs()
    assert joined.info.status == "FINISHED"
    assert differing(project.client, joined.info.run_id, alone.info.run_id) == []
    # A task that fails each time ends the run all the same, and is named.
    project.write("fail-train", "")
    train(project, code=1)
    failed, *_ = project.runs()
    assert failed.info.status == "FAILED"
    assert failed.data.tags["kedro.failure"] == "node 'train': ValueError: as told"
    assert len(project.runs()) == 3


@pytest.fixture(params=["airflow", "prefect"])
def watched(
    request: pytest.FixtureRequest, rendered: Project, template: Path, tmp_path: Path
) -> tuple[str, Path, Project]:
    """An orchestrator, its programs, and a project with monitoring for it, trained once."""
    name = request.param
    given = {"features": "[monitoring]", "orchestrator": name}
    folder = answers.render(template, tmp_path / "project", given)
    project = Project(folder, rendered.environment)
    project.kedro("run")
    return name, request.getfixturevalue(name), project


def test_an_orchestrator_trains_if_the_data_have_drifted(
    watched: tuple[str, Path, Project],
) -> None:
    name, programs, project = watched
    trained = []
    for by in (1, 1.3):
        rows = pd.read_csv(project.folder / "data/01_raw/diabetes.csv").drop(columns="progression")
        rows["bmi"] = (rows["bmi"] * by).round(1)
        rows.to_csv(project.folder / "data/05_model_input/instances.csv", index=False)
        if name == "airflow":
            in_airflow(programs, project, "dags", "test", f"{PACKAGE}_retraining")
            asked = ("dags", "list-runs", PACKAGE, "--output", "json")
            listed = in_airflow(programs, project, *asked)
            trained.append(listed.count("queued"))  # There is no scheduler here that takes it.
        else:
            run_prefect(programs, project, flow="retraining_flow.py")
            trained.append(len(project.client.search_model_versions()) - 1)
    assert trained == [0, 1]
    runs = project.runs()
    assert {each.info.status for each in runs} == {"FINISHED"}
    scored = [each.data.tags["drift"] for each in runs if "drift" in each.data.tags]
    assert len(scored) == 2
    assert scored[0].startswith("bmi psi")
    assert scored[1] == "none"


class Away:
    """Lets nothing through for a while from when `fit` is running."""

    def __init__(self, project: Project) -> None:
        self._files = [project.folder / f"{each}-fit" for each in ("wait", "waiting")]
        self._files[0].touch()
        self._until = 0.0
        self.has_refused = False

    def __call__(self, _: Request) -> int | None:
        if self._files[1].exists():
            self._until = time.monotonic() + 12
            for path in self._files:
                path.unlink()
        if time.monotonic() > self._until:
            return None
        self.has_refused = True
        return 503


@pytest.mark.parametrize("name", ["airflow", "prefect"])
def test_an_orchestrators_run_is_that_of_one_process_though_its_server_is_away(
    name: str, project: Project, server: str, request: pytest.FixtureRequest
) -> None:
    run_in = {"airflow": run_airflow, "prefect": run_prefect}[name]
    made, client, experiment = training(project), MlflowClient(server), f"away from {name}"
    made.edit("conf/base/mlflow.yml", f"name: {PACKAGE}\nmodel", f"name: {experiment}\nmodel")
    made.edit("conf/base/mlflow.yml", "model:\n", "shipping: {deadline: 5}\nmodel:\n")
    made.kedro("run", env={"MLFLOW_TRACKING_URI": server})
    away = Away(made)
    with proxy_of(server, away) as proxy:
        address = {"MLFLOW_TRACKING_URI": proxy.url}
        run_in(request.getfixturevalue(name), made, more=address)
    assert away.has_refused
    joined, alone = runs(client, experiment)
    assert joined.info.status == "FINISHED"
    assert differing(client, joined.info.run_id, alone.info.run_id) == []


def test_two_runs_of_a_flow_at_once_are_two_runs(project: Project, prefect: Path) -> None:
    training(project).kedro("run")
    (alone,) = project.runs()
    give_flow(project)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda _: run_prefect(prefect, project), range(2)))
    *both, _ = project.runs()
    assert [run.info.status for run in both] == ["FINISHED"] * 2
    for run in both:
        assert differing(project.client, run.info.run_id, alone.info.run_id) == []


def test_a_flow_that_is_served_runs_when_prefects_server_says_so(
    project: Project, prefect: Path, tmp_path: Path
) -> None:
    training(project).kedro("run")
    (alone,) = project.runs()
    give_flow(project)
    address = f"http://127.0.0.1:{(port := free_port())}/api"
    variables = {"PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_API_URL": address}
    env = {**project.variables(), **Machines(project, project.folder).variables, **variables}
    server = ("prefect", "server", "start", "--port", str(port))
    with listening(Project(tmp_path, prefect.parent), *server, url=f"{address}/health", env=env):
        flow = [str(prefect / "python"), "deploy/prefect/flow.py", "serve"]
        served = subprocess.Popen(flow, cwd=project.folder, env=env, start_new_session=True)
        try:
            listed = [str(prefect / "prefect"), "deployment", "ls"]
            while "training" not in run(listed, project, variables):
                assert served.poll() is None
            started = ["deployment", "run", "--watch", f"{PACKAGE}/training"]
            run([prefect / "prefect", *started], project, variables)
        finally:
            os.killpg(served.pid, SIGTERM)
            served.wait(timeout=60)
    joined, _ = project.runs()
    assert joined.info.status == "FINISHED"
    assert differing(project.client, joined.info.run_id, alone.info.run_id) == []


# Kubeflow's runner for pipelines on this machine knows no retries.
LOCALLY = """
from kfp import local
local.init(runner=local.SubprocessRunner(use_venv=False))
training()
"""


def test_kubeflow_runs_the_pipeline_that_the_page_shows(project: Project, tmp_path: Path) -> None:
    programs = environment(tmp_path / "venv", "kfp==2.17.0", "pip")
    page = (answers.REPOSITORY / "docs" / "run-anywhere.md").read_text("utf-8")
    (code,) = (each for each in page.split("```")[1::2] if "from kfp import dsl" in each)
    training(project).kedro("run")
    (alone,) = project.runs()
    project.write("kubeflow.py", code.removeprefix("python\n") + LOCALLY)
    run([programs / "python", "kubeflow.py"], project, {})
    joined, _ = project.runs()
    assert joined.info.status == "FINISHED"
    assert differing(project.client, joined.info.run_id, alone.info.run_id) == []
    project.write("fail-train", "")
    run([programs / "python", "kubeflow.py"], project, {}, code=1)
    failed, *_ = project.runs()
    assert failed.info.status == "FAILED"


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
    assert refused(schemas, ARGO, template, cron, *manifests(project, "retraining")) == ""
    template["spec"]["templates"][0]["dag"]["tasks"][1]["dependancies"] = []
    assert "AssertionError" in refused(schemas, ARGO, template)
    with_orchestrator(project, "databricks")
    job, retraining = bundle(project, "retraining")["resources"]["jobs"].values()
    assert refused(schemas, DATABRICKS, job, retraining) == ""
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
    assert differing(project.client, begun, alone.info.run_id) == []
