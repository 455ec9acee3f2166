"""What is rendered for an orchestrator: its tasks, run here, make the run of one process."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import answers
from tests.support.answers import Render
from tests.support.machines import FOLDERS, Machines, differing, with_orchestrator
from tests.support.orchestrators import IMAGE, bundle, lines_of, manifests, run_pods
from tests.support.profiles import IS_WEEKLY, weekly
from tests.support.project import PACKAGE, Project
from tests.support.training import training


@pytest.fixture
def machines(project: Project, tmp_path: Path) -> Machines:
    """A training on machines without a shared disk; MLflow has the run of one process."""
    training(project).kedro("run")  # Now MLflow keeps artifacts in this folder.
    found = Machines(project, tmp_path / "machine" / "project")
    found.run("kedro", "run")
    return found


def joined(machines: Machines, run: str) -> list[str]:
    """How a run of tasks differs from that of one process, which MLflow has got before."""
    newest, alone, _ = machines.project.runs()
    assert newest.info.run_id == run
    assert newest.info.status == "FINISHED"
    return differing(machines.project.client, run, alone.info.run_id)


# --- what is rendered ---


@pytest.mark.parametrize("orchestrator", answers.choices(answers.questions()["orchestrator"]))
@pytest.mark.parametrize("features", ["[]", "[monitoring]"])
def test_an_orchestrator_gets_its_own_few_lines_and_no_other(
    features: str, orchestrator: str, render: Render
) -> None:
    project = render(
        **answers.coherent({"orchestrator": orchestrator, "serving_target": "none"}),
        features=features,
    )
    rendered = {path.name for path in (project / "deploy").glob("*")}
    assert rendered == {FOLDERS[orchestrator]} if orchestrator in FOLDERS else not rendered
    again = list((project / "deploy").glob("*/retraining*.py"))
    assert len(again) == (1 if rendered and features != "[]" else 0)
    if again:
        assert again[0].name in (project / "README.md").read_text("utf-8")
    for path in (project / "deploy").rglob("*"):
        assert path.is_dir() or len(path.read_text("utf-8").splitlines()) <= 60, path.name
        if path.suffix == ".py":
            imported = re.findall(r"^(?:from|import) (\w+)", path.read_text("utf-8"), re.MULTILINE)
            assert PACKAGE not in imported
            ast.parse(path.read_text("utf-8"))


# --- Argo Workflows ---


def test_the_pods_of_argo_make_the_run_of_one_process(machines: Machines) -> None:
    template, cron = manifests(machines.project)
    lines, needs, end = lines_of(template)
    assert joined(machines, run_pods(machines, lines, needs, end)) == []
    assert cron["spec"]["suspend"] is True
    pod = template["spec"]["templates"][1]
    assert pod["container"]["command"] == ["sh", "-c", "exec {{inputs.parameters.line}}"]
    assert pod["container"]["envFrom"] == [{"secretRef": {"name": "diabetes-progression"}}]
    assert [each["name"] for each in pod["container"]["env"]] == ["TASKS_DATA"]
    assert pod["retryStrategy"]["retryPolicy"] == "Always"
    assert template["spec"]["arguments"]["parameters"][0] == {"name": "image", "value": IMAGE}


NODES = """\
from kedro.pipeline import Pipeline, node

def create_pipeline():
    return Pipeline([
        node(len, "patients", "one", name="Fit_it", tags=["cpu-2", "memory-4Gi", "gpu-1"]),
        node(len, "one", "two", name="fit_it"),
        node(len, "two", "three", name="mlflow.begin"),
        node(len, "three", "four"),
    ])
"""


def test_argo_takes_the_names_and_resources_of_any_nodes(project: Project) -> None:
    training(project).write(f"src/{PACKAGE}/pipelines/training/pipeline.py", NODES)
    template, _ = manifests(project)
    steps = template["spec"]["templates"][0]["dag"]["tasks"]
    names = [step["name"] for step in steps]
    assert names[:4] == ["mlflow-begin", "fit-it", "fit-it-2", "mlflow-begin-2"]
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name) for name in names)
    assert [step.get("dependencies") for step in steps] == [None, *([name] for name in names[:-1])]
    limits = [json.loads(step["arguments"]["parameters"][1]["value"]) for step in steps]
    assert limits[1] == {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "1"}
    assert limits[2] == {}


def test_the_pods_of_argo_train_if_the_data_have_drifted(project: Project) -> None:
    *workflow, cron = manifests(training(project), "retraining")
    assert tuple(workflow) == manifests(project)
    assert (cron["kind"], cron["spec"]["suspend"]) == ("CronWorkflow", True)
    assert cron["metadata"]["name"] == f"{workflow[1]['metadata']['name']}-retraining"
    retrain, kedro, create = cron["spec"]["workflowSpec"]["templates"]
    assert kedro in workflow[0]["spec"]["templates"]
    (score,), (asked,), (train,) = retrain["steps"]
    line = score["arguments"]["parameters"][0]["value"]
    assert line == "kedro run --pipelines inference"
    # What the condition compares is what the line prints, whatever the command has printed.
    assert train["when"] == "{{steps.has-drifted.outputs.result}} == yes"
    line = asked["arguments"]["parameters"][0]["value"]
    assert {code: printed_by(line, project, code) for code in (0, 1, 2)} == {
        **{0: (0, "no\n"), 1: (0, "yes\n"), 2: (2, "")}
    }
    created = json.loads(create["resource"]["manifest"])
    name = created["spec"]["workflowTemplateRef"]["name"]
    assert (train["template"], name) == ("create", workflow[0]["metadata"]["name"])


def printed_by(line: str, project: Project, code: int) -> tuple[int, str]:
    """What a line for a shell prints, and its exit code, where the command ends with a code."""
    programs = project.folder / "programs"
    programs.mkdir(exist_ok=True)
    for name in ("kedro", "uv"):
        (programs / name).write_text(f"#!/bin/sh\necho 'Run 1'\nexit {code}\n")
        (programs / name).chmod(0o755)
    command = ["sh", "-c", f"exec {line}" if line.startswith("sh ") else line]
    env = {"PATH": f"{programs}:/usr/bin:/bin"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


# --- Databricks ---

STATE = """\
state: {type: json.JSONDataset, filepath: "${oc.env:TASKS_DATA}/${oc.env:MLFLOW_RUN_ID,local}.json"}
"""


@weekly
def test_the_tasks_of_a_databricks_job_make_the_run_of_one_process(machines: Machines) -> None:
    project = machines.project
    folder = with_orchestrator(project, "databricks")
    if not IS_WEEKLY:  # One task has all nodes then, as they pass something in memory.
        path = folder.relative_to(project.folder) / "job.py"
        project.edit(str(path), 'BY = "node"', 'BY = "memory"')
        project.write("conf/tasks/catalog.yml", STATE)
    (job,) = bundle(project)["resources"]["jobs"].values()
    done: set[str] = set()
    for task in job["tasks"]:
        assert done >= {each["task_key"] for each in task["depends_on"]}
        done.add(task["task_key"])
        runs = task["spark_python_task"]
        place, key, *command = runs["parameters"]
        assert (place, key) == ("${workspace.file_path}", "{{job.run_id}}")
        machines.run("python", runs["python_file"], str(machines.disk), "42", *command)
    assert len(done) == (8 if IS_WEEKLY else 3)
    begun = Path(machines.variables["TASKS_DATA"], "42.run").read_text("utf-8")
    # The path of an input is that of the copy which a task has worked in.
    assert [line for line in joined(machines, begun) if not line.startswith("/record/inputs")] == []
    assert job["tasks"][-1]["run_if"] == "ALL_DONE"
    assert {each["task_key"] for each in job["tasks"][-1]["depends_on"]} == done - {"mlflow-end"}
    assert job["schedule"]["pause_status"] == "PAUSED"
    (cluster,) = (each["new_cluster"] for each in job["job_clusters"])
    assert cluster["spark_env_vars"]["DATABRICKS_TOKEN"] == "{{secrets/${var.secret_scope}/token}}"


# The part of Databricks' runtime that a task reports by.
RUNTIME = """\
class dbutils:
    class jobs:
        class taskValues:
            @staticmethod
            def set(key, value):
                print(f"{key}={value}")
"""
KEDRO = """\
import os, sys
print(sys.argv, "MLFLOW_RUN_ID" in os.environ, flush=True)
code = int(os.environ["CODE"])
sys.exit(code) if code >= 0 else os.kill(os.getpid(), -code)
"""


def test_the_tasks_of_databricks_train_if_the_data_have_drifted(
    project: Project, tmp_path: Path
) -> None:
    trains, retrains = bundle(training(project), "retraining")["resources"]["jobs"].values()
    assert [trains] == [*bundle(project)["resources"]["jobs"].values()]
    assert retrains["name"] == f"{trains['name']}_retraining"
    assert retrains["schedule"]["pause_status"] == "PAUSED"
    score, monitor, drifted, train = retrains["tasks"]
    left = drifted["condition_task"]["left"]
    assert (left, drifted["condition_task"]["right"]) == (
        "{{tasks.monitor.values.has_drifted}}",
        "true",
    )
    assert train["depends_on"] == [{"task_key": "has-drifted", "outcome": "true"}]
    assert train["run_job_task"] == {"job_id": f"${{resources.jobs.{PACKAGE}.id}}"}
    assert drifted["depends_on"] == [{"task_key": "monitor"}]
    assert monitor["depends_on"] == [{"task_key": "score"}]
    # A task of it is part of no run, and the monitor's exit code is what it reports.
    for path, source in {"kedro/__main__.py": KEDRO, "databricks/sdk/runtime.py": RUNTIME}.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(source, "utf-8")
        for package in (tmp_path / path).relative_to(tmp_path).parents[:-1]:
            (tmp_path / package / "__init__.py").touch()
    said = {}
    codes = [(score, 0), (score, 1), *((monitor, code) for code in (0, 1, 2, -9))]
    for task, code in codes:
        _, *words = task["spark_python_task"]["parameters"]
        command = [sys.executable, "deploy/databricks-job/task.py", str(tmp_path), *words]
        env = {"PYTHONPATH": str(tmp_path), "CODE": str(code), "TASKS_DATA": str(tmp_path)}
        done = subprocess.run(
            command, cwd=project.folder, env=env, capture_output=True, text=True, check=False
        )
        assert done.stdout.splitlines()[0].endswith(" False")
        reported = re.findall("has_drifted=(.*)", done.stdout)
        said[words[-1], code] = (done.returncode, *reported)
    assert said == {
        ("inference", 0): (0,),
        ("inference", 1): (1,),
        ("monitor", 0): (0, "False"),
        ("monitor", 1): (0, "True"),
        ("monitor", 2): (1,),
        ("monitor", -9): (1,),  # A machine without memory has killed it.
    }


# --- Airflow ---

# What of Airflow the file of the DAG uses, and nothing of it is real but the names.
STAND_IN = {
    "airflow/sdk.py": """\
class DAG:
    def __init__(self, dag_id, **options):
        DAG.options = {"dag_id": dag_id, **options}
    def __enter__(self):
        return self
    def __exit__(self, *_):
        pass
""",
    "airflow/providers/standard/operators/bash.py": """\
class BashOperator:
    made = []
    def __init__(self, *, task_id, bash_command, env):
        self.says = {"id": task_id, "line": bash_command, "env": env, "needs": [], "teardown": {}}
        BashOperator.made.append(self)
    def __rshift__(self, other):
        other.says["needs"].append(self.says["id"])
        return other
    def __rrshift__(self, others):
        for other in others:
            other >> self
        return self
    def as_teardown(self, *, setups, **options):
        setups >> self
        self.says["teardown"] = options
""",
}
PARSED = """\
import json, runpy, sys
sys.path.insert(0, "stand_in")
runpy.run_path("deploy/airflow/training_dag.py")
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
print(json.dumps([DAG.options, [each.says for each in BashOperator.made]], default=str))
"""


def parsed(project: Project, **env: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The options of the DAG and its tasks by their ids, as Airflow would read the file."""
    for path, source in STAND_IN.items():
        (project.folder / "stand_in" / path).parent.mkdir(parents=True, exist_ok=True)
        project.write(f"stand_in/{path}", source)
    variables = {**Machines(project, project.folder).variables, **env}
    options, tasks = json.loads(project.script(PARSED, variables)[-1])
    return options, {task["id"]: task for task in tasks}


@weekly
def test_the_tasks_of_airflow_make_the_run_of_one_process(machines: Machines) -> None:
    project = machines.project
    with_orchestrator(project, "airflow")
    options, tasks = parsed(project)
    assert (options["dag_id"], options["schedule"]) == (PACKAGE, None)
    assert options["default_args"] == {
        **{"cwd": str(project.folder), "append_env": True},
        **{"retries": 2, "retry_delay": "0:01:00", "execution_timeout": "2:00:00"},
    }
    begin, end = tasks.pop("mlflow-begin"), tasks.pop("mlflow-end")
    assert begin["env"] == {"DAG_RUN": "{{dag.dag_id}}/{{run_id}}"}
    assert (end["needs"][-1], end["teardown"]) == ("mlflow-begin", {"on_failure_fail_dagrun": True})
    assert set(end["needs"]) == {*tasks, "mlflow-begin"}
    # Once more, Airflow reads the file: it is not slow, as Kedro is asked only after a change.
    assert parsed(project, PATH="/usr/bin:/bin")[1].keys() == {*tasks, "mlflow-begin", "mlflow-end"}

    environment = {**project.variables(), **machines.variables, "DAG_RUN": "it's; the first"}
    command = ["bash", "-c", begin["line"]]
    result = subprocess.run(
        command, cwd=project.folder, env=environment, capture_output=True, text=True, check=True
    )
    run = result.stdout.splitlines()[-1]  # As Airflow takes it.
    done = {"mlflow-begin"}
    for task in [*tasks.values(), end]:
        assert done >= set(task["needs"])
        assert task["env"] == {"MLFLOW_RUN_ID": "{{ti.xcom_pull('mlflow-begin')}}"}
        uv, verb, *line = shlex.split(task["line"])
        assert (uv, verb) == ("uv", "run")
        machines.run(*line, env={"MLFLOW_RUN_ID": run})
        done.add(task["id"])
    assert joined(machines, run) == []

    more = '        node(len, "rows", "length", name="count"),\n    ])'
    project.edit(f"src/{PACKAGE}/pipelines/training/pipeline.py", "    ])", more)
    assert parsed(project)[1].keys() - tasks.keys() == {"count", "mlflow-begin", "mlflow-end"}
