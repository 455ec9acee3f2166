"""`kedro mlflow prune`: what is old goes, what is in use or waits stays."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from tests.support.little import judged
from tests.support.project import PACKAGE, Project, files_of

DAY = 86_400


def aged(path: Path, days: int = 100) -> Path:
    """Make a file, as old as that."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}", "utf-8")
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


def age_all(project: Project) -> None:
    """Let all runs and versions be of 100 days ago."""
    with closing(sqlite3.connect(project.folder / "mlflow.db")) as database:
        ms = 100 * DAY * 1000
        database.execute(f"UPDATE runs SET end_time = end_time - {ms}")
        database.execute(f"UPDATE model_versions SET creation_time = creation_time - {ms}")
        database.commit()


def prune(project: Project, *options: str, days: int = 90) -> str:
    return project.kedro("mlflow", "prune", "--older-than", f"{days}d", *options).stdout


def versions(project: Project) -> set[str]:
    found = project.client.search_model_versions(f"name = '{PACKAGE}'")
    return {str(each.version) for each in found}


def test_what_is_old_and_not_in_use_goes(project: Project) -> None:
    client, state = judged(project).client, project.folder / ".kedro_mlflow"
    for shift in (10, 3, 4, 5, 6):
        project.kedro("run", "--params", f"shift={shift}")
    # The champion, the one before it, one that was deployed, and a challenger.
    project.kedro("mlflow", "promote", "--version", "3", "--force", "--reason", "a trial")
    client.set_model_version_tag(PACKAGE, "4", "deployed_at", "2026-01-01")
    client.set_registered_model_alias(PACKAGE, "pull_request_7", "2")  # Which is no use of it.
    runs = {n: str(client.get_model_version(PACKAGE, n).run_id) for n in versions(project)}
    waits = aged(state / "journal/2026-01-01/run.json")
    goes = [
        aged(state / "refused/2026-01-02/run.json"),
        aged(state / "unregistered/2026-01-03/run.json"),
        aged(state / "holdouts/abc.pickle"),
    ]
    stays = [aged(state / "holdouts/new.pickle", 10)]
    stays += [path for path in (state / "holdouts").iterdir() if len(path.stem) == 32]
    for path in stays[1:]:  # What the champion was measured on.
        then = time.time() - 100 * DAY
        os.utime(path, (then, then))
    assert "Nothing is that old" in prune(project, days=200)
    age_all(project)

    shown = prune(project)
    assert "5 would be deleted: --yes does it." in shown
    assert "version" in shown
    assert all(path.exists() for path in [waits, *goes, *stays])
    assert versions(project) == {"1", "2", "3", "4", "5"}

    assert "Deleted 5." in prune(project, "--yes")
    assert [path.exists() for path in goes] == [False] * 3
    assert all(path.exists() for path in [waits, *stays])
    assert versions(project) == {"1", "3", "4", "5"}
    for number, run_id in runs.items():
        assert bool(client.list_artifacts(run_id)) == (number != "2")
    gone = client.get_run(runs["2"]).data
    assert (gone.params["shift"], "pruned" in gone.tags) == ("3", True)
    assert gone.metrics["evaluation/rmse"] > 0
    assert not client.search_logged_models(
        [client.get_run(runs["2"]).info.experiment_id], f"source_run_id = '{runs['2']}'"
    )
    assert (files_of(project, "champion") / "MLmodel").is_file()
    project.kedro("run", "--pipelines", "inference")
    assert "Nothing is that old" in prune(project, "--yes")


def test_a_number_of_days_is_asked_for(project: Project) -> None:
    for given in ("x", "90", "-1d", "3m"):
        wrong = project.kedro("mlflow", "prune", "--older-than", given, code=2).stderr
        assert "give a number of days, such as 90d" in wrong
    assert "--older-than" in project.kedro("mlflow", "prune", code=2).stderr
