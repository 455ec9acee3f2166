"""Runs a command of Kedro's as a task of a Databricks job, as a part of the job's MLflow run.

It gets the project's folder, the job run's id and the command; "-" is for a command that is part of
no run. The project is copied to the machine's own disk: its journals need locks, which files of a
workspace do not have.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

project, key, *command = sys.argv[1:]
# All tasks of the job see this folder. Begin leaves the id of the MLflow run there.
begun = Path(os.environ["TASKS_DATA"], f"{key}.run")
env = dict(os.environ)
if begins := command[:4] == ["kedro", "mlflow", "run", "begin"]:
    command += ["--key", key]  # Begun twice, it is one run.
elif key != "-":
    env["MLFLOW_RUN_ID"] = begun.read_text("utf-8")
with TemporaryDirectory() as folder:
    copy = shutil.copytree(project, Path(folder) / "project")
    screen = subprocess.PIPE if begins else None
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=copy, env=env, stdout=screen, text=True, check=False
    )
if command[:3] == ["kedro", "mlflow", "monitor"] and done.returncode in (0, 1):
    from databricks.sdk.runtime import dbutils

    dbutils.jobs.taskValues.set(key="has_drifted", value=bool(done.returncode))
elif done.returncode:
    raise RuntimeError(f"The command has ended with the exit code {done.returncode}: see above.")
if begins:
    begun.parent.mkdir(parents=True, exist_ok=True)
    begun.write_text(done.stdout.strip(), "utf-8")
