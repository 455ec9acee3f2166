#!/bin/sh
# Tries the preset `sagemaker` on a real tracking server, and writes a report to paste into an issue.
#
#   SAGEMAKER_TRACKING_ARN=arn:aws:sagemaker:… sh scripts/try/sagemaker.sh
#
# Log in to AWS before. It makes an experiment and a model kedro_mlflow_try, and leaves them there.
# TRY_DEPLOY=yes also serves the model for some ten minutes, which costs money, and deletes the
# endpoint: that needs Docker, the AWS command line, and AWS_DEFAULT_REGION, SAGEMAKER_ROLE_ARN,
# SAGEMAKER_IMAGE (with a tag) and SAGEMAKER_BUCKET, as deploy/sagemaker/README.md of a project says.
. "$(dirname "$0")/report.sh"

needs SAGEMAKER_TRACKING_ARN "the ARN of the tracking server"
if deploys; then
    needs AWS_DEFAULT_REGION "the region of all of it"
    needs SAGEMAKER_ROLE_ARN "the role that the endpoint runs as"
    needs SAGEMAKER_IMAGE "ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG"
    needs SAGEMAKER_BUCKET "the bucket for models"
fi
begin tracking_preset=sagemaker serving_target=sagemaker "tracking_uri=$SAGEMAKER_TRACKING_ARN"
track

push() {
    docker build --platform linux/amd64 --provenance=false --file deploy/docker/Dockerfile \
        --target sagemaker --tag "$SAGEMAKER_IMAGE" . &&
        aws ecr get-login-password |
        docker login --username AWS --password-stdin "${SAGEMAKER_IMAGE%%/*}" &&
        docker push "$SAGEMAKER_IMAGE"
}
invoke() {
    aws sagemaker-runtime invoke-endpoint --endpoint-name kedro-mlflow-try --content-type text/csv \
        --body fileb://data/05_model_input/instances.csv predictions.json && cat predictions.json
}
if deploys; then
    step "Build and push the image" push
    step "Print a deployment" uv run kedro mlflow deploy --dry-run
    step "Deploy" uv run kedro mlflow deploy
    step "Ask for predictions" invoke
    step "Promote another version" uv run kedro mlflow promote --force --reason "to try a second one"
    step "Deploy that" uv run kedro mlflow deploy
    step "Go back" uv run kedro mlflow deploy --rollback
    step "Ask again" invoke
    step "Delete the endpoint" aws sagemaker delete-endpoint --endpoint-name kedro-mlflow-try
fi
finish
