"""Tags: how a run came about, so that it can be found again and repeated."""

import shlex
from collections.abc import Mapping
from getpass import getuser
from typing import Any

from ..redaction import mask
from .limits import MAX_TAG_LENGTH
from .parameters import flatten

# Kedro's options of `kedro run` by their name in `run_params`, and what stands between several
# values.
_OPTIONS = {
    "pipeline_names": ("--pipelines", ","),
    "env": ("--env", ""),
    "tags": ("--tags", ","),
    "node_names": ("--nodes", ","),
    "from_nodes": ("--from-nodes", ","),
    "to_nodes": ("--to-nodes", ","),
    "from_inputs": ("--from-inputs", ","),
    "to_outputs": ("--to-outputs", ","),
    "namespaces": ("--namespaces", ","),
}


def run_tags(
    run_params: Mapping[str, Any], pipelines: list[str], project_name: str
) -> dict[str, str]:
    """Describe a Kedro run by tags.

    Args:
        run_params: what Kedro's ``before_pipeline_run`` hook receives.
        pipelines: the names of the pipelines that run.
        project_name: what MLflow's page shows as the run's source.

    Returns:
        Kedro's run id, version and environment, the pipelines, and a command that runs the same
        again, secrets masked.
    """
    tags = {
        "kedro.run_id": str(run_params["run_id"]),
        "kedro.version": str(run_params["kedro_version"]),
        "kedro.env": str(run_params["env"] or ""),
        "kedro.pipelines": ", ".join(pipelines),
        "kedro.command": replay_command(run_params),
        "mlflow.source.name": project_name,
        "mlflow.source.type": "PROJECT",
        "mlflow.user": _user(),
    }
    return {name: value[:MAX_TAG_LENGTH] for name, value in tags.items() if value}


def replay_command(run_params: Mapping[str, Any]) -> str:
    """Write the `kedro run` command that starts the same run, whatever started this one."""
    words = ["kedro", "run"]
    for name, (option, separator) in _OPTIONS.items():
        value = run_params.get(name)
        if value:
            words += [option, value if isinstance(value, str) else separator.join(value)]
    if run_params.get("runtime_params"):
        runtime_params = flatten(mask("", run_params["runtime_params"]), ".")
        words += ["--params", ",".join(f"{name}={value}" for name, value in runtime_params)]
    return shlex.join(words)


def _user() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # A container may run under a user id that has no name.
        return "unknown"
