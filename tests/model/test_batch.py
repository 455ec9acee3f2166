"""Batch scoring by a registered version, and predictions that say which one has made them."""

from __future__ import annotations

import pandas as pd

from tests.support.project import PACKAGE, Project, Trained


def predictions_of(project: Project) -> pd.DataFrame:
    return pd.read_csv(project.folder / "data/07_model_output/predictions.csv")


def test_each_prediction_says_which_version_and_which_run_have_made_it(trained: Trained) -> None:
    champion = trained.project.client.get_model_version_by_alias(PACKAGE, "champion")
    predictions = predictions_of(trained.project)
    assert list(predictions.columns) == ["progression", "model_version", "model_run_id"]
    assert set(predictions["model_version"]) == {int(champion.version)}
    assert set(predictions["model_run_id"]) == {champion.run_id}


def test_a_batch_is_scored_by_the_version_that_is_asked_for(project_with_runs: Project) -> None:
    project = project_with_runs
    arguments = ["run", "--pipelines", "inference", "--params"]
    result = project.kedro(*arguments, "model_version=2")
    assert f"{PACKAGE} version 2 (challenger)" in said(result.stderr + result.stdout)
    second = project.client.get_model_version(PACKAGE, "2")
    assert set(predictions_of(project)["model_run_id"]) == {second.run_id}
    run, *_ = project.runs()
    assert run.data.tags["model.version"] == "2"
    assert run.data.tags["model.run_id"] == second.run_id


def test_a_version_that_there_is_not_is_refused_in_a_sentence(project_with_runs: Project) -> None:
    project = project_with_runs
    arguments = ["run", "--pipelines", "inference", "--params"]
    result = project.kedro(*arguments, "model_version=99", code=1)
    assert f"The model '{PACKAGE}' has no version 99" in said(result.stderr)
    result = project.kedro(*arguments, "model_version=best", code=1)
    assert "has the alias 'best'" in said(result.stderr)
    project.client.delete_registered_model_alias(PACKAGE, "champion")
    result = project.kedro("run", "--pipelines", "inference", code=1)
    assert "is the champion yet: train one with `kedro run`" in said(result.stderr)


def test_files_that_are_not_those_that_were_registered_are_refused(
    project_with_runs: Project,
) -> None:
    project = project_with_runs
    champion = project.client.get_model_version_by_alias(PACKAGE, "champion")
    assert len(champion.tags["model_digest"]) == 64
    project.client.set_model_version_tag(PACKAGE, champion.version, "model_digest", "0" * 64)
    for command in (("run", "--pipelines", "inference"), ("mlflow", "serve")):
        screen = said(project.kedro(*command, code=1).stderr)
        assert f"'{PACKAGE}', version {champion.version}, are not those that were" in screen
        assert "Traceback" not in screen


def said(screen: str) -> str:
    """What stands on the screen, as one line."""
    return " ".join(screen.split())
