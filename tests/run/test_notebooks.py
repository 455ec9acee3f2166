"""The notebook of the answer `notebook` runs in a trained project, and Kedro-Viz beside it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.support import answers
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project, install

NOTEBOOK = "notebooks/explore.ipynb"
# What `%load_ext kedro.ipython` makes. Where MLflow's calls then go: tests/unit/test_notebook.py.
LOADED = """
import os
from pathlib import Path
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

bootstrap_project(Path.cwd())
context = KedroSession.create().load_context()
catalog = context.catalog
"""
SEEN = """
print(len(records), len(champion.predict(instances)), *runs["tags.mlflow.runName"], sep="|")
print(*(name for name in shown if name.endswith("evaluation/rmse")))
"""


def test_its_cells_show_data_champion_and_runs(project_with_runs: Project) -> None:
    content = json.loads((answers.REPOSITORY / "template" / NOTEBOOK).read_text("utf-8"))
    code = ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]
    assert code[0] == "%load_ext kedro.ipython"
    place = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{project_with_runs.folder}/mlflow.db",
        "MLFLOW_EXPERIMENT_NAME": PACKAGE,
    }
    shown = project_with_runs.script("\n".join([LOADED, *code[1:], SEEN]), env=place)
    assert shown[-2:] == ["442|10|inference version 1|training|training", "metrics.evaluation/rmse"]


@weekly
def test_jupyter_runs_it_git_gets_no_output_and_kedro_viz_shows_no_row(
    template: Path, tmp_path: Path
) -> None:
    project = install(template, tmp_path, features="[notebook]")
    project.run("kedro", "run")
    project.run("jupyter", "nbconvert", "--to", "notebook", "--inplace", "--execute", NOTEBOOK)
    assert "progression" in project.read(NOTEBOOK)
    answers.git(project.folder, "add", ".")
    project.run("prek", "run", "notebooks", code=1)
    kept = [cell for cell in json.loads(project.read(NOTEBOOK))["cells"] if cell.get("outputs")]
    assert kept == []
    project.run("kedro", "jupyter", "lab", "--version")

    variables = project.variables()
    sync = ["uv", "sync", "--quiet", "--group", "viz"]
    subprocess.run(sync, cwd=project.folder, env=variables, check=True)
    project.run("kedro", "viz", "build", "--include-previews")
    built = project.folder / "build" / "api"
    graph = json.loads((built / "main").read_text("utf-8"))
    assert {"raw", "models", "model_input"} <= set(graph["layers"])
    nodes = [json.loads(path.read_text("utf-8")) for path in (built / "nodes").iterdir()]
    shown = {Path(node["filepath"]).name for node in nodes if node.get("preview")}
    assert shown == {"evaluation.json", "residual_plot.png", "feature_importance_plot.png"}
