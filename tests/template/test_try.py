"""scripts/try: what each script calls, and what its report may not hold. Programs are stand-ins."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import answers

FOLDER = answers.REPOSITORY / "scripts" / "try"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.sh") if path.stem != "report")
# What a script's login and its steps print, and what stands for it in the report.
SECRETS = {
    "DATABRICKS_HOST": "https://dbc-CANARY.cloud.databricks.com",
    "DATABRICKS_TOKEN": "dapi-CANARYCANARY",
    "SAGEMAKER_TRACKING_ARN": "arn:aws:sagemaker:eu-west-1:CANARY:mlflow-tracking-server/team",
    "AWS_DEFAULT_REGION": "eu-CANARY-1",
    "SAGEMAKER_ROLE_ARN": "arn:aws:iam::CANARY:role/x",
    "SAGEMAKER_IMAGE": "CANARY.dkr.ecr.eu-west-1.amazonaws.com/try:1",
    "SAGEMAKER_BUCKET": "CANARY-bucket",
    "AZUREML_TRACKING_URI": "azureml://CANARY.api.azureml.ms/mlflow/v1.0/subscriptions/CANARY",
    "IMAGE": "CANARY.example.com/team/try",
    "A_PASSWORD": "CANARY/%& word",
}
# `uv run --no-project python` runs what masks; another program says how it was called, and all that
# it was given.
STAND_IN = """#!/bin/sh
case "$0 $*" in
*uv\\ run\\ *--no-project*) exec {python} "$5" ;;
*copier*)
    for folder; do :; done
    mkdir -p "$folder/conf/base" "$folder/deploy/tracking-server"
    echo "  image: null #" > "$folder/conf/base/mlflow.yml"
    ;;
*--version) echo 1.2.3 ;;
*--dry-run) echo "Rule" ;;
*aws*\\ invoke-endpoint*) echo "{{}}" > predictions.json ;;
*deploy\\ --rollback*) exit 3 ;;
esac
echo "$(basename "$0") $*" >> {calls}
env; echo "$A_PASSWORD at //user:CANARY@host"
"""


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_writes_a_report_without_a_secret(script: str, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("uv", "uvx", "kubectl", "docker", "aws", "curl"):
        (programs / name).write_text(
            STAND_IN.format(python=sys.executable, calls=tmp_path / "calls"), "utf-8"
        )
        (programs / name).chmod(0o755)
    (airflow := tmp_path / "airflow-environment/bin").mkdir(parents=True)
    shutil.copy(programs / "uv", airflow / "airflow")
    env = {
        **{"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)},
        **{"TRY_FOLDER": str(tmp_path), "TRY_DEPLOY": "yes", **SECRETS},
    }
    command = ["sh", str(FOLDER / f"{script}.sh")]
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    report = (tmp_path / f"report-{script}.md").read_text("utf-8")
    table = dict(re.findall(r"^\| ([A-Z][^|]+) \| (ok|failed \(\d+\)) \| \d+ \|$", report, re.M))
    failed = {step for step, outcome in table.items() if outcome != "ok"}
    assert failed == ({"Go back"} if script in ("databricks", "sagemaker") else set()), done.stderr
    assert done.returncode == (1 if failed else 0)
    assert len(table) >= 9
    assert "CANARY" not in report
    assert str(tmp_path) not in report
    assert "<A_PASSWORD> at //<masked>@host" in report
    # Each command is one of the template's, and no option is made up.
    source = answers.REPOSITORY / "template/src/{{ package_name }}/mlops/commands"
    for call in re.findall(r"^uv run kedro mlflow (.*)$", (tmp_path / "calls").read_text(), re.M):
        name, *words = call.split()
        text = (source / f"{name}.py").read_text("utf-8")
        assert [word for word in words if word[:2] == "--" and f'"{word}"' not in text] == []


@pytest.mark.parametrize("script", sorted({*SCRIPTS} - {"airflow", "compose"}))
def test_a_script_names_the_variable_that_it_needs(script: str, tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "TRY_FOLDER": str(tmp_path)}
    command = ["sh", str(FOLDER / f"{script}.sh")]
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert re.fullmatch(r"Set [A-Z_]+: .+\.\n", done.stderr)


PRINTED = [
    ("Authorization: Bearer abc.def-123", "Authorization: Bearer <masked>"),
    ("https://user:pass@host/x", "https://<masked>@host/x"),
    (
        "GET /x?sv=1&sig=abc%2F&X-Amz-Signature=00ff",
        "GET /x?sv=1&sig=<masked>&X-Amz-Signature=<masked>",
    ),
    ("eyJhbGciOi.eyJzdWIi.sgn", "<masked>"),
    ("key AKIAABCDEFGH1234", "key <masked>"),
    ("arn:aws:iam::123456789012:role/x denied", "<arn of iam> denied"),
    ("account 123456789012", "account <account>"),
    ("ada.lovelace@example.com", "<mail>"),
    ("/subscriptions/12345678-abcd-ef01-2345-6789abcdef01/x", "/subscriptions/<uuid>/x"),
    ("adb-1234.5.azuredatabricks.net", "<host>.azuredatabricks.net"),
    ("run 0123456789abcdef0123456789abcdef of kedro 1.7.0", None),
    ("`uv run kedro mlflow doctor`: 3.17.2, 12:30:59, 100 %", None),
]


@pytest.mark.parametrize(("text", "masked"), PRINTED)
def test_what_services_print_is_masked_and_what_helps_is_not(text: str, masked: str | None) -> None:
    given = [sys.executable, str(FOLDER / "mask.py")]
    result = subprocess.run(given, input=text, env={}, capture_output=True, text=True, check=True)
    assert result.stdout == (text if masked is None else masked)


def test_a_shell_of_any_kind_runs_the_scripts() -> None:
    if not (program := shutil.which("shellcheck")):
        pytest.skip("shellcheck is not there")
    scripts = [*FOLDER.glob("*.sh"), *(answers.REPOSITORY / "scripts").glob("*.sh")]
    # What `step` calls looks as if nothing did.
    command = [program, "--external-sources", "--source-path=SCRIPTDIR", "--exclude=SC2317"]
    result = subprocess.run(
        [*command, *map(str, scripts)], capture_output=True, text=True, check=False
    )
    assert result.stdout == ""


def test_the_page_names_each_script() -> None:
    page = (answers.REPOSITORY / "docs" / "managed-services.md").read_text("utf-8")
    assert set(re.findall(r"scripts/try/(\w+)\.sh", page)) == set(SCRIPTS)
