"""`kedro mlflow compare`: runs side by side, and which difference means something."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.support.project import PACKAGE, Project
from tests.support.tiny import said

# scikit-learn's own look at what they get at length, 600 times.
METRICS = """\
    def root_mean_squared_error(a, b):
        return ((a - b) ** 2).mean() ** 0.5

    def mean_absolute_error(a, b):
        return (a - b).abs().mean()

    def r2_score(a, b):
        return 1 - ((a - b) ** 2).sum() / ((a - a.mean()) ** 2).sum()
"""


def test_runs_are_compared_on_the_same_rows(project_with_runs: Project) -> None:
    project, client = project_with_runs, project_with_runs.client
    project.kedro("run", "--params", "model.alpha=1000000")
    nodes = f"src/{PACKAGE}/pipelines/training/nodes.py"
    imports = (
        "    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error\n"
    )
    project.edit(nodes, imports, METRICS)
    bad, second, first = [run.info.run_id for run in project.runs() if run.data.params]
    shown = project.kedro("mlflow", "compare", first, second, bad).stdout
    assert "All have predicted again for the holdout of the first, drawn 200 times." in shown
    same, worse = shown.split(" against ")[1:]
    assert re.search(r"^rmse .* the same$", same, re.MULTILINE)
    assert re.search(r"^rmse .* worse$", worse, re.MULTILINE)
    assert re.search(r"^age_under_40/rmse ", worse, re.MULTILINE)
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


def test_what_is_asked_wrongly_is_said(project_with_runs: Project) -> None:
    project = project_with_runs
    for options in ([], ["abc"], ["abc", "def", "--best", "2"]):
        wrong = project.kedro("mlflow", "compare", *options, code=2).stderr
        assert "Give two runs or more, or --best N." in wrong
    assert "gives no such run" in said(project.kedro("mlflow", "compare", "a", "b", code=1).stderr)
    unknown = said(
        project.kedro("mlflow", "compare", "--best", "2", "--metric", "x", code=1).stderr
    )
    assert "Whether 'x' is better high or low is not known: say it in promotion.yml" in unknown
