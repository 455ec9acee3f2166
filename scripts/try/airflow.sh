#!/bin/sh
# Trains by tasks of a real Airflow, without its scheduler, and writes a report to paste into an issue.
#
#   sh scripts/try/airflow.sh
#
# It needs no account: Airflow is installed beside the project, with its own database.
. "$(dirname "$0")/report.sh"

begin orchestrator=airflow
export AIRFLOW_HOME="$TRY_FOLDER/airflow" AIRFLOW__CORE__LOAD_EXAMPLES=False
export AIRFLOW__CORE__DAGS_FOLDER="$TRY_FOLDER/project/deploy/airflow"
programs=$TRY_FOLDER/airflow-environment

install() {
    uv venv --quiet "$programs" &&
        uv pip install --quiet --python "$programs" "apache-airflow==${AIRFLOW_VERSION:-3.3.2}" &&
        "$programs/bin/airflow" version
}
step "Install Airflow" install
step "Make its database" "$programs/bin/airflow" db migrate
step "Read the DAG" "$programs/bin/airflow" dags list-import-errors
step "Run the DAG" "$programs/bin/airflow" dags test kedro_mlflow_try
finished() {
    uv run python -c "
import mlflow
mlflow.set_tracking_uri('sqlite:///mlflow.db')
(run,) = mlflow.search_runs(search_all_experiments=True, output_format='list')
print(run.info.status, dict(run.data.metrics))
assert run.info.status == 'FINISHED' and run.outputs.model_outputs"
}
step "Find one finished run with its models" finished
step "Score a batch with its model" uv run kedro run --pipelines inference
finish
