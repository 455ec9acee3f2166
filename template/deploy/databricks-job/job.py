"""Prints a bundle of Databricks with a job that trains: its tasks are one MLflow run.

The project's README has the commands. Tasks write to MLflow with a secret of Databricks: `token`.
"""

import json
import shlex
from pathlib import Path
from subprocess import check_output

import yaml

SCHEDULE, STATUS = "0 0 3 * * ?", "PAUSED"  # UNPAUSED trains every night.
BY = "node"  # What is one task: "node", "namespace" or "memory".
OPTIONS = ""  # Such as "--pipelines training --params model.alpha=2".
RETRIES = {"max_retries": 2, "min_retry_interval_millis": 60_000, "timeout_seconds": 2 * 60 * 60}

NAME = next(Path(__file__).resolve().parents[2].glob("src/*/mlops")).parent.name
VARIABLES = {
    "node_type_id": {"description": "The type of the machine that runs the tasks"},
    "tasks_data": {"description": "A folder of a volume, for what passes between tasks"},
    "secret_scope": {"description": "The secret scope that has the token", "default": NAME},
}
CLUSTER = {
    "spark_version": "16.4.x-scala2.12",
    "node_type_id": "${var.node_type_id}",
    "num_workers": 0,
    "data_security_mode": "SINGLE_USER",
    "spark_conf": {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*]"},
    "custom_tags": {"ResourceClass": "SingleNode"},
    "spark_env_vars": {
        "TASKS_DATA": "${var.tasks_data}",
        "DATABRICKS_HOST": "${workspace.host}",
        "DATABRICKS_TOKEN": "{{secrets/${var.secret_scope}/token}}",
    },
}


def task(name: str, line: str, needs: list[str], **more: str) -> dict[str, object]:
    """Return a task of the job that runs a command of Kedro's."""
    words = ["${workspace.file_path}", "{{job.run_id}}", *shlex.split(line)]
    python = {"python_file": "deploy/databricks-job/task.py", "parameters": words}
    found = {"task_key": name, "depends_on": [{"task_key": each} for each in needs], **RETRIES}
    found |= {"libraries": [{"requirements": "requirements.txt"}], "job_cluster_key": "tasks"}
    return {**found, "spark_python_task": python, **more}


tasks = [task("mlflow-begin", f"kedro mlflow run begin {OPTIONS}", [])]
for each in json.loads(check_output(f"kedro mlflow tasks --json --by {BY} {OPTIONS}".split())):
    tasks.append(task(each["name"], each["command"], each["needs"] or ["mlflow-begin"]))
names = [str(each["task_key"]) for each in tasks]
tasks.append(task("mlflow-end", "kedro mlflow run end", names, run_if="ALL_DONE"))
job = {"name": NAME, "max_concurrent_runs": 1, "tasks": tasks}
job["schedule"] = {"quartz_cron_expression": SCHEDULE, "timezone_id": "UTC", "pause_status": STATUS}
job["job_clusters"] = [{"job_cluster_key": "tasks", "new_cluster": CLUSTER}]
bundle = {"bundle": {"name": NAME}, "variables": VARIABLES, "resources": {"jobs": {NAME: job}}}
print(yaml.safe_dump(bundle, sort_keys=False), end="")
