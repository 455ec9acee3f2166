"""`kedro mlflow promote`: rules, history, and one champion, whoever promotes and when."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.support.forked_kedro import Forked
from tests.support.little import judged
from tests.support.machine import free_port
from tests.support.profiles import IS_WEEKLY, weekly
from tests.support.project import PACKAGE, Project, Trained, call_it
from tests.support.proxy import kill_before, proxy_of

AUTO = ("conf/base/promotion.yml", "auto: false", "auto: true")


def said(screen: str) -> str:
    """What stands on the screen, as one line."""
    return " ".join(screen.split())


def aliases(client: MlflowClient, name: str = PACKAGE) -> dict[str, str]:
    return {alias: str(n) for alias, n in client.get_registered_model(name).aliases.items()}


def children(process: Forked) -> Iterator[str]:
    """The command lines of the processes that a process has started."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for child in listed.read_text(encoding="utf-8").split():
        with suppress(OSError):
            yield Path(f"/proc/{child}/cmdline").read_text(encoding="utf-8")


def run_of(client: MlflowClient, number: str, name: str = PACKAGE) -> Run:
    """The run that has trained a version."""
    return client.get_run(str(client.get_model_version(name, number).run_id))


def test_a_dry_run_shows_the_verdict_and_changes_nothing(project_with_runs: Project) -> None:
    project = project_with_runs
    run = run_of(project.client, "2")
    # Copies of the project share the folder of its files: another test may have promoted.
    files = project.client.list_artifacts(run.info.run_id, "promotion")
    shown = project.kedro("mlflow", "promote", "--dry-run").stdout
    assert re.search(r"^Rule +Version 2 +Version 1 +Wanted +Holds$", shown, re.MULTILINE)
    assert re.search(
        r"^rmse against the champion +\S+ +\S+ +at most \S+ +yes$", shown, re.MULTILINE
    )
    assert "Version 2 of diabetes_progression would be the champion" in shown
    assert aliases(project.client) == {"champion": "1", "challenger": "2"}
    run = run_of(project.client, "2")  # As it is now.
    assert not [tag for tag in run.data.tags if tag.startswith("promotion.")]
    assert project.client.list_artifacts(run.info.run_id, "promotion") == files


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        (["--to", ""], "--to is empty: has a variable no value?"),
        (["--version", ""], "--version is empty: has a variable no value?"),
        (["--report", "nowhere/verdict.md"], "No such file or directory"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_promoted(
    little_with_runs: Project, options: list[str], refused: str
) -> None:
    screen = little_with_runs.kedro("mlflow", "promote", *options, code=2)
    assert refused in said(screen.stderr)
    assert aliases(little_with_runs.client) == {"champion": "1", "challenger": "2"}


def test_the_way_back_is_that_of_the_environment(little_with_runs: Project) -> None:
    project = little_with_runs
    (project.folder / "conf/production").mkdir(exist_ok=True)
    shown = said(project.kedro("mlflow", "promote", "--env", "production").stdout)
    back = "mlflow promote --rollback --env production"
    assert f"`uv run kedro {back}` takes it back" in shown
    project.kedro(*back.split())
    assert aliases(project.client)["champion"] == "1"


def test_a_promoted_version_keeps_its_history_and_the_way_back(project_with_runs: Project) -> None:
    project, client = project_with_runs, project_with_runs.client
    shown = said(project.kedro("mlflow", "promote").stdout)
    assert "`uv run kedro mlflow promote --rollback` takes it back" in shown
    assert aliases(client) == {"champion": "2"}
    version = client.get_model_version(PACKAGE, "2")
    assert version.tags["promoted_from"] == "1"
    assert version.tags["promotion_reason"] == "all 3 rules hold"
    assert {"promoted_at", "promoted_by"} <= version.tags.keys()
    run = client.get_run(str(version.run_id))
    assert run.data.tags["promotion.verdict"] == "promoted"
    assert run.data.tags["promotion.champion"] == "1"
    assert re.fullmatch(r"\S+, at most \S+: holds", run.data.tags["promotion.improvement.rmse"])
    path = client.download_artifacts(run.info.run_id, "promotion/version-2-against-1.md")
    assert "| rmse against the champion |" in Path(path).read_text(encoding="utf-8")
    assert "is the champion already" in project.kedro("mlflow", "promote", "--version", "2").stdout
    assert "is the challenger: train one" in said(project.kedro("mlflow", "promote", code=1).stderr)

    back = project.kedro("mlflow", "promote", "--rollback", "--reason", "too bold").stdout
    assert "Version 1 of diabetes_progression is the champion again" in back
    assert aliases(client) == {"champion": "1"}
    tags = client.get_model_version(PACKAGE, "2").tags
    assert (tags["rolled_back_to"], tags["rollback_reason"]) == ("1", "too bold")
    again = project.kedro("mlflow", "promote", "--rollback", code=1)
    assert "there is no way back" in said(again.stderr)
    assert aliases(client) == {"champion": "1"}


def test_a_worse_version_stays_the_challenger_unless_somebody_says_why_not(
    little_with_runs: Project,
) -> None:
    project, client = little_with_runs, little_with_runs.client
    project.kedro("run", "--params", "shift=1000")
    result = project.kedro("mlflow", "promote", code=1)
    assert re.search(r"does not become the champion: .*rmse against the champion is", result.stdout)
    assert aliases(client) == {"champion": "1", "challenger": "3"}
    run = run_of(client, "3")
    assert run.data.tags["promotion.verdict"] == "not promoted"
    assert "does not hold" in run.data.tags["promotion.improvement.rmse"]

    unreasoned = project.kedro("mlflow", "promote", "--force", code=2)
    assert "--force needs --reason" in said(unreasoned.stderr)
    arguments = ("--force", "--reason", "the study's leader wants it: https://me:CANARY@x.org")
    project.kedro("mlflow", "promote", *arguments)
    assert aliases(client) == {"champion": "3"}
    tags = client.get_model_version(PACKAGE, "3").tags
    assert tags["promotion_reason"].startswith("the study's leader wants it")
    run = client.get_run(run.info.run_id)
    assert run.data.tags["promotion.verdict"] == "forced"
    assert "CANARY" not in json.dumps([tags, run.data.tags])


def test_on_another_holdout_both_predict_anew_each_with_its_own_code(
    little_with_runs: Project,
) -> None:
    """Wherever that is, as the version brings the holdout along if its owner lets it."""
    project, client = little_with_runs, little_with_runs.client
    project.kedro("run", "--params", "seed=7")
    # From here on the project's code is wrong by 1000; the champion has been packaged with its own.
    source = f"src/{PACKAGE}/pipelines/inference/pipeline.py"
    project.edit(source, 'instances["x"] + state', 'instances["x"] + 1000 + state')
    project.edit("conf/base/promotion.yml", "share_holdout: null", "share_holdout: true")
    project.kedro("run", "--params", "seed=7")
    shutil.rmtree(project.folder / ".kedro_mlflow")  # As on another machine.
    result = project.kedro("mlflow", "promote", "--version", "3", code=1)
    assert "that of version 3 is not on this machine" in said(result.stderr)
    shown = project.kedro("mlflow", "promote", code=1).stdout
    assert "predicted again for the holdout of version 4" in said(shown)
    row = re.search(r"^rmse against the champion +(\S+) +(\S+) ", shown, re.MULTILINE)
    assert row
    run = run_of(client, "4")
    assert float(row[1]) == pytest.approx(run.data.metrics["evaluation/rmse"], rel=1e-3)
    assert float(row[1]) > 900
    assert float(row[2]) < 10
    assert aliases(client) == {"champion": "1", "challenger": "4"}


def test_other_data_are_another_problem_wherever_the_old_champion_meets_them(
    little_with_runs: Project,
) -> None:
    project, client = little_with_runs, little_with_runs.client
    for place in ("data", f"src/{PACKAGE}/pipelines"):
        for path in (project.folder / place).rglob("*.*"):
            if path.suffix in (".csv", ".py"):
                text = path.read_text("utf-8")
                path.write_text(re.sub(r"\bx\b", "z", text), "utf-8")

    screen = project.kedro("run", "--pipelines", "inference", code=1)
    shown = screen.stdout + screen.stderr
    assert (
        f"Version 1 of {PACKAGE} (champion) reads the column x, which the data set 'instances' "
        "does not have"
    ) in said(shown)
    assert "Traceback" not in shown

    project.kedro("run")
    refused = said(project.kedro("mlflow", "promote", code=1).stderr)
    assert "it is for another problem. The champion reads the column x" in refused
    assert "kedro mlflow promote --version 3 --new-champion --reason TEXT`" in refused
    unreasoned = project.kedro("mlflow", "promote", "--new-champion", code=2)
    assert "--new-champion needs --reason" in said(unreasoned.stderr)
    project.kedro("mlflow", "promote", "--new-champion", "--reason", "data of another clinic")
    assert aliases(client) == {"champion": "3"}
    tags = run_of(client, "3").data.tags
    assert tags["promotion.verdict"] == "new champion"
    assert "promotion.improvement.rmse" not in tags
    project.kedro("run", "--pipelines", "inference")

    back = said(project.kedro("mlflow", "promote", "--rollback", code=1).stderr)
    assert "Version 1 of diabetes_progression reads the column x" in back
    assert aliases(client) == {"champion": "3"}
    unreasoned = project.kedro("mlflow", "promote", "--rollback", "--force", code=2)
    assert "--force needs --reason" in said(unreasoned.stderr)
    project.kedro("mlflow", "promote", "--rollback", "--force", "--reason", "all the same")
    assert aliases(client) == {"champion": "1"}


def test_names_that_no_pipeline_has_are_said_before_any_other_advice(
    little_with_runs: Project,
) -> None:
    project = little_with_runs
    project.edit("conf/base/promotion.yml", "holdout: test_records ", "holdout: test_record ")
    refused = said(project.kedro("mlflow", "promote", code=1).stderr)
    assert "promotion.yml: holdout names the data set 'test_record', which 'evaluate'" in refused
    assert "(it reads: test_records, test_predictions)" in refused


def test_training_promotes_at_its_end_where_that_is_wanted(little_with_runs: Project) -> None:
    project, client = little_with_runs, little_with_runs.client
    project.edit(*AUTO)
    result = project.kedro("run")
    assert "is the champion now, instead of version 1" in said(result.stdout + result.stderr)
    assert f"{PACKAGE} version 3 (champion)" in said(result.stdout + result.stderr)
    assert aliases(client) == {"champion": "3"}
    assert client.get_model_version(PACKAGE, "3").tags["promoted_from"] == "1"

    result = project.kedro("run", "--params", "shift=1000")
    assert "does not become the champion" in said(result.stdout + result.stderr)
    assert aliases(client) == {"champion": "3", "challenger": "4"}
    run, *_ = project.runs()
    assert (run.info.status, run.data.tags["promotion.verdict"]) == ("FINISHED", "not promoted")


def test_a_run_that_is_delivered_late_is_promoted_then(project: Project, server: str) -> None:
    judged(project).edit(*AUTO)
    call_it(project, "late")
    project.kedro("run", env={"MLFLOW_TRACKING_URI": server})
    away = f"http://127.0.0.1:{free_port()}"
    project.kedro("run", env={"MLFLOW_TRACKING_URI": away})
    client = MlflowClient(server)
    assert aliases(client, "late") == {"champion": "1"}
    project.kedro("mlflow", "sync", env={"MLFLOW_TRACKING_URI": server})
    assert aliases(client, "late") == {"champion": "2"}
    version = client.get_model_version("late", "2")
    assert version.tags["promoted_from"] == "1"
    run = client.get_run(str(version.run_id))
    assert run.data.tags["promotion.verdict"] == "promoted"
    assert run.info.status == "FINISHED"


# Before which call, and who is the champion then.
KILLED = (
    ("POST /api/2.0/mlflow/model-versions/set-tag", "1"),
    ("POST /api/2.0/mlflow/registered-models/alias", "1"),
    ("PUT /api/2.0/mlflow-artifacts/", "2"),
    ("POST /api/2.0/mlflow/runs/log-batch", "2"),
    ("DELETE /api/2.0/mlflow/registered-models/alias", "2"),
)


def test_a_promotion_that_is_killed_again_and_again_ends_as_one_that_was_not(
    project: Project, server: str
) -> None:
    name = "killed"
    call_it(judged(project), name)
    for _ in range(2):
        project.kedro("run", env={"MLFLOW_TRACKING_URI": server})
    client = MlflowClient(server)
    with proxy_of(server) as proxy:
        proxied = {"MLFLOW_TRACKING_URI": proxy.url}
        promote = partial(project.fork, "kedro", "mlflow", "promote", env=proxied)
        for call, champion in KILLED if IS_WEEKLY else KILLED[1:3]:
            kill_before(call, proxy, promote)
            assert aliases(client, name) == {"champion": champion, "challenger": "2"}
        shown = project.kedro("mlflow", "promote", env=proxied).stdout
        assert "is the champion already" in shown
        assert aliases(client, name) == {"champion": "2"}
        run = run_of(client, "2", name)
        assert run.data.tags["promotion.verdict"] == "promoted"
        assert run.data.tags["promotion.champion"] == "1"
        reports = client.list_artifacts(run.info.run_id, "promotion")
        assert [file.path for file in reports] == ["promotion/version-2-against-1.md"]

        roll_back = partial(project.fork, "kedro", "mlflow", "promote", "--rollback", env=proxied)
        kill_before("POST /api/2.0/mlflow/registered-models/alias", proxy, roll_back)
        assert aliases(client, name) == {"champion": "2"}
        project.kedro("mlflow", "promote", "--rollback", env=proxied)
    assert aliases(client, name) == {"champion": "1"}
    assert client.get_model_version(name, "2").tags["rolled_back_to"] == "1"


@weekly
def test_two_promotions_at_once_leave_one_champion_and_a_straight_history(
    little_with_runs: Project,
) -> None:
    project, client = little_with_runs, little_with_runs.client
    project.kedro("run")
    processes = [
        project.fork("kedro", "mlflow", "promote", "--version", number) for number in ("2", "3")
    ]
    shown = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], shown
    last = aliases(client)["champion"]
    first = {"2": "3", "3": "2"}[last]
    assert client.get_model_version(PACKAGE, last).tags["promoted_from"] == first
    assert client.get_model_version(PACKAGE, first).tags["promoted_from"] == "1"


@weekly
def test_a_version_is_judged_anew_if_somebody_elsewhere_promotes_meanwhile(
    project_with_runs: Project,
) -> None:
    project, client = project_with_runs, project_with_runs.client
    project.edit("conf/base/promotion.yml", "tolerance: 0.0", "tolerance: 1.0")
    project.kedro("run", "--params", "split.seed=7")
    process = project.fork("kedro", "mlflow", "promote")
    # It is at it once the models predict, in processes of their own.
    while process.poll() is None and not any("predict.py" in each for each in children(process)):
        time.sleep(0.01)
    client.set_registered_model_alias(PACKAGE, "champion", "2")
    shown, errors = process.communicate(timeout=120)
    assert process.returncode == 0, shown + errors
    assert "is the champion now, instead of version 2" in said(shown)
    assert client.get_model_version(PACKAGE, "3").tags["promoted_from"] == "2"
    assert run_of(client, "3").data.tags["promotion.champion"] == "2"


def test_a_card_lies_in_the_model_and_is_the_description_of_its_version(trained: Trained) -> None:
    project, client = trained.project, trained.project.client
    version = client.get_model_version_by_alias(PACKAGE, "challenger")
    card = (project.folder / "data/08_reporting/model_card.md").read_text(encoding="utf-8")
    assert version.description == card
    uri = client.get_model_version_download_uri(PACKAGE, str(version.version))
    folder = Path(uri.removeprefix("file://"))
    assert (folder / "MODEL_CARD.md").read_text(encoding="utf-8") == card
    run = client.get_run(str(version.run_id))
    rmse = run.data.metrics["evaluation/rmse"]
    assert f"| rmse | {rmse:.4g} |" in card
    assert "| sex_1 |" in card
    assert "Not for any decision about a person." in card
    assert "| records | data/01_raw/diabetes.csv | 442 | 11 |" in card
    assert "| bmi | double |" in card
    assert "| model.alpha | 10.0 |" in card
    assert run.data.tags["kedro.run_id"] in card
    assert str(project.folder) not in card
