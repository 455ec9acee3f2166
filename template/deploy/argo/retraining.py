"""Prints what workflow.py prints, and a schedule that trains if the data have drifted.

It scores, asks `kedro mlflow monitor`, and creates a workflow that trains if a rule of
conf/base/monitoring.yml is broken. Its service account needs the permission to create workflows.
"""

import json
import sys
from pathlib import Path
from subprocess import check_output

import yaml

SCHEDULE, SUSPENDED = "0 3 * * *", True  # False looks every night.
SCORE = "kedro run --pipelines inference"
# It exits with 1 if a rule is broken. What it prints goes elsewhere, as the step's result is asked.
ASK = "sh -c 'kedro mlflow monitor >&2; case $? in 0) echo no;; 1) echo yes;; *) exit 2;; esac'"

workflow = [sys.executable, Path(__file__).with_name("workflow.py"), *sys.argv[1:]]
printed = check_output(workflow, text=True)
template, cron = yaml.safe_load_all(printed)
name, spec = template["metadata"]["name"], template["spec"]
(kedro,) = (each for each in spec["templates"] if each["name"] == "kedro")
steps: list[list[dict[str, object]]] = []
for key, line in {"score": SCORE, "has-drifted": ASK}.items():
    values = [{"name": "line", "value": line}, {"name": "limits", "value": "{}"}]
    steps.append([{"name": key, "template": "kedro", "arguments": {"parameters": values}}])
when = "{{steps.has-drifted.outputs.result}} == yes"
steps.append([{"name": "train", "template": "create", "when": when}])
created = {"apiVersion": template["apiVersion"], "kind": "Workflow"}
created |= {"metadata": {"generateName": f"{name}-"}}
created |= {"spec": {"workflowTemplateRef": {"name": name}}}
create = {"name": "create", "resource": {"action": "create", "manifest": json.dumps(created)}}
cron["metadata"]["name"] = f"{name}-retraining"
cron["spec"] |= {"schedules": [SCHEDULE], "suspend": SUSPENDED}
cron["spec"]["workflowSpec"] = {
    "entrypoint": "retrain",
    "arguments": spec["arguments"],
    "templates": [{"name": "retrain", "steps": steps}, kedro, create],
}
print(f"{printed}---\n{yaml.safe_dump(cron, sort_keys=False)}", end="")
