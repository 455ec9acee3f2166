#!/bin/sh
# Tries the preset `databricks` on a real workspace, and writes a report to paste into an issue.
#
#   DATABRICKS_HOST=https://… DATABRICKS_TOKEN=… sh scripts/try/databricks.sh
#
# A service principal or a profile does as well: .env.example of a project lists the variables. The
# login may create models in DATABRICKS_MODEL_SCHEMA (main.default). It makes an experiment
# /Shared/kedro_mlflow_try and a model kedro_mlflow_try, and leaves them there. TRY_DEPLOY=yes also
# serves the model for some ten minutes, which costs money, and deletes the endpoint.
. "$(dirname "$0")/report.sh"

[ -n "${MLFLOW_TRACKING_URI:-}" ] || needs DATABRICKS_HOST "the address of the workspace"
begin tracking_preset=databricks serving_target=databricks
track

laptop() {
    env MLFLOW_TRACKING_URI=sqlite:///laptop.db MLFLOW_REGISTRY_URI=sqlite:///laptop.db \
        uv run kedro run
}
step "Train on a laptop" laptop
step "Move its runs" uv run kedro mlflow sync --from sqlite:///laptop.db
step "Print a deployment" uv run kedro mlflow deploy --dry-run

endpoint() { # PYTHON
    uv run python -c "
import json, pandas
from databricks.sdk import WorkspaceClient
endpoints = WorkspaceClient().serving_endpoints
rows = json.loads(pandas.read_csv('data/05_model_input/instances.csv').to_json(orient='records'))
$1"
}
if deploys; then
    step "Deploy" uv run kedro mlflow deploy
    step "Ask for predictions" endpoint \
        "print(endpoints.query('kedro_mlflow_try', dataframe_records=rows).as_dict())"
    step "Promote another version" uv run kedro mlflow promote --force --reason "to try a second one"
    step "Deploy that" uv run kedro mlflow deploy
    step "Go back" uv run kedro mlflow deploy --rollback
    step "Delete the endpoint" endpoint "endpoints.delete('kedro_mlflow_try')"
fi
finish
