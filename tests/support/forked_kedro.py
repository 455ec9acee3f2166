"""Kedro's commands at a fraction of their time: forked off a process that has imported MLflow."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.project import Project


class Kedro:
    """Runs `kedro` in copies of the project whose environment it was started in."""

    def __init__(self, project: Project) -> None:
        self._process = subprocess.Popen(
            [project.environment / "bin" / "python", Path(__file__).with_name("forks.py")],
            env=project.variables({"MLFLOW_DISABLE_TELEMETRY": "true"}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, project: Project, *arguments: str, code: int = 0, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; its exit code must be `code`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        command = {
            "arguments": arguments,
            "cwd": str(project.folder),
            "env": project.variables(env),
        }
        self._process.stdin.write(f"{json.dumps(command)}\n")
        self._process.stdin.flush()
        result = json.loads(self._process.stdout.readline())
        out, err = result["out"], result["err"]
        assert result["code"] == code, f"{arguments}: {result['code']}\n{out}\n{err}"
        return subprocess.CompletedProcess(arguments, code, out, err)

    def stop(self) -> None:
        """End the process that is forked."""
        self._process.communicate()
