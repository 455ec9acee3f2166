"""A DAG of Airflow 3 that scores, and starts the one that trains if the data have drifted.

Airflow finds it beside training_dag.py, whose DAG must not be paused. The rules are in
conf/base/monitoring.yml.
"""

from datetime import timedelta
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG

SCHEDULE = None  # "0 3 * * *" looks every night.
SCORE = "uv run kedro run --pipelines inference"  # "true": something else scores.
RETRIES = {"retries": 2, "retry_delay": timedelta(minutes=1)}
TIMEOUT = timedelta(hours=2)  # Of one task.

# It exits with 1 if a rule is broken. 99 is how a task skips those behind it.
MONITOR = "uv run kedro mlflow monitor; case $? in 0) exit 99;; 1) ;; *) exit 2;; esac"
PROJECT = Path(__file__).resolve().parents[2]

of_each = {"cwd": str(PROJECT), "append_env": True, "execution_timeout": TIMEOUT, **RETRIES}
name = next(PROJECT.glob("src/*/mlops")).parent.name
with DAG(f"{name}_retraining", schedule=SCHEDULE, max_active_runs=1, default_args=of_each) as dag:
    score = BashOperator(task_id="score", bash_command=SCORE)
    has_drifted = BashOperator(task_id="has-drifted", bash_command=MONITOR)
    score >> has_drifted >> TriggerDagRunOperator(task_id="train", trigger_dag_id=name)
