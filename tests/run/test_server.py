"""A rendered project that tracks on a server, by the preset or by a variable."""

from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient

from tests.support.little import little
from tests.support.project import PACKAGE, Project, call_it
from tests.support.tiny import runs
from tests.support.training import training

TRAINING = f"src/{PACKAGE}/pipelines/training/pipeline.py"
DRAW = """\
def draw():
    import matplotlib.pyplot as plt

    return plt.figure()

"""


def test_runs_models_and_figures_go_to_the_server(project: Project, server: str) -> None:
    variables, name = {"MLFLOW_TRACKING_URI": server}, "goes_to_the_server"
    call_it(training(project), name)
    project.edit(TRAINING, "def create_pipeline", f"{DRAW}def create_pipeline")
    project.edit(
        TRAINING, "        node(line", "        node(draw, None, 'drawing'),\n        node(line"
    )
    screen = project.kedro("run", "--pipelines", "training", env=variables).stdout
    client = MlflowClient(server)
    (run,) = runs(client, name)
    assert f"{server}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}?" in screen
    assert len(client.list_artifacts(run.info.run_id, "figures")) == 1
    assert client.get_model_version_by_alias(name, "champion").run_id == run.info.run_id
    project.kedro("run", "--pipelines", "inference", env=variables)
    assert (project.folder / "data/predictions.csv").exists()
    assert not (project.folder / "mlflow.db").exists()
    assert not (project.folder / "mlartifacts").exists()


def test_a_run_whose_server_refuses_it_keeps_its_result_and_its_journal(
    project: Project, tmp_path: Path
) -> None:
    name = f"    name: {PACKAGE}\n"
    nowhere = f"    create_experiment_kwargs: {{artifact_location: 'nowhere://{tmp_path.name}'}}\n"
    little(project)
    project.edit("conf/base/mlflow.yml", name, name + nowhere)
    screen = project.kedro("run", "--pipelines", "training").stdout
    assert "did not take the whole run" in " ".join(screen.split())
    assert (project.folder / "data/state.json").exists()
    (journal,) = (project.folder / ".kedro_mlflow" / "journal").iterdir()
    assert "evaluation/rmse" in "".join(path.read_text() for path in journal.glob("*.jsonl"))
