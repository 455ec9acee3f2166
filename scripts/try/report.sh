# Shared by the scripts beside this file: steps in a fresh project, and a report of them for an issue.
# shellcheck shell=sh

set -u
unset VIRTUAL_ENV CI PYTHONPATH
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
service=$(basename "$0" .sh)
report=$PWD/report-$service.md
TRY_FOLDER=${TRY_FOLDER:-$(mktemp -d)}
export TRY_FOLDER COLUMNS=120
failed=0

needs() { # VARIABLE WHAT
    eval "given=\${$1:-}"
    [ -n "$given" ] && return
    echo "Set $1: $2." >&2
    exit 2
}

# What costs money, or changes what others see, has to be asked for.
deploys() { [ "${TRY_DEPLOY:-}" = yes ]; }

masked() { uv run --quiet --no-project python "$here/mask.py"; }

step() { # TITLE COMMAND...
    title=$1
    shift
    echo "==> $title"
    began=$(date +%s)
    if "$@" > "$TRY_FOLDER/screen" 2>&1 < /dev/null; then
        outcome=ok
    else
        outcome="failed ($?)"
        failed=1
    fi
    took=$(($(date +%s) - began))
    echo "    $outcome, $took s"
    echo "| $title | $outcome | $took |" >> "$TRY_FOLDER/table"
    {
        printf '\n### %s: %s\n\n~~~~text\n$ %s\n' "$title" "$outcome" "$*"
        tail -n 60 "$TRY_FOLDER/screen"
        printf '~~~~\n'
    } >> "$TRY_FOLDER/screens"
}

begin() { # ANSWER...
    : > "$TRY_FOLDER/table"
    : > "$TRY_FOLDER/screens"
    step "Render" render "$@"
    cd "$TRY_FOLDER/project" || finish
    step "Install" uv sync
    step "Versions" installed
}

render() {
    for answer in "project_name=Kedro MLflow Try" "$@"; do
        set -- "$@" --data "$answer"
    done
    while [ "$1" != --data ]; do shift; done
    uvx --with copier-template-extensions copier copy --trust --defaults --quiet --vcs-ref HEAD \
        "$@" "$root" "$TRY_FOLDER/project" || return
    git -C "$TRY_FOLDER/project" init --quiet
}

installed() {
    git -C "$root" describe --always --tags --dirty
    uname -sm
    uv --version
    # The first import of libraries takes long: none of it counts as time of the service.
    uv run python -c "import sys, mlflow, sklearn, pandera.pandas; print('Python', sys.version)"
    uv pip list | grep -E -i '^(kedro|mlflow|pandas|databricks|boto3|sagemaker|azure|apache-airflow)'
}

# Tracks, registers, scores, and what a broken connection does: on every service.
track() {
    step "Doctor" uv run kedro mlflow doctor
    step "Train and register" uv run kedro run
    step "Nothing was rejected" nothing_refused
    step "Score a batch" uv run kedro run --pipelines inference
    step "Train without a network" away uv run kedro run --params model.alpha=2.0
    step "Deliver that run" uv run kedro mlflow sync
    step "Nothing was rejected" nothing_refused
    step "Compare with the champion" judged
}

# Whatever the verdict is.
judged() {
    uv run kedro mlflow promote --dry-run > "$TRY_FOLDER/verdict" 2>&1
    cat "$TRY_FOLDER/verdict"
    grep -q "^Rule" "$TRY_FOLDER/verdict"
}

nothing_refused() {
    [ ! -d .kedro_mlflow/refused ] && echo "No record was rejected." && return
    find .kedro_mlflow/refused -type f
    find .kedro_mlflow/refused -name '*.json' -exec tail -c 2000 {} +
    return 1
}

# Whatever asks the network asks a proxy that is not there.
away() {
    env no_proxy= NO_PROXY= http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 \
        HTTP_PROXY=http://127.0.0.1:9 HTTPS_PROXY=http://127.0.0.1:9 UV_OFFLINE=1 "$@"
}

finish() {
    {
        printf '# %s\n\n| Step | Outcome | Seconds |\n|---|---|---|\n' "$service"
        cat "$TRY_FOLDER/table" "$TRY_FOLDER/screens"
    } | masked > "$report"
    echo "The report is in $report: read it, then paste it into an issue."
    echo "The project is in $TRY_FOLDER/project."
    exit "$failed"
}
