"""A flow of Prefect 3 that trains: its tasks run the nodes, and all of them are one MLflow run.

Run it in a checkout of the project: once, or with `serve` whenever Prefect says so. Passwords for
MLflow and the data are in the environment or in .env.
"""

import json
import os
import shlex
import sys
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen, check_output
from threading import Timer

from prefect import flow, get_run_logger, runtime, task
from prefect.futures import PrefectFuture, wait
from prefect.task_runners import ThreadPoolTaskRunner

SCHEDULE = {"cron": "0 3 * * *", "paused": True}  # False: every night.
BY = "node"  # What is one task: "node", "namespace" or "memory".
OPTIONS = ""  # Such as "--pipelines training --params model.alpha=2".
AT_ONCE, TIMEOUT = 4, 2 * 60 * 60  # Tasks at the same time; seconds of each.
RETRIES = {"retries": 2, "retry_delay_seconds": 60}
PROJECT = Path(__file__).resolve().parents[2]


@task(task_run_name="{line}", **RETRIES)
def ask(line: str) -> str:
    """Return what a command of Kedro's prints."""
    return check_output(["uv", "run", *shlex.split(line)], cwd=PROJECT, text=True).strip()


@task(task_run_name="{name}", **RETRIES)
def run(name: str, line: str, run_id: str) -> None:
    """Run a command of Kedro's as a part of the MLflow run; Prefect's log has what it says."""
    command, env = ["uv", "run", *shlex.split(line)], {**os.environ, "MLFLOW_RUN_ID": run_id}
    process = Popen(command, cwd=PROJECT, env=env, stdout=PIPE, stderr=STDOUT, text=True)
    (timer := Timer(TIMEOUT, process.terminate)).start()
    for printed in process.stdout or ():
        get_run_logger().info(printed.rstrip())
    timer.cancel()
    if code := process.wait():
        raise RuntimeError(f"{name} has ended with the exit code {code}")


@flow(name=next(PROJECT.glob("src/*/mlops")).parent.name, task_runner=ThreadPoolTaskRunner(AT_ONCE))
def train() -> None:
    """Begin the MLflow run (by its key only once), run the tasks in their order, and end it."""
    tasks = json.loads(ask(f"kedro mlflow tasks --json --by {BY} {OPTIONS}"))
    run_id = ask(f"kedro mlflow run begin --key {runtime.flow_run.id} {OPTIONS}")
    made: dict[str, PrefectFuture[None]] = {}
    for each in tasks:  # Those first that others need.
        needs = [made[name] for name in each["needs"]]
        made[each["name"]] = run.submit(each["name"], each["command"], run_id, wait_for=needs)
    wait(list(made.values()))
    run("mlflow-end", "kedro mlflow run end", run_id)  # It fails if a task has failed.


if __name__ == "__main__":
    train.serve("training", **SCHEDULE) if sys.argv[1:] == ["serve"] else train()
