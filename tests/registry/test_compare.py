"""`kedro mlflow compare`: runs side by side, and which difference means something."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.support.project import Project
from tests.support.tiny import said


def test_runs_are_compared_on_the_same_rows(little_with_runs: Project) -> None:
    project, client = little_with_runs, little_with_runs.client
    project.kedro("run", "--params", "shift=1000")
    bad, second, first = [run.info.run_id for run in project.runs()]
    shown = project.kedro("mlflow", "compare", first, second, bad).stdout
    assert "All have predicted again for the holdout of the first, drawn 200 times." in shown
    same, worse = shown.split(" against ")[1:]
    assert re.search(r"^rmse .* the same$", same, re.MULTILINE)
    assert re.search(r"^rmse .* worse$", worse, re.MULTILINE)
    assert re.search(r"^old/rmse ", worse, re.MULTILINE)
    assert "better" not in worse
    path = client.download_artifacts(bad, f"comparison/against-{first}.md")
    assert re.search(r"\| rmse \|.*\| worse \|", Path(path).read_text("utf-8"))

    none = project.kedro("mlflow", "compare", "--best", "2", "--metric", "none/rmse", code=1)
    assert "Fewer than two finished runs have this metric" in said(none.stderr)

    # What cannot be measured again is compared as it was logged.
    shutil.rmtree(project.folder / ".kedro_mlflow/holdouts")
    best = project.kedro("mlflow", "compare", "--best", "2").stdout
    assert {run in best for run in (first, second)} == {True}
    assert bad not in best
    logged = project.kedro("mlflow", "compare", first, bad).stdout
    assert "on the same holdout. What is chance is not known: the holdout of the first" in logged
    assert re.search(r"^rmse +\S+ +\S+ +\+\S+$", logged, re.MULTILINE)


def test_what_is_asked_wrongly_is_said(little_with_runs: Project) -> None:
    project = little_with_runs
    for options in ([], ["abc"], ["abc", "def", "--best", "2"]):
        wrong = project.kedro("mlflow", "compare", *options, code=2).stderr
        assert "Give two runs or more, or --best N." in wrong
    assert "gives no such run" in said(project.kedro("mlflow", "compare", "a", "b", code=1).stderr)
    unknown = said(
        project.kedro("mlflow", "compare", "--best", "2", "--metric", "x", code=1).stderr
    )
    assert "Whether 'x' is better high or low is not known: say it in promotion.yml" in unknown
