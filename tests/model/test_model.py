"""The registered model: the whole inference pipeline, wherever it is loaded."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow.models import Model

from tests.support.answers import Render
from tests.support.little import little, predicted
from tests.support.project import PACKAGE, Project, Trained, files_of, share_compiled


@pytest.fixture(scope="module")
def model_folder(trained: Trained) -> Path:
    """The champion's files."""
    return files_of(trained.project, "champion")


def test_the_first_version_is_the_champion_and_a_later_one_its_challenger(trained: Trained) -> None:
    client = trained.project.client
    _, second, first = trained.project.runs()
    champion = client.get_model_version_by_alias(PACKAGE, "champion")
    challenger = client.get_model_version_by_alias(PACKAGE, "challenger")
    assert (str(champion.version), champion.run_id) == ("1", first.info.run_id)
    assert (str(challenger.version), challenger.run_id) == ("2", second.info.run_id)


def test_mlflows_page_of_models_can_rank_and_link_them(trained: Trained) -> None:
    client = trained.project.client
    _, run, _ = trained.project.runs()
    models = client.search_logged_models(
        [run.info.experiment_id], f"source_run_id = '{run.info.run_id}'"
    )
    assert {model.name for model in models} == {PACKAGE, "regressor"}
    evaluation = {k: v for k, v in run.data.metrics.items() if k.startswith("evaluation/")}
    assert len(evaluation) > 10
    digest = run.data.tags["holdout.digest"]
    for model in models:
        # Of what was made on the way, what had been read until then.
        assert model.params.items() <= run.data.params.items()
        assert "model.alpha" in (model.params or {})
        metrics = model.metrics or []
        assert {metric.key: metric.value for metric in metrics} == evaluation
        on = {(metric.dataset_name, metric.dataset_digest) for metric in metrics}
        assert on == {("test_records", digest)}
    assert run.inputs
    found = {(each.dataset.name, each.dataset.digest) for each in run.inputs.dataset_inputs}
    assert ("test_records", digest) in found
    by_name = {model.name: model for model in models}
    version = client.get_model_version_by_alias(PACKAGE, "challenger")
    assert version.source == f"models:/{by_name[PACKAGE].model_id}"
    link = [{"name": PACKAGE, "version": version.version}]
    assert json.loads(by_name[PACKAGE].tags["mlflow.modelVersions"]) == link
    best = client.search_logged_models(
        [run.info.experiment_id], order_by=[{"field_name": "metrics.evaluation/rmse"}]
    )
    assert len(best) == 4


def test_its_example_is_a_row_that_nobody_has_measured(
    model_folder: Path, rows: pd.DataFrame
) -> None:
    example: Any = Model.load(model_folder).load_input_example(str(model_folder))
    assert list(example.columns) == list(rows.columns)
    assert len(example) == 1
    assert not (rows == example.iloc[0]).all(axis=1).any()


def test_its_signature_has_the_features_and_the_prediction_and_no_target(
    model_folder: Path, rows: pd.DataFrame
) -> None:
    signature = Model.load(model_folder).signature
    assert signature.inputs.input_names() == list(rows.columns)
    assert "progression" not in signature.inputs.input_names()
    assert signature.outputs.input_names() == ["progression"]


def test_it_holds_code_and_fitted_data_and_no_pickle(trained: Trained) -> None:
    assert {
        "pyfunc_code.py",
        f"code/{PACKAGE}/pipelines/preparation.py",
        "artifacts/preparation.skops",
        "artifacts/regressor.skops",
        "input_example.json",
    } <= trained.model_files
    unwanted = (".pkl", ".pickle", ".pyc", ".toml")
    assert not [name for name in trained.model_files if name.endswith(unwanted)]


def test_it_holds_no_code_that_predictions_do_not_need(model_folder: Path) -> None:
    package = model_folder / "code" / PACKAGE
    folders = {path.parent.relative_to(package).as_posix() for path in package.rglob("*.py")}
    assert "pipelines/inference" in folders
    rooms = {path for path in folders if path.startswith("mlops/")}
    assert rooms == {"mlops/model", "mlops/redaction", "mlops/validation"}


def test_its_requirements_are_the_projects_own_at_their_installed_versions(
    model_folder: Path, trained: Trained
) -> None:
    lines = (model_folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.split("==")[0].split("[")[0]: line.split("==")[1] for line in lines}
    script = (
        "import json, sys; from importlib.metadata import version\n"
        "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
    )
    installed = json.loads(trained.project.run("python", "-c", script, *pinned).stdout)
    assert pinned == installed
    assert {"kedro", "mlflow", "scikit-learn", "skops"} <= set(pinned)
    assert not {"pytest", "ruff", "mypy", "diabetes-progression"} & set(pinned)


def test_it_predicts_in_an_environment_that_has_nothing_of_the_project(
    model_folder: Path, rows: pd.DataFrame, scored: list[float], tmp_path: Path
) -> None:
    environment = tmp_path / "environment"
    python = environment / "bin" / "python"
    requirements = model_folder / "requirements.txt"
    subprocess.run(["uv", "venv", "--quiet", "--no-project", environment], check=True)
    subprocess.run(
        ["uv", "pip", "install", "--quiet", "--python", python, "-r", requirements], check=True
    )
    share_compiled(environment)
    # Whole numbers as floats: MLflow takes no integer for a column that may hold a fraction.
    rows.astype(float).to_csv(tmp_path / "rows.csv", index=False)
    script = (
        # skops first: it looks for each of SciPy's functions in all modules that are loaded.
        "import skops.io, json, sys, mlflow, pandas\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "print(json.dumps(list(model.predict(pandas.read_csv('rows.csv'))['progression'])))\n"
        f"import {PACKAGE}\n"
        f"assert {PACKAGE}.__file__.startswith(sys.argv[1]), {PACKAGE}.__file__\n"
    )
    variables = {name: value for name, value in os.environ.items() if "KEDRO" not in name}
    result = subprocess.run(
        [python, "-c", script, model_folder],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(result.stdout.splitlines()[-1]) == pytest.approx(scored)


def test_batch_scoring_uses_the_champion_and_not_what_was_fitted_last(
    little_with_runs: Project,
) -> None:
    project = little_with_runs
    project.kedro("run", "--params", "shift=1000")
    project.kedro("run", "--pipelines", "inference")
    assert [float(line.split(",")[0]) < 100 for line in predicted(project)] == [True, True]
    inference, training, *_ = project.runs()
    champion = project.client.get_model_version_by_alias(PACKAGE, "champion")
    assert inference.data.tags["model.version"] == str(champion.version) == "1"
    assert inference.data.tags["model.run_id"] == champion.run_id != training.info.run_id


def test_a_run_that_fits_a_part_of_the_model_registers_none(project_with_runs: Project) -> None:
    project = project_with_runs
    project.kedro("run", "--nodes", "split,fit_preparation")
    assert len(project.client.search_model_versions(f"name = '{PACKAGE}'")) == 2


def let_inference_take_a_parameter(project: Project, value: str) -> None:
    """Add a last node to the inference pipeline that multiplies by a parameter's `factor`."""
    inference = f"src/{PACKAGE}/pipelines/inference"
    project.edit(f"{inference}/pipeline.py", 'outputs="predictions"', 'outputs="unscaled"')
    last = 'node(nodes.scale, ["unscaled", "params:scaling"], "predictions", name="scale")'
    end = "        ]\n    )"
    project.edit(f"{inference}/pipeline.py", end, f"            {last},\n{end}")
    nodes = (project.folder / inference / "nodes.py").read_text(encoding="utf-8")
    project.write(
        f"{inference}/nodes.py",
        "from dataclasses import dataclass\n"
        f"{nodes}\n\n@dataclass\nclass Scaling:\n    factor: float\n    api_key: str = ''\n\n\n"
        "def scale(unscaled: DataFrame, scaling: Scaling) -> DataFrame:\n"
        "    return unscaled * scaling.factor\n",
    )
    parameters = (project.folder / "conf/base/parameters.yml").read_text(encoding="utf-8")
    project.write("conf/base/parameters.yml", f"{parameters}\nscaling: {value}\n")


def test_typed_parameters_of_inference_go_with_the_model(
    project_with_runs: Project, scored: list[float]
) -> None:
    project = project_with_runs
    let_inference_take_a_parameter(project, "{factor: 2.0}")
    project.kedro("run")
    folder = files_of(project, "challenger")
    script = (
        "import sys, mlflow, pandas\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "rows = pandas.read_csv('data/05_model_input/instances.csv').astype(float)\n"
        "print(*model.predict(rows)['progression'])\n"
    )
    predictions = project.script(script.replace("sys.argv[1]", repr(str(folder))))[-1].split()
    assert [float(each) / 2 for each in predictions] == pytest.approx(scored)


def test_no_secret_gets_into_the_model(project: Project) -> None:
    let_inference_take_a_parameter(project, "{factor: 2.0, api_key: CANARY}")
    result = project.kedro("run", code=1)
    assert "'scaling' looks like a secret" in result.stderr
    found = [p for p in project.folder.rglob("*") if p.is_file() and b"CANARY" in p.read_bytes()]
    assert found == [project.folder / "conf/base/parameters.yml"]


def test_a_registered_model_may_have_a_catalog_and_a_schema(
    project: Project, render: Render
) -> None:
    # As the preset for Databricks has it; here in the registry of a database.
    databricks = render(tracking_preset="databricks") / "conf/base/mlflow.yml"
    little(project).write("conf/base/mlflow.yml", databricks.read_text(encoding="utf-8"))
    database = f"sqlite:///{project.folder.as_posix()}/mlflow.db"
    variables = {
        "MLFLOW_TRACKING_URI": database,
        "MLFLOW_REGISTRY_URI": database,
        "DATABRICKS_MODEL_SCHEMA": "ml.studies",
    }
    project.kedro("run", env=variables)
    name = f"ml.studies.{PACKAGE}"
    assert project.client.get_model_version_by_alias(name, "champion")
    assert project.client.get_experiment_by_name(f"/Shared/{PACKAGE}")
    project.kedro("run", "--pipelines", "inference", env=variables)
    assert len(predicted(project)) == 2
