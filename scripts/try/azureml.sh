#!/bin/sh
# Tries the preset `azureml` on a real workspace, and writes a report to paste into an issue.
#
#   AZUREML_TRACKING_URI=azureml://… sh scripts/try/azureml.sh
#
# Log in before (`az login`), or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET. It makes an
# experiment and a model kedro_mlflow_try, and leaves them there.
. "$(dirname "$0")/report.sh"

needs AZUREML_TRACKING_URI "what \`az ml workspace show --query mlflow_tracking_uri\` prints"
begin tracking_preset=azureml "tracking_uri=$AZUREML_TRACKING_URI"
track
finish
