"""What the programs that are rendered for Argo and Databricks print, and how pods run it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from tests.support.machines import FOLDERS, Machines, with_orchestrator
from tests.support.project import Project

IMAGE = "registry.example.com/team/training:1"
TASKS = "mlflow tasks --json --by node"
TELLS = f"""#!/bin/sh
[ "$*" = "{TASKS}" ] && exec cat {{asked}}/tasks
exec {{kedro}} "$@"
"""


def manifests(project: Project, program: str = "workflow") -> tuple[dict[str, Any], ...]:
    """The WorkflowTemplate and the CronWorkflows that a program prints."""
    return tuple(yaml.safe_load_all(_printed(project, "argo", f"{program}.py", IMAGE)))


def _printed(project: Project, orchestrator: str, program: str, *arguments: str) -> str:
    """What a program prints that is rendered for an orchestrator."""
    folder = project.folder / "deploy" / FOLDERS[orchestrator]
    if not folder.exists():
        with_orchestrator(project, orchestrator)
    env = Machines(project, project.folder).variables
    # What it asks Kedro: a fork has that in a second, and a program of Kedro's name tells it.
    (asked := project.folder / "asked").mkdir(exist_ok=True)
    (asked / "tasks").write_text(project.kedro(*TASKS.split(), env=env).stdout, "utf-8")
    (asked / "kedro").write_text(
        TELLS.format(asked=asked, kedro=shutil.which("kedro", path=env["PATH"]))
    )
    (asked / "kedro").chmod(0o755)
    env["PATH"] = f"{asked}{os.pathsep}{env['PATH']}"
    process = project.fork("python", str(folder / program), *arguments, env=env)
    out, err = process.communicate()
    assert process.poll() == 0, err
    return out


def lines_of(template: dict[str, Any]) -> tuple[dict[str, str], dict[str, list[str]], str]:
    """The lines of a template's steps by their names, what each depends on, and the last line."""
    train, kedro, end = template["spec"]["templates"]
    steps = train["dag"]["tasks"]
    lines = {}
    for step in [*steps, *end["steps"][0]]:
        assert step["template"] == kedro["name"]
        line, limits = step["arguments"]["parameters"]
        assert (line["name"], limits["name"]) == ("line", "limits")
        lines[step["name"]] = line["value"]
    return (
        lines,
        {step["name"]: step.get("dependencies", []) for step in steps},
        lines.pop("mlflow-end"),
    )


def bundle(project: Project, program: str = "job") -> dict[str, Any]:
    """The bundle that a program prints."""
    content: dict[str, Any] = yaml.safe_load(_printed(project, "databricks", f"{program}.py"))
    return content


def run_pods(
    machines: Machines, lines: Mapping[str, str], needs: Mapping[str, Sequence[str]], end: str
) -> str:
    """Run the lines of a workflow in their order, each on a machine; the id of the MLflow run."""
    done: dict[str, str] = {}
    for name, line in lines.items():
        assert done.keys() >= set(needs[name])
        assert needs[name] or name == "mlflow-begin"
        begun = done.get("mlflow-begin", "")
        filled = line.replace("{{tasks.mlflow-begin.outputs.result}}", begun)
        done[name] = machines.run_line(filled.replace("{{workflow.uid}}", "7f6c"))
    machines.run_line(end.replace("{{workflow.uid}}", "7f6c"))
    return done["mlflow-begin"]
