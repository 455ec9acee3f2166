#!/bin/sh
# Tries the serving target `kubernetes` on a real cluster, and writes a report to paste into an issue.
#
#   IMAGE=registry.example.com/team/kedro-mlflow-try TRY_DEPLOY=yes sh scripts/try/kserve.sh
#
# The cluster is that of kubectl's current context, and has KServe on Knative. Log in to the registry before. It
# makes the namespace kedro-mlflow-try-staging, and deletes it at the end; the image stays in the registry.
. "$(dirname "$0")/report.sh"

needs IMAGE "the name of an image that you may push and the cluster may pull"
begin serving_target=kubernetes
namespace=kedro-mlflow-try-staging
service_url="{.status.url}"

image() {
    sed -i.old "s|^  image: null |  image: $IMAGE |" conf/base/mlflow.yml &&
        grep "^  image: " conf/base/mlflow.yml
}
versions() {
    kubectl version &&
        kubectl get crd inferenceservices.serving.kserve.io --output "jsonpath={.metadata.labels}"
}
secret() {
    kubectl create namespace "$namespace" &&
        od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > token &&
        kubectl create secret generic kedro-mlflow-try-serving --namespace "$namespace" --from-file token
}
ready() {
    kubectl wait inferenceservice/kedro-mlflow-try --namespace "$namespace" --for condition=Ready --timeout 600s ||
        { kubectl describe inferenceservice,pod --namespace "$namespace" && false; }
}
ask() {
    url=$(kubectl get inferenceservice kedro-mlflow-try --namespace "$namespace" --output "jsonpath=$service_url") &&
        printf 'Authorization: Bearer %s' "$(cat token)" | curl --fail-with-body --silent --show-error \
            "$url/invocations" --header @- --header "Content-Type: text/csv" \
            --data-binary @data/05_model_input/instances.csv
}
shares() { kubectl get inferenceservice kedro-mlflow-try --namespace "$namespace"; }

step "Versions of the cluster" versions
step "Name the image" image
step "Train and register" uv run kedro run
step "Print a deployment" uv run kedro mlflow deploy --dry-run
if deploys; then
    step "Create the namespace and its token" secret
    step "Deploy" uv run kedro mlflow deploy
    step "Wait until it is ready" ready
    step "Ask for predictions" ask
    step "Train another version" uv run kedro run --params model.alpha=2.0
    step "Promote it" uv run kedro mlflow promote --force --reason "to try a second one"
    step "Deploy that" uv run kedro mlflow deploy
    step "Wait until that is ready" ready
    step "Ask again" ask
    step "Show its shares" shares
    step "Delete the namespace" kubectl delete namespace "$namespace"
fi
finish
