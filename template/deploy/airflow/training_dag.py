"""A DAG of Airflow 3 that trains: its tasks run the nodes, and all of them are one MLflow run.

Airflow and its workers find this file in a checkout of the project, at the same path. What MLflow
and the data need, passwords for example, is in the workers' environment or in the checkout's .env.
"""

import hashlib
import json
import os
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

SCHEDULE = None  # "0 3 * * *" trains every night.
BY = "node"  # What is one task: "node", "namespace" or "memory".
OPTIONS = ""  # Such as "--pipelines training --params model.alpha=2".
RETRIES = {"retries": 2, "retry_delay": timedelta(minutes=1)}
TIMEOUT = timedelta(hours=2)  # Of one task.

PROJECT = Path(__file__).resolve().parents[2]


def list_tasks() -> list[dict[str, Any]]:
    """Ask Kedro, and only where a file has changed since: Airflow reads this file all the time."""
    files = [each for kind in ("src/**/*.py", "conf/**/*.y*ml") for each in PROJECT.glob(kind)]
    state = repr([BY, OPTIONS, sorted((str(path), path.stat().st_mtime_ns) for path in files)])
    digest = hashlib.sha256(state.encode()).hexdigest()
    kept = PROJECT / ".kedro_mlflow" / "dag.json"
    known = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    if known.get("digest") != digest:
        command = f"uv run kedro mlflow tasks --json --by {BY} {OPTIONS}".split()
        listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
        if listed.returncode:
            raise RuntimeError(listed.stderr)
        known = {"digest": digest, "tasks": json.loads(listed.stdout)}
        kept.parent.mkdir(exist_ok=True)
        written = kept.with_suffix(f".{os.getpid()}")  # Others may be reading it.
        written.write_text(json.dumps(known), "utf-8")
        written.replace(kept)
    return known["tasks"]


of_each = {"cwd": str(PROJECT), "append_env": True, "execution_timeout": TIMEOUT, **RETRIES}
name = next(PROJECT.glob("src/*/mlops")).parent.name
with DAG(name, schedule=SCHEDULE, max_active_runs=1, default_args=of_each) as dag:
    key = {"DAG_RUN": "{{dag.dag_id}}/{{run_id}}"}  # Begun twice by it, it is one run.
    run = {"MLFLOW_RUN_ID": "{{ti.xcom_pull('mlflow-begin')}}"}  # The last line of its output.
    line = f'id=$(uv run kedro mlflow run begin --key "$DAG_RUN" {OPTIONS}) && echo "$id"'
    begin = BashOperator(task_id="mlflow-begin", bash_command=line, env=key)
    end = BashOperator(task_id="mlflow-end", bash_command="uv run kedro mlflow run end", env=run)
    tasks: dict[str, BashOperator] = {}
    for task in list_tasks():  # Those first that others need.
        line = f"uv run {task['command']}"
        tasks[task["name"]] = BashOperator(task_id=task["name"], bash_command=line, env=run)
        ([tasks[name] for name in task["needs"]] or begin) >> tasks[task["name"]] >> end
    end.as_teardown(setups=begin, on_failure_fail_dagrun=True)  # It runs whatever has failed.
