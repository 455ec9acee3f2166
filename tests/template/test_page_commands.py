"""Each command that a page shows is run by a test, or says here why it is not.

A command is looked up by its first words. The file of the test that runs it, or what helps it, has
these words and all options of the command; or it takes the commands from the page.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import answers
from tests.support.pages import DOCS, commands_of

TESTS = answers.REPOSITORY / "tests"
PAGES = [answers.REPOSITORY / "README.md", *DOCS]

UPDATE, MONITOR = "update/test_command.py", "run/test_monitoring.py"
# The first words of a command, and the test that runs it. The longest that fit count.
RUN_BY = {
    # `make demo`, which the workflow runs.
    "uvx --with copier-template-extensions copier copy": "../scripts/demo.py",
    "uvx --with copier-template-extensions copier copy --trust --defaults": "run/test_adopting.py",
    # A workflow's copy for a project in a subfolder; by Python, so that its lines are checked.
    "for name in ci template-update": "update/test_weekly.py",
    "sed 's|^    shell: bash|": "update/test_weekly.py",
    "done": "update/test_weekly.py",
    "git switch --create template": "run/test_adopting.py",
    "git switch deployed/production": "deploy/test_deployed_branches.py",
    "git revert --no-edit HEAD": "deploy/test_deployed_branches.py",
    "git grep --line-number": "run/test_adopting.py",
    "cat >> .gitignore": "run/test_adopting.py",
    "uv remove kedro-mlflow": "run/test_adopting.py",
    "uv add": "template/test_readme.py",
    "uv sync": "support/project.py",
    "git add . && git commit": "run/test_adopting.py",
    "git checkout HEAD -- . && git clean": UPDATE,
    "make demo": "template/test_workflows.py",
    "make test": "template/test_workflows.py",
    "sh scripts/try/databricks.sh": "backends/test_managed.py",
    "promtool check rules": "serve/test_monitoring.py",
    "prometheus --config.file": "serve/test_monitoring.py",
    "uv run --group server kedro mlflow server": "support/servers.py",
    "uv run dask": "support/dask_cluster.py",
    "DASK_SCHEDULER_ADDRESS": "run/test_dask.py",
    "export MLFLOW_RUN_ID=$(uv run kedro mlflow run begin": "run/test_tasks.py",
    "uv run kedro run --env tasks --nodes": "run/test_tasks.py",
    "uv run kedro run --pipelines inference": "model/test_batch.py",
    "uv run kedro run --pipelines inference --params model_version=working": "model/test_frozen.py",
    "uv run kedro run --pipelines inference --fail-on-drift": MONITOR,
    "uv run kedro run --runner DaskRunner": "run/test_dask.py",
    "uv run kedro run": "run/test_run.py",
    "uv run kedro mlflow deploy": "deploy/test_databricks.py",
    "uv run kedro mlflow deploy --version": "deploy/test_deploy.py",
    "uv run kedro mlflow deploy --env": "deploy/test_deploy.py",
    "uv run kedro mlflow doctor": "run/test_doctor.py",
    "uv run kedro mlflow judge": MONITOR,
    "uv run kedro mlflow monitor": MONITOR,
    "uv run kedro mlflow promote": "registry/test_promotion.py",
    "uv run kedro mlflow promote --to": "backends/test_environments.py",
    "uv run kedro mlflow promote --env staging": "backends/test_environments.py",
    # In the lines of the rendered jobs.
    "uv run kedro mlflow promote --dry-run --version pull_request_12 --report": "deploy/test_ci.py",
    "uv run kedro mlflow prune": "registry/test_prune.py",
    "uv run kedro mlflow register": "model/test_register.py",
    "uv run kedro mlflow reproduce": "run/test_reproduce.py",
    "uv run kedro mlflow run end": "run/test_tasks.py",
    "uv run kedro mlflow serve": "serve/test_serving.py",
    "uv run kedro mlflow sync --from": "run/test_migration.py",
    "uv run kedro mlflow tasks": "run/test_tasks.py",
    "uv run kedro mlflow tune": "run/test_tuning.py",
    "uv run kedro mlflow update": UPDATE,
    "uv run --no-project --with evidently": MONITOR,
    "export KEDRO_SERVER_TOKEN": "run/test_retraining.py",
    "uv run kedro server start": "run/test_retraining.py",
    "curl http://127.0.0.1:8000/run": "run/test_retraining.py",
}
# How a test says what it does not say as the page does.
SAID_AS = {
    "uvx --with copier-template-extensions copier copy": "copier copy",
    "for name in ci template-update": "template-update.yml",
    "sed 's|^    shell: bash|": "working-directory: ",
    # As the screen says.
    "git checkout HEAD -- . && git clean": "Or take it back: ",
    "uv run dask": "distributed.cli.dask_",
    "uv run kedro mlflow promote --dry-run --version pull_request_12 --report": "service.judge",
}
# What no test runs, and why.
NOT_RUN = {
    "curl": "tests/serve/test_serving.py sends the same request by Python",
    "kubectl": "it needs a cluster",
    "git push": "it follows a commit that tests/deploy/test_deploy.py makes",
    "cd deploy/kubernetes/overlays": "what follows it needs a cluster",
    "cp -r production challenger": "it prepares what needs a cluster",
    "sed --in-place 's/^namespace": "it prepares what needs a cluster",
}
COMMANDS = [(page.name, each) for page in PAGES for each in commands_of(page.read_text("utf-8"))]


def first_words(command: str) -> str | None:
    """The longest key that a command begins with."""
    keys = [key for key in [*RUN_BY, *NOT_RUN] if command.startswith(key)]
    return max(keys, key=len, default=None)


def test_pages_have_commands() -> None:
    assert len(COMMANDS) > 60
    assert {page for page, _ in COMMANDS} > {"tuning.md", "promotion.md", "reproduce.md"}


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=str)
def test_a_command_is_run_by_a_test_or_says_why_not(page: str, command: str) -> None:
    key = first_words(command)
    assert key, f"No test runs `{command}`: add one to RUN_BY, or a reason to NOT_RUN"
    if key in NOT_RUN or page in (TESTS / RUN_BY[key]).read_text("utf-8"):
        return
    words = re.split(r"\s(?=--)", SAID_AS.get(key, key.rpartition("kedro ")[2]))
    options = re.findall(r"(?<=\s)--[\w-]+", command.removeprefix(key))
    said = words_of(TESTS / RUN_BY[key])
    assert [each for each in [*words, *options] if each not in said] == []


def words_of(test: Path) -> str:
    """All words of a test and of what it imports from `tests/support/`, with a space between."""
    text = test.read_text("utf-8")
    imported = " ".join(re.findall(r"^from tests\.support\b(.*)", text, re.MULTILINE))
    helpers = [TESTS / "support" / f"{name}.py" for name in re.findall(r"\w+", imported)]
    texts = [text, *(each.read_text("utf-8") for each in helpers if each.exists())]
    return re.sub(r'[",\s]+', " ", " ".join(texts))


def test_the_table_has_nothing_that_no_page_shows() -> None:
    used = {first_words(command) for _, command in COMMANDS}
    assert [key for key in [*RUN_BY, *NOT_RUN] if key not in used] == []
