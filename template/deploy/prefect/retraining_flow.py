"""A flow of Prefect 3 that scores, and trains as flow.py does if the data have drifted.

The rules are in conf/base/monitoring.yml. Run it in a checkout of the project: once, or with
`serve` whenever Prefect says so.
"""

import subprocess
import sys

from flow import PROJECT, RETRIES, ask, train
from prefect import flow, task

SCHEDULE = {"cron": "0 3 * * *", "paused": True}  # False: every night.
SCORE = "kedro run --pipelines inference"  # "": something else scores.


@task(task_run_name="has drifted", **RETRIES)
def has_drifted() -> bool:
    """Return whether a rule is broken: the command exits with 1 then, with 2 if it fails."""
    command = ["uv", "run", "kedro", "mlflow", "monitor"]
    code = subprocess.run(command, cwd=PROJECT, check=False).returncode
    if code not in (0, 1):
        raise RuntimeError(f"kedro mlflow monitor has ended with the exit code {code}")
    return code == 1


@flow(name=f"{train.name}-retraining")
def retrain() -> None:
    """Score, and train if what was scored has drifted."""
    if SCORE:
        ask(SCORE)
    if has_drifted():
        train()


if __name__ == "__main__":
    retrain.serve("retraining", **SCHEDULE) if sys.argv[1:] == ["serve"] else retrain()
