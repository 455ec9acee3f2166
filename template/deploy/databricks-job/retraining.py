"""Prints what job.py prints, and in the same bundle a job that trains if the data have drifted.

It scores, asks `kedro mlflow monitor`, and runs the job that trains if a rule of
conf/base/monitoring.yml is broken.
"""

import sys
from pathlib import Path
from subprocess import check_output
from typing import Any

import yaml

SCHEDULE, STATUS = "0 0 3 * * ?", "PAUSED"  # UNPAUSED looks every night.
SCORE = "kedro run --pipelines inference"

bundle = yaml.safe_load(check_output([sys.executable, Path(__file__).with_name("job.py")]))
((name, training),) = bundle["resources"]["jobs"].items()
python = training["tasks"][0]["spark_python_task"]


def runs(line: str) -> dict[str, Any]:
    """Return a task that runs a command of Kedro's as those of the training do."""
    words = [python["parameters"][0], "-", *line.split()]
    return {**training["tasks"][0], "spark_python_task": {**python, "parameters": words}}


asked = {"op": "EQUAL_TO", "left": "{{tasks.monitor.values.has_drifted}}", "right": "true"}
tasks = {
    "score": runs(SCORE),
    "monitor": runs("kedro mlflow monitor"),
    "has-drifted": {"condition_task": asked},
    "train": {"run_job_task": {"job_id": f"${{resources.jobs.{name}.id}}"}},
}
needs: list[dict[str, str]] = []
for key, task in tasks.items():
    task |= {"task_key": key, "depends_on": needs}
    needs = [{"task_key": key, **({"outcome": "true"} if "condition_task" in task else {})}]
job = {**training, "name": f"{name}_retraining", "tasks": list(tasks.values())}
job["schedule"] = {**training["schedule"], "quartz_cron_expression": SCHEDULE}
job["schedule"]["pause_status"] = STATUS
bundle["resources"]["jobs"][job["name"]] = job
print(yaml.safe_dump(bundle, sort_keys=False), end="")
