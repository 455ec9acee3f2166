"""`kedro run` in a rendered project: what its screen shows and what MLflow keeps."""

from __future__ import annotations

import re

import pytest
from mlflow.entities import Run

from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project, Trained


def test_the_screen_shows_progress_and_two_lines_of_ours(trained: Trained) -> None:
    for screen in (trained.first, trained.second, trained.scoring):
        assert not re.search("warn|error|deprecat|traceback", screen, re.IGNORECASE), screen
        assert screen.count("Tracked by MLflow as run") == 1
        assert screen.count("MLflow run '") == 1
        # Kedro names its nodes and counts them; its own start and end; nobody else speaks.
        ours_or_kedros = (
            r"Kedro project|Using synchronous|potential performance|build/run_a_pipeline"
            r"|Running node: |Completed (node: |\d+ out of)|Pipeline execution completed"
            r"|Tracked by MLflow|MLflow run '|Scoring with"
        )
        for line in screen.splitlines():
            assert re.search(ours_or_kedros, line), line


def test_the_last_line_names_run_model_and_page(trained: Trained) -> None:
    (run,) = [run for run in trained.project.runs() if run.info.run_id in trained.first]
    line = trained.first.splitlines()[-1]
    assert f"MLflow run 'training' ({run.info.run_id}) has finished" in line
    assert f"registered {PACKAGE} version 1 (champion)" in line
    assert "uv run kedro mlflow ui" in line


def test_each_kedro_run_is_one_mlflow_run(trained: Trained) -> None:
    runs = trained.project.runs()
    assert [run.info.run_name for run in runs] == ["inference version 1", "training", "training"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len({run.data.tags["kedro.run_id"] for run in runs}) == 3


def test_parameters_that_nodes_consume_are_kept_by_their_path(trained: Trained) -> None:
    inference, training, _ = trained.project.runs()
    assert training.data.params["split.seed"] == "42"
    assert set(training.data.params) >= {"model.alpha", "split.test_fraction"}
    assert inference.data.params == {}


def test_metrics_come_from_node_outputs_without_a_catalog_entry(trained: Trained) -> None:
    _, training, _ = trained.project.runs()
    metrics = training.data.metrics
    assert {"evaluation/rmse", "evaluation/mae", "evaluation/r2"} <= set(metrics)
    assert {"evaluation/sex_1/rmse", "evaluation/age_under_40/rmse"} <= set(metrics)
    assert 40 < metrics["evaluation/rmse"] < 70


def test_the_same_seed_gives_the_same_numbers(trained: Trained) -> None:
    _, second, first = trained.project.runs()
    assert evaluation(first) == evaluation(second)
    assert evaluation(first)
    assert first.data.params == second.data.params


def evaluation(run: Run) -> dict[str, float]:
    """The metrics of a run without the times of its nodes."""
    return {
        name: value
        for name, value in run.data.metrics.items()
        if not name.startswith("node_seconds/")
    }


def test_a_run_from_anywhere_lies_in_the_project_and_says_at_a_glance_how_it_went(
    project: Project,
) -> None:
    given = "model.alpha=10,api_key=CANARY-1,db.password=CANARY-2"
    elsewhere = {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    project.kedro("run", "--params", given, env=elsewhere, cwd="data")
    (run,) = project.runs()
    assert project.client.get_model_version_by_alias(PACKAGE, "champion").run_id == run.info.run_id
    assert not (project.folder / "data" / "mlflow.db").exists()
    assert str(run.info.artifact_uri).startswith((project.folder / "mlartifacts").as_uri())
    assert not (project.folder / "mlruns").exists()
    assert not any((project.folder / ".kedro_mlflow" / "journal").iterdir())
    # Secrets in runtime parameters are masked.
    for path in project.folder.rglob("*"):
        if path.is_file():
            assert b"CANARY" not in path.read_bytes(), path
    assert run.info.run_name == "training alpha=10"
    note = run.data.tags["mlflow.note.content"]
    assert note.startswith("**Finished** after ")
    assert f"Registered {PACKAGE} version 1." in note
    command = " ".join(run.data.tags["kedro.command"].split())
    assert note.endswith(f"`{command}`")
    shown = "'model.alpha=10,api_key=********,db.password=********'"
    assert command.startswith(f"kedro run --params {shown}")
    names = list(run.data.metrics)
    times = [name for name in names if name.startswith("node_seconds/")]
    assert len(times) == 9
    assert names[-9:] == times


def test_figures_are_kept(trained: Trained) -> None:
    project = trained.project
    _, training, _ = project.runs()
    paths = [file.path for file in project.client.list_artifacts(training.info.run_id, "figures")]
    assert paths == ["figures/feature_importance_plot.png", "figures/residual_plot.png"]


def test_tags_tell_how_to_run_it_again(trained: Trained) -> None:
    inference, training, _ = trained.project.runs()
    assert inference.data.tags["kedro.command"] == "kedro run --pipelines inference"
    assert training.data.tags["kedro.command"] == "kedro run"
    assert training.data.tags["kedro.pipelines"] == "training"
    assert training.data.tags["mlflow.source.name"] == PACKAGE


def test_the_page_opens_in_the_view_for_model_training(trained: Trained) -> None:
    experiment = trained.project.client.get_experiment_by_name(PACKAGE)
    assert experiment is not None
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


@pytest.mark.parametrize("runner", ["ParallelRunner", pytest.param("ThreadRunner", marks=weekly)])
def test_a_run_with_threads_or_processes_keeps_the_same(
    project: Project, trained: Trained, runner: str
) -> None:
    project.kedro("run", "--runner", runner)
    (run,) = project.runs()
    assert evaluation(run) == evaluation(trained.project.runs()[-1])
    assert len(project.client.list_artifacts(run.info.run_id, "figures")) == 2
    assert run.outputs is not None
    assert len(run.outputs.model_outputs) == 2


def test_a_pipeline_that_is_left_out_leaves_no_trace(project: Project) -> None:
    project.edit("conf/base/mlflow.yml", "pipelines: []", "pipelines: [training]")
    screen = project.kedro("run").stdout
    assert "MLflow" not in screen
    assert not (project.folder / "mlflow.db").exists()
    assert not (project.folder / ".kedro_mlflow").exists()


def test_a_failed_node_fails_the_run_and_shows_its_own_error(project: Project) -> None:
    project.edit(
        f"src/{PACKAGE}/pipelines/inference/nodes.py",
        "    return ",
        '    raise RuntimeError("the node has failed")\n    return ',
    )
    result = project.kedro("run", code=1)
    assert "RuntimeError: the node has failed" in result.stdout + result.stderr
    (run,) = project.runs()
    assert run.info.status == "FAILED"
    assert run.data.params
    assert not project.client.search_registered_models()


def test_an_output_that_cannot_be_kept_costs_nothing_but_itself(project: Project) -> None:
    project.edit(
        f"src/{PACKAGE}/pipelines/training/nodes.py",
        "from sklearn.linear_model import Ridge\n",
        "from sklearn.linear_model import Ridge as R\n\n"
        "    class Ridge(R):\n"
        "        def __reduce__(self):\n"
        '            raise TypeError("no copies")\n',
    )
    result = project.kedro("run", code=1)
    assert "The model 'regressor' is not tracked" in result.stdout
