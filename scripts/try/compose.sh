#!/bin/sh
# Runs the team's tracking server by Docker Compose, destroys it, restores it, and writes a report to paste into an issue.
#
#   sh scripts/try/compose.sh
#
# It needs Docker with Compose, and no account. It uses port 5055, and deletes its containers and volumes, which have names of
# their own, at the end; the images stay.
. "$(dirname "$0")/report.sh"

begin tracking_preset=server tracking_uri=http://127.0.0.1:5055 backend_store=postgresql
export COMPOSE_PROJECT_NAME=kedro-mlflow-try MLFLOW_TRACKING_USERNAME=ada MLFLOW_TRACKING_PASSWORD

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
secrets() {
    MLFLOW_TRACKING_PASSWORD=$(random)
    for name in MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY DATABASE_PASSWORD; do
        echo "$name=$(random)"
    done > deploy/tracking-server/.env
    echo MLFLOW_PORT=5055 >> deploy/tracking-server/.env
}
compose() { (cd deploy/tracking-server && docker compose "$@"); }
admin() { compose exec -T nightly python /opt/tracking-server/admin.py "$@"; }
add_user() { echo "$MLFLOW_TRACKING_PASSWORD" | admin users add ada; }
destroy() { compose down && docker volume rm "${COMPOSE_PROJECT_NAME}_database" "${COMPOSE_PROJECT_NAME}_data"; }
restore() {
    compose up --detach --wait database &&
        backup=$(compose run --rm -T --no-deps nightly ls /backups | tail -n 1) &&
        compose run --rm -T --no-deps nightly python /opt/tracking-server/admin.py restore "/backups/$backup"
}

step "Versions of Docker" docker version
step "Make the server's secrets" secrets
step "Build and start" compose up --detach --build --wait
step "Add a user" add_user
step "Doctor" uv run kedro mlflow doctor
step "Train and register" uv run kedro run
step "Back up" admin backup
step "Destroy database and files" destroy
step "Restore" restore
step "Start again" compose up --detach --wait
step "List the users" admin users list
step "Score a batch with the restored model" uv run kedro run --pipelines inference
step "Delete all of it" compose down --volumes
finish
