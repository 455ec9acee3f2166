"""`kedro mlflow tasks`: lists what an orchestrator has to run, and in which order."""

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import Any

import click

from ..errors import TrackingError, listed
from . import Project, for_tasks, of_kedro

_ENTRY = """\
"{name}":
  type: pickle.PickleDataset
  filepath: ${oc.env:TASKS_DATA,data/tasks}/${oc.env:MLFLOW_RUN_ID,local}/{name}.pickle"""


@of_kedro("pipelines", "params")
@click.command("tasks")
@for_tasks
@click.option(
    "--by",
    type=click.Choice(["node", "namespace", "memory"]),
    default="node",
    help="What is one task; by memory, nodes that pass something without a file. [default: node]",
)
@click.option("--json", "as_json", is_flag=True, help="Print a list for a program to read.")
def command(
    project: Project, pipelines: Sequence[str], params: dict[str, Any], by: str, as_json: bool
) -> None:
    """List what an orchestrator has to run.

    A program gets [{"name", "command", "needs", "resources"}, ...]: the command is a line for a
    shell, `needs` has the names of the tasks that come before, and the resources are from tags of
    nodes such as cpu-2, memory-4Gi and gpu-1. Each task finds its run by MLFLOW_RUN_ID, which
    `kedro mlflow run begin` prints.
    """
    from ..orchestration.project import opened
    from ..orchestration.tasks import in_memory, options_of, tasks_of

    with redirect_stdout(sys.stderr), opened(project.path, project.env, pipelines, params) as open_:
        tasks = tasks_of(open_.pipeline, open_.catalog, by, options_of(open_.run_params))
        lost = in_memory(open_.pipeline, open_.catalog, by)
    if lost:
        raise TrackingError(
            f"Between tasks, nothing passes in memory: give {listed(lost)} entries in "
            f"conf/{project.env or 'tasks'}/catalog.yml, or take --by memory. One for all is\n"
            f"{_ENTRY}"
        )
    if as_json:
        click.echo(json.dumps([asdict(task) for task in tasks], indent=2))
        return
    for task in tasks:
        after = f"  # after {', '.join(task.needs)}" if task.needs else ""
        click.echo(f"{task.command}{after}")
