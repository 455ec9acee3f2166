"""Prints a template of Argo Workflows that trains, and its schedule: the pods are one MLflow run.

Give it the image, which the Dockerfile beside this file builds: the project's README has the line.
"""

import json
import sys
from pathlib import Path
from subprocess import check_output

import yaml

SCHEDULE, SUSPENDED = "0 3 * * *", True  # False trains every night.
BY = "node"  # What is one task: "node", "namespace" or "memory".
OPTIONS = ""  # Such as "--pipelines training --params model.alpha=2".
TASKS_DATA = "s3://bucket/tasks"  # What passes between pods: a store that all of them reach.
RETRIES = {"limit": 2, "retryPolicy": "Always", "backoff": {"duration": "60", "factor": 2}}
TIMEOUT = 2 * 60 * 60  # Of one pod, in seconds.

PROJECT = Path(__file__).resolve().parents[2]
NAME = next(PROJECT.glob("src/*/mlops")).parent.name.lower().replace("_", "-").strip("-")
POD = {
    "image": "{{workflow.parameters.image}}",
    "command": ["sh", "-c", "exec {{inputs.parameters.line}}"],
    "env": [{"name": "TASKS_DATA", "value": "{{workflow.parameters.tasks-data}}"}],
    "envFrom": [{"secretRef": {"name": NAME}}],
}
LIMITS = '{"containers": [{"name": "main", "resources": {"limits": {{inputs.parameters.limits}}}}]}'


def step(name: str, line: str, limits: str = "{}", **more: list[str]) -> dict[str, object]:
    """Return a step that runs a line for a shell in a pod."""
    arguments = [{"name": "line", "value": line}, {"name": "limits", "value": limits}]
    return {"name": name, "template": "kedro", "arguments": {"parameters": arguments}, **more}


begin, end = (f"kedro mlflow run {each} --key {{{{workflow.uid}}}}" for each in ("begin", "end"))
names, steps = {"": "mlflow-begin"}, [step("mlflow-begin", f"{begin} {OPTIONS}")]
for task in json.loads(check_output(f"kedro mlflow tasks --json --by {BY} {OPTIONS}".split())):
    name = task["name"].lower().replace("_", "-")
    while name in names.values():
        name += "-2"
    names[task["name"]] = name
    line = f"env MLFLOW_RUN_ID={{{{tasks.mlflow-begin.outputs.result}}}} {task['command']}"
    limits = json.dumps(task["resources"]).replace('"gpu"', '"nvidia.com/gpu"')
    needs = [names[each] for each in task["needs"] or [""]]  # Those first that others need.
    steps.append(step(name, line, limits, dependencies=needs))
inputs = {"inputs": {"parameters": [{"name": "line"}, {"name": "limits"}]}, "container": POD}
limits = {"retryStrategy": RETRIES, "activeDeadlineSeconds": TIMEOUT, "podSpecPatch": LIMITS}
templates = [{"name": "train", "dag": {"tasks": steps}}, {"name": "kedro", **inputs, **limits}]
templates += [{"name": "end", "steps": [[step("mlflow-end", end)]]}]  # Whatever has failed.
values = [{"name": "image", "value": sys.argv[1]}, {"name": "tasks-data", "value": TASKS_DATA}]
train = {"entrypoint": "train", "onExit": "end", "templates": templates}
train["arguments"] = {"parameters": values}
cron = {"schedules": [SCHEDULE], "suspend": SUSPENDED, "concurrencyPolicy": "Forbid"}
cron["workflowSpec"] = {"workflowTemplateRef": {"name": NAME}}
for kind, spec in {"WorkflowTemplate": train, "CronWorkflow": cron}.items():
    head = {"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": {"name": NAME}}
    print(f"---\n{yaml.safe_dump({**head, 'spec': spec}, sort_keys=False)}", end="")
